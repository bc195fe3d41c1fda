import { once } from 'node:events';
import { Agent, createServer } from 'node:http';
import { startDnsServer } from '#test/dns-server.ts';
import { freePort } from '#test/free-port.ts';
import type { ChildServer } from '#test/chancery.ts';
import { type AcmeAccount, registerAccount } from './harness/acme-client.ts';
import { cpuPerRequest, readCpu } from './harness/cpu.ts';
import { hostName, makeRequests } from './harness/csr.ts';
import { percentile } from './harness/lease-world.ts';
import type { Benchmark, Settings } from './harness/settings.ts';
import { type Cell, printTable } from './harness/table.ts';
import { withPostgres, withServer } from './harness/world.ts';

/** Orders that all begin in the same moment, each from the new order to the certificate in the hand of its client. */
export const benchmark: Benchmark = {
  name: 'acme',
  summary: '1,000 ACME orders at once, from the new order to the certificate',
  async run(settings) {
    const requests = (await makeRequests(orders)).map(toBase64url);
    const rows: Cell[][] = [];
    if (settings.wants('sqlite')) rows.push(...(await measureStore('SQLite', undefined, requests, settings)));
    if (settings.wants('postgres'))
      rows.push(
        ...(await withPostgres(async (postgres) =>
          measureStore(`PostgreSQL ${postgres.version}`, await postgres.createDatabase(), requests, settings),
        )),
      );
    printTable(
      `${orders.toLocaleString('en')} orders at once by ${accounts} accounts`,
      ['store', 'names', 'certificates', 'lost', 'all after ms', 'per s', 'p50 ms', 'p95 ms', 'p99 ms', 'CPU µs'],
      rows,
    );
  },
};

const orders = 1000;
const accounts = 10;
const publicUrl = 'https://acme.example.test';

function toBase64url(pem: string): string {
  return Buffer.from(pem.replaceAll(/-----[^-]+-----/g, ''), 'base64').toString('base64url');
}

async function measureStore(
  store: string,
  storage: string | undefined,
  requests: readonly string[],
  settings: Settings,
): Promise<Cell[][]> {
  const responders = await startWorld();
  const { answers, httpPort, dnsPort } = responders;
  const env = {
    CHANCERY_PUBLIC_URL: publicUrl,
    CHANCERY_ACME_HTTP_PORT: String(httpPort),
    CHANCERY_ACME_RESOLVERS: `127.0.0.1:${dnsPort}`,
  };
  try {
    return await withServer({ env, ...(storage === undefined ? {} : { storage }) }, async (server) => {
      await server.ok('PUT', 'acme/directories/web', { allowed_address_ranges: ['127.0.0.0/8'] });
      await warmUp(server, requests, settings);
      return [
        [store, 'vouched for', ...(await measure(server, { skip_validation: true }, requests, answers))],
        [store, 'by http-01', ...(await measure(server, {}, requests, answers))],
      ];
    });
  } finally {
    await responders.close();
  }
}

/** A responder for http-01, and a DNS in which every name is at 127.0.0.1. */
async function startWorld() {
  const answers = new Map<string, string>();
  const responder = createServer(({ url = '' }, response) => {
    response.end(answers.get(url.slice(url.lastIndexOf('/') + 1)) ?? '');
  });
  const httpPort = await freePort();
  responder.listen(httpPort, '127.0.0.1');
  await once(responder, 'listening');
  const dns = await startDnsServer();
  dns.override = ({ type }) => ({ records: type === 'A' ? [{ type: 'A', value: '127.0.0.1' }] : [] });
  return {
    answers,
    httpPort,
    dnsPort: dns.port,
    async close() {
      responder.closeAllConnections();
      responder.close();
      await dns.close();
    },
  };
}

async function register(server: ChildServer, fields: object, agent: Agent): Promise<AcmeAccount> {
  const names = { role: 'web', allowed_identifiers: ['*.example.com'] };
  const externalKey = await server.ok('POST', 'acme/external-account-keys', { ...names, ...fields });
  return registerAccount({ connect: server.url, publicUrl, role: 'web', externalKey, agent });
}

/** One order after the other, so that what is measured was compiled. */
async function warmUp(server: ChildServer, requests: readonly string[], { warmUp: seconds }: Settings): Promise<void> {
  const agent = new Agent({ keepAlive: true });
  const account = await register(server, { skip_validation: true }, agent);
  const began = performance.now();
  for (let index = 0; performance.now() - began < seconds * 1000; index = (index + 1) % orders)
    await account.obtain(hostName(index), requests[index] ?? '', () => undefined);
  agent.destroy();
}

async function measure(
  server: ChildServer,
  fields: object,
  requests: readonly string[],
  answers: Map<string, string>,
): Promise<Cell[]> {
  const agent = new Agent({ keepAlive: true });
  const made = await Promise.all(Array.from({ length: accounts }, () => register(server, fields, agent)));
  const taken: number[] = [];
  const pid = server.process.pid as number;
  const before = readCpu(pid);
  const serials = new Set<string>();
  const began = performance.now();
  const obtain = async (request: string, index: number): Promise<void> => {
    const account = made[index % accounts] as AcmeAccount;
    serials.add(await account.obtain(hostName(index), request, (token, value) => void answers.set(token, value)));
    taken.push(performance.now() - began);
  };
  const ends = await Promise.allSettled(requests.map(obtain));
  const all = performance.now() - began;
  agent.destroy();
  const failures = ends.filter((end) => end.status === 'rejected');
  for (const { reason } of failures.slice(0, 3)) process.stdout.write(`lost: ${String(reason)}\n`);
  return [
    serials.size,
    requests.length - serials.size,
    Math.round(all),
    serials.size / (all / 1000),
    ...[0.5, 0.95, 0.99].map((part) => Math.round(percentile(taken, part))),
    Math.round(cpuPerRequest(pid, before, readCpu(pid), requests.length).total),
  ];
}
