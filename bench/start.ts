import { join } from 'node:path';
import type { ChildServer } from '#test/chancery.ts';
import { readMemory } from './harness/cpu.ts';
import { hostName } from './harness/csr.ts';
import { fillFolder } from './harness/fill.ts';
import { fileSize, withFolder } from './harness/machine.ts';
import { latencies, type Latency } from './harness/rates.ts';
import type { Benchmark } from './harness/settings.ts';
import { type Cell, printTable } from './harness/table.ts';
import { withServer } from './harness/world.ts';

/** What a store with very many certificates costs: starting, memory, finding things. */
export const benchmark: Benchmark = {
  name: 'start',
  summary: 'start, memory and searches with 0 and 100,000 (--large: 1,000,000) stored certificates',
  async run({ large }) {
    const started: Cell[][] = [];
    const searched: Cell[][] = [];
    for (const count of large ? [0, 100_000, 1_000_000] : [0, 100_000]) {
      await withFolder(async (folder) => {
        const serials = await fillFolder(folder, { count, revoked: false });
        const rows: Cell[][] = [];
        const tries: number[] = [];
        for (let attempt = 0; attempt < attempts; attempt++) tries.push(await measureStart(folder));
        tries.sort((a, b) => a - b);
        const began = performance.now();
        await withServer({ folder }, async (server) => {
          await untilReady(server);
          tries.push(performance.now() - began);
          const fresh = readMemory(server.process.pid as number);
          if (count > 0) rows.push(...(await measureSearches(server, count, serials)));
          const after = readMemory(server.process.pid as number);
          started.push([
            count,
            tries[0],
            tries[1],
            tries[2],
            fresh.resident,
            after.peak,
            fileSize(join(folder, 'chancery.db')),
          ]);
        });
        searched.push(...rows);
      });
    }
    printTable(
      'Start to the first 200 of /readyz (three starts, sorted), memory, size of the store',
      ['certificates', 'ms', 'ms', 'ms', 'RSS MiB', 'after searches', 'store MiB'],
      started,
    );
    printTable(
      `Finding among stored certificates, one request after the other; with what the event loop was blocked at worst`,
      ['certificates', '', 'p50 ms', 'p99 ms', 'max ms', 'longest block ms'],
      searched,
    );
  },
};

const attempts = 2;

/** Milliseconds from spawning the process until it says that it is ready. */
async function measureStart(folder: string): Promise<number> {
  const began = performance.now();
  return withServer({ folder }, async (server) => {
    await untilReady(server);
    return performance.now() - began;
  });
}

async function untilReady(server: ChildServer): Promise<void> {
  while ((await fetch(`${server.url}/readyz`)).status !== 200);
}

async function measureSearches(server: ChildServer, count: number, serials: readonly string[]): Promise<Cell[][]> {
  const pick = (index: number): number => 1 + ((index * 7919) % count);
  const searches: readonly { what: string; path: (index: number) => string }[] = [
    { what: 'get by serial number', path: (index) => `pki/certificates/${serials[index % serials.length]}` },
    { what: 'list by name', path: (index) => `pki/certificates?name=${hostName(pick(index))}` },
    { what: 'list by role and principal', path: (index) => `pki/certificates?role=web&principal=service-${index}` },
    { what: 'list by principal, the first 50', path: (index) => `pki/certificates?principal=service-${index}` },
    { what: 'list the newest 50', path: () => 'pki/certificates' },
    { what: 'list what is revoked (nothing)', path: () => 'pki/certificates?status=revoked' },
    { what: 'list what expires within a day, newest 50', path: () => 'pki/certificates?expires_within=1d' },
    { what: 'report what expires within 7 days, first 50', path: () => 'pki/certificates/expiring?within=7d' },
  ];
  const rows: Cell[][] = [];
  for (const { what, path } of searches) {
    // The first is slower: pages come from the disk. It counts.
    await longestBlock(server);
    const taken: Latency = await latencies(times, (index) => server.ok('GET', path(index)));
    rows.push([count, what, taken.p50, taken.p99, taken.max, await longestBlock(server)]);
  }
  return rows;
}

const times = 200;

/** The longest time in ms for which the event loop did nothing else since the last look (prom-client's own metric). */
async function longestBlock(server: ChildServer): Promise<number> {
  const text = await (
    await fetch(`${server.url}/metrics`, { headers: { authorization: `Bearer ${server.token}` } })
  ).text();
  return Number(/^nodejs_eventloop_lag_max_seconds (\S+)$/m.exec(text)?.[1] ?? Number.NaN) * 1000;
}
