import type { ChildServer } from '#test/chancery.ts';
import { type BareWork, bareIssue } from './harness/bare-issue.ts';
import { withCfssl } from './harness/cfssl.ts';
import { hostName, makeRequests } from './harness/csr.ts';
import { load, type LoadRequest, type LoadResult } from './harness/load.ts';
import type { Benchmark, Settings } from './harness/settings.ts';
import { type Cell, printTable, ratio } from './harness/table.ts';
import { apiRequest, type Measured, measure, withPostgres, withServer } from './harness/world.ts';

/** Stored and audited P-256 certificates per second over REST. */
export const benchmark: Benchmark = {
  name: 'issue',
  summary: 'stored and audited P-256 certificates per second, beside the bare limit and cfssl',
  async run(settings) {
    const requests = await makeRequests(distinct);
    const bare = {
      csr: await bareIssue('csr', settings.seconds),
      'server key': await bareIssue('server key', settings.seconds),
    };
    const rows: Row[] = [];
    if (settings.wants('sqlite'))
      rows.push(...(await withServer({}, (server) => measureStore('SQLite', server, requests, settings))));
    if (settings.wants('postgres'))
      rows.push(
        ...(await withPostgres(async (postgres) =>
          withServer({ storage: await postgres.createDatabase() }, (server) =>
            measureStore(`PostgreSQL ${postgres.version}`, server, requests, settings),
          ),
        )),
      );
    const peer = settings.wants('cfssl') ? await withCfssl((origin) => measureCfssl(origin, requests, settings)) : [];
    printRows(rows, peer ?? [], bare);
    if (peer === undefined) process.stdout.write('\ncfssl is not on PATH (Debian: golang-cfssl): no peer measured\n');
  },
};

/** Different keys and names, so that nothing is answered from a cache that real clients would miss. */
const distinct = 64;
const works: readonly BareWork[] = ['csr', 'server key'];

interface Row {
  readonly store: string;
  readonly work: BareWork;
  readonly connections: number;
  readonly result: Measured;
}

interface PeerRow {
  readonly work: BareWork;
  readonly connections: number;
  readonly result: LoadResult;
}

async function measureStore(
  store: string,
  server: ChildServer,
  csrs: readonly string[],
  settings: Settings,
): Promise<Row[]> {
  const bodies: Record<BareWork, LoadRequest[]> = {
    csr: csrs.map((csr) => apiRequest(server, 'POST', 'pki/certificates', { role: 'web', csr })),
    'server key': csrs.map((_, index) =>
      apiRequest(server, 'POST', 'pki/certificates', { role: 'web', dns_names: [hostName(index)] }),
    ),
  };
  const rows: Row[] = [];
  for (const work of works)
    await load({ origin: server.url, connections: 64, seconds: settings.warmUp, requests: bodies[work] });
  for (const work of works)
    for (const connections of settings.connections)
      rows.push({
        store,
        work,
        connections,
        result: await measure(server, bodies[work], { connections, seconds: settings.seconds }),
      });
  return rows;
}

async function measureCfssl(origin: string, csrs: readonly string[], settings: Settings): Promise<PeerRow[]> {
  const post = (path: string, body: object): LoadRequest => ({
    method: 'POST',
    path: `/api/v1/cfssl/${path}`,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const bodies: Record<BareWork, LoadRequest[]> = {
    csr: csrs.map((csr, index) => post('sign', { certificate_request: csr, hosts: [hostName(index)] })),
    'server key': csrs.map((_, index) =>
      post('newcert', {
        request: { hosts: [hostName(index)], key: { algo: 'ecdsa', size: 256 }, names: [{ O: 'Peer' }] },
      }),
    ),
  };
  const rows: PeerRow[] = [];
  for (const work of works)
    for (const connections of settings.connections)
      rows.push({
        work,
        connections,
        result: await load({ origin, connections, seconds: settings.seconds, requests: bodies[work] }),
      });
  return rows;
}

function printRows(rows: readonly Row[], peers: readonly PeerRow[], bare: Readonly<Record<BareWork, number>>): void {
  const peerOf = (work: BareWork, connections: number): number | undefined =>
    peers.find((row) => row.work === work && row.connections === connections)?.result.rate;
  const ours = rows.map(({ store, work, connections, result }): Cell[] => {
    const { cpu, rate } = result;
    const speed = [rate, result.p50, result.p99, ratio(rate, bare[work]), ratio(rate, peerOf(work, connections))];
    return [store, work, connections, ...speed, cpu.total, cpu.main, cpu.signing, cpu.writer, cpu.other];
  });
  const theirs = peers.map(({ work, connections, result: { rate, p50, p99 } }): Cell[] => {
    return ['cfssl, not stored', work, connections, rate, p50, p99];
  });
  const limits = works.map((work): Cell[] => ['bare limit, no HTTP', work, undefined, bare[work]]);
  printTable(
    'Certificates issued (P-256), stored durably and audited; CPU of the server in µs per certificate',
    ['', 'key', 'conns', 'per s', 'p50 ms', 'p99 ms', '÷ bare', '÷ cfssl', 'CPU', 'main', 'signing', 'writer', 'other'],
    [...ours, ...theirs, ...limits],
  );
}
