import { generateKeyPairSync, sign } from 'node:crypto';
import type { ChildServer } from '#test/chancery.ts';
import { decodeCertificate } from '#pki/x509/certificate.ts';
import { encodeCertId, hashIssuer } from '#pki/x509/ocsp-cert-id.ts';
import { encodeOcspRequest } from '#pki/x509/ocsp-request.ts';
import { decodeOcspResponse } from '#pki/x509/ocsp-response.ts';
import { decodeOnePem } from '#pki/x509/pem.ts';
import { hostName } from './harness/csr.ts';
import { fillFolder } from './harness/fill.ts';
import { withFolder } from './harness/machine.ts';
import { type Latency, summarize } from './harness/rates.ts';
import type { Benchmark } from './harness/settings.ts';
import { type Cell, printTable } from './harness/table.ts';
import { withServer } from './harness/world.ts';

/** CRLs of authorities with very many revoked certificates, and how soon a revocation is seen. */
export const benchmark: Benchmark = {
  name: 'crl',
  summary: 'building sharded CRLs of 100,000 (--large: 1,000,000) entries, and how soon a revocation is seen',
  async run({ large }) {
    const counts = large ? [100_000, 1_000_000] : [100_000];
    const built: Cell[][] = [];
    const seen: Cell[][] = [];
    for (const count of counts) {
      await withFolder(async (folder) => {
        await fillFolder(folder, { count, revoked: true });
        await withServer({ folder }, async (server) => {
          const result = await buildAll(server);
          const { shards, milliseconds, bytes, largest } = result;
          built.push([
            count,
            shards,
            milliseconds,
            milliseconds / shards,
            bareBuild(largest),
            largest,
            bytes / 2 ** 20,
          ]);
          const { revoke, ocsp, crl } = await measureVisibility(server);
          for (const [what, latency] of [
            ['the answer to the revocation', revoke],
            ['OCSP says revoked', ocsp],
            ['the CRL holds it', crl],
          ] as const)
            seen.push([count, what, latency.p50, latency.max]);
        });
      });
    }
    printTable(
      'CRLs (full and delta, signed and stored durably); bare: reading and signing bytes of that size is all',
      ['entries', 'shards', 'all ms', 'ms per shard', 'bare ms', 'largest, bytes', 'all, MiB'],
      built,
    );
    printTable(`A revocation is seen: ms from the request, ${revocations} times`, ['entries', '', 'p50', 'max'], seen);
  },
};

const revocations = 20;
/** Full shards hold 12,000 entries; RFC 5280 sets no bound, relying parties do. */
const maxShardBytes = 1_000_000;

interface Built {
  readonly shards: number;
  readonly milliseconds: number;
  /** Of all, and of the largest. */
  readonly bytes: number;
  readonly largest: number;
}

async function buildAll(server: ChildServer): Promise<Built> {
  const started = performance.now();
  const sizes: number[] = [];
  let cursor: string | null | undefined;
  while (cursor !== null) {
    const page = (await server.ok('POST', 'pki/authorities/issuing/crl/rebuild', { cursor })) as {
      crls: { bytes: number }[];
      next_cursor: string | null;
    };
    sizes.push(...page.crls.map(({ bytes }) => bytes));
    cursor = page.next_cursor;
  }
  const largest = Math.max(...sizes);
  if (largest > maxShardBytes) throw new Error(`a shard has ${largest} bytes`);
  return {
    shards: sizes.length,
    milliseconds: performance.now() - started,
    bytes: sizes.reduce((sum, size) => sum + size, 0),
    largest,
  };
}

/** Signing the bytes of two CRLs of this size: what no way of building can go below. */
function bareBuild(bytes: number): number {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const data = Buffer.alloc(bytes, 7);
  const started = performance.now();
  sign('sha256', data, privateKey);
  sign('sha256', data, privateKey);
  return performance.now() - started;
}

interface Visibility {
  readonly revoke: Latency;
  readonly ocsp: Latency;
  readonly crl: Latency;
}

/** Revokes, and asks at once; throws when an answer does not say so, since it is promised to. */
async function measureVisibility(server: ChildServer): Promise<Visibility> {
  const { certificate } = (await server.ok('GET', 'pki/authorities/issuing')) as { certificate: string };
  const issuer = decodeCertificate(decodeOnePem(certificate, 'CERTIFICATE', 65_536));
  const hashes = hashIssuer(issuer.subject.der, issuer.spki);
  const taken = { revoke: [] as number[], ocsp: [] as number[], crl: [] as number[] };
  for (let index = 0; index < revocations; index++) {
    const { serial_number: serial } = (await server.ok('POST', 'pki/certificates', {
      role: 'web',
      dns_names: [hostName(index)],
    })) as { serial_number: string };
    const started = performance.now();
    const { visible } = (await server.ok('POST', `pki/certificates/${serial}/revoke`, {
      reason: 'key_compromise',
    })) as { visible: { crl_url: string } };
    taken.revoke.push(performance.now() - started);
    const answer = await fetch(`${server.url}/pki/issuing/ocsp`, {
      method: 'POST',
      headers: { 'content-type': 'application/ocsp-request' },
      body: new Uint8Array(encodeOcspRequest([encodeCertId('sha1', hashes, serial)])),
    });
    const ocsp = decodeOcspResponse(Buffer.from(await answer.arrayBuffer()));
    taken.ocsp.push(performance.now() - started);
    const crl = Buffer.from(await (await fetch(visible.crl_url)).arrayBuffer());
    taken.crl.push(performance.now() - started);
    if (!JSON.stringify(ocsp).includes('"revoked"')) throw new Error('OCSP does not say that it is revoked');
    if (!crl.includes(Buffer.from(serial, 'hex'))) throw new Error('the CRL does not hold it');
  }
  return { revoke: summarize(taken.revoke), ocsp: summarize(taken.ocsp), crl: summarize(taken.crl) };
}
