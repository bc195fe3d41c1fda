import { spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { decodeCertificate } from '#pki/x509/certificate.ts';
import { encodeCertId, hashIssuer } from '#pki/x509/ocsp-cert-id.ts';
import { encodeOcspRequest } from '#pki/x509/ocsp-request.ts';
import { decodeOnePem } from '#pki/x509/pem.ts';
import type { ChildServer } from '#test/chancery.ts';
import { hostName } from './harness/csr.ts';
import { load, type LoadRequest } from './harness/load.ts';
import { syncRate } from './harness/rates.ts';
import type { Benchmark, Settings } from './harness/settings.ts';
import { type Cell, printTable, ratio } from './harness/table.ts';
import { measure, withServer } from './harness/world.ts';

/** OCSP answers per second: from the cache, and signed for each request. */
export const benchmark: Benchmark = {
  name: 'ocsp',
  summary: 'OCSP answers per second, beside a bare node:http server and bare signatures',
  async run(settings) {
    const { size, rows } = await withServer({}, (server) => measureServer(server, settings));
    const limits = {
      constant: await bareHttp(size, 'constant', settings),
      sign: await bareHttp(size, 'sign', settings),
    };
    const data = randomBytes(size);
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const signatures = syncRate(settings.seconds, 100, () => sign('sha256', data, privateKey));
    const ours = rows.map(({ what, limit, connections, result }): Cell[] => {
      const { rate, p50, p99, cpu } = result;
      return [what, connections, rate, p50, p99, ratio(rate, limits[limit].get(connections)), cpu.total, cpu.main];
    });
    const bare = (['constant', 'sign'] as const).flatMap((work) =>
      [...limits[work]].map(([connections, rate]): Cell[] => [bareTitles[work], connections, rate]),
    );
    printTable(
      `OCSP answers (P-256, ${size} bytes, ${certificates} certificates); CPU of the server in µs per answer`,
      ['', 'conns', 'per s', 'p50 ms', 'p99 ms', '÷ bare', 'CPU', 'main'],
      [...ours, ...bare, ['P-256 signatures on one thread, no HTTP', undefined, signatures]],
    );
  },
};

const certificates = 64;
const bareTitles = { constant: 'bare node:http, constant body', sign: 'bare node:http, one signature each' };

type BareWork = keyof typeof bareTitles;

interface Row {
  readonly what: string;
  /** What it is compared with. */
  readonly limit: BareWork;
  readonly connections: number;
  readonly result: Awaited<ReturnType<typeof measure>>;
}

async function measureServer(server: ChildServer, settings: Settings): Promise<{ size: number; rows: Row[] }> {
  const certIds = await issueAndName(server);
  const path = '/pki/issuing/ocsp';
  const post = (body: Buffer): LoadRequest => ({
    method: 'POST',
    path,
    headers: { 'content-type': 'application/ocsp-request' },
    body,
  });
  const plain = certIds.map((certId) => encodeOcspRequest([certId]));
  const kinds: readonly { what: string; limit: BareWork; requests: readonly LoadRequest[] }[] = [
    { what: 'POST, kept answer', limit: 'constant', requests: plain.map(post) },
    {
      what: 'GET, kept answer',
      limit: 'constant',
      requests: plain.map((der) => ({
        method: 'GET',
        path: `${path}/${encodeURIComponent(der.toString('base64'))}`,
      })),
    },
    {
      what: 'POST with nonce, signed each time',
      limit: 'sign',
      requests: certIds.map((certId) => post(encodeOcspRequest([certId], randomBytes(32)))),
    },
  ];
  const answer = await fetch(`${server.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/ocsp-request' },
    body: new Uint8Array(plain[0] as Buffer),
  });
  const rows: Row[] = [];
  for (const { what, limit, requests } of kinds) {
    await load({ origin: server.url, connections: 64, seconds: settings.warmUp, requests });
    for (const connections of settings.connections)
      rows.push({
        what,
        limit,
        connections,
        result: await measure(server, requests, { connections, seconds: settings.seconds }),
      });
  }
  return { size: (await answer.arrayBuffer()).byteLength, rows };
}

/** Certificates of one issuer, as clients name them: SHA-1, which RFC 5019 §2.1.1 demands. */
async function issueAndName(server: ChildServer): Promise<Buffer[]> {
  const authority = (await server.ok('GET', 'pki/authorities/issuing')) as { certificate: string };
  const issuer = decodeCertificate(decodeOnePem(authority.certificate, 'CERTIFICATE', 65_536));
  const hashes = hashIssuer(issuer.subject.der, issuer.spki);
  const issued = await Promise.all(
    Array.from({ length: certificates }, (_, index) =>
      server.ok('POST', 'pki/certificates', { role: 'web', dns_names: [hostName(index)] }),
    ),
  );
  return (issued as { serial_number: string }[]).map(({ serial_number }) =>
    encodeCertId('sha1', hashes, serial_number),
  );
}

/** Answers per second by number of connections. */
async function bareHttp(size: number, work: BareWork, settings: Settings): Promise<Map<number, number>> {
  const script = fileURLToPath(new URL('./harness/bare-http.ts', import.meta.url));
  const child = spawn(process.execPath, [script, String(size), work], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  try {
    const [port] = (await once(child.stdout, 'data')) as [Buffer];
    const origin = `http://127.0.0.1:${port.toString().trim()}`;
    const requests: LoadRequest[] = [{ method: 'POST', path: '/', body: randomBytes(80) }];
    await load({ origin, connections: 64, seconds: settings.warmUp, requests });
    const rates = new Map<number, number>();
    for (const connections of settings.connections)
      rates.set(connections, (await load({ origin, connections, seconds: settings.seconds, requests })).rate);
    return rates;
  } finally {
    child.kill();
    await exited;
  }
}
