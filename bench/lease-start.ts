import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { auditLinker } from '#audit/chain.ts';
import { migrations } from '#chancery/migrations.ts';
import { claimDue, findDue, findDueAt, nextDueAfter } from '#lease/due.ts';
import { openStore } from '#storage/open.ts';
import type { Store } from '#storage/store.ts';
import { readMemory } from './harness/cpu.ts';
import { fileSize, withFolder } from './harness/machine.ts';
import { latencies } from './harness/rates.ts';
import type { Benchmark } from './harness/settings.ts';
import { type Cell, printTable } from './harness/table.ts';
import { withServer } from './harness/world.ts';

/** What a store with very many live leases costs: starting, memory, and finding the few that are due. */
export const benchmark: Benchmark = {
  name: 'lease-start',
  summary: 'start, memory and the search for what is due with 0 and 100,000 (--large: 1,000,000) live leases',
  async run({ large }) {
    const started: Cell[][] = [];
    const searched: Cell[][] = [];
    for (const count of [0, large ? 1_000_000 : 100_000])
      await withFolder(async (folder) => {
        await withServer({ folder }, async () => undefined);
        const file = join(folder, 'chancery.db');
        fill(file, count);
        started.push([count, ...(await measureStarts(folder)), fileSize(file)]);
        if (count > 0) searched.push(...(await measureSearches(file, count)));
      });
    printTable(
      'Start to the first 200 of /readyz (three starts, sorted); memory then, and after ten seconds of sweeps',
      ['live leases', 'ms', 'ms', 'ms', 'RSS MiB', 'later', 'store MiB'],
      started,
    );
    printTable(
      `What a sweep asks when ${due} of them are due, each ${times} times, as the sweeper asks it (threads and all)`,
      ['live leases', '', 'p50 ms', 'p99 ms', 'max ms'],
      searched,
    );
  },
};

const times = 100;
const due = 64;

async function measureStarts(folder: string): Promise<number[]> {
  const taken: number[] = [];
  const memory: number[] = [];
  for (let attempt = 0; attempt < 3; attempt++) {
    const began = performance.now();
    await withServer({ folder }, async (server) => {
      while ((await fetch(`${server.url}/readyz`)).status !== 200);
      taken.push(performance.now() - began);
      if (attempt < 2) return;
      memory.push(readMemory(server.process.pid as number).resident);
      await new Promise((resolve) => setTimeout(resolve, 10_000));
      memory.push(readMemory(server.process.pid as number).resident);
    });
  }
  return [...taken.sort((a, b) => a - b), ...memory];
}

const hour = 3_600_000;

/** Leases of 8 roles at 8 targets for 1,000 principals, which end within 1 to 25 hours; `due` of them now, when it is told. */
function fill(file: string, count: number): void {
  if (count === 0) return;
  const database = new DatabaseSync(file);
  database.exec('PRAGMA synchronous = OFF; PRAGMA cache_size = -524288; BEGIN');
  const indexes = database
    .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = 'leases'")
    .all() as { name: string; sql: string }[];
  for (const { name } of indexes) database.exec(`DROP INDEX ${name}`);
  const now = Date.now();
  database.exec(`
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
    INSERT INTO leases (id, namespace, engine, role, target, principal, state, subject, facts, revocation, issued_at,
      expires_at, max_expires_at, renewals, next_action_at, attempts, unavailable)
    SELECT 'lse_' || printf('%026d', i), 'root', 'database', 'database/roles/r' || (i % 8),
      'database/connections/t' || (i % 8), 'service-' || (i % 1000), 'active', 'chy_abcde_r_' || printf('%013d', i),
      '{"engine":"postgresql","host":"db.example.com","port":5432,"database":"app"}',
      '{"connection":"con_01m7yfzf4w0gk9kyg6px9s54fy","statements":[]}', ${now},
      ${now + hour} + i * 86400000 / ${count}, ${now + 48 * hour}, 0, ${now + hour} + i * 86400000 / ${count}, 0, 0 FROM n`);
  for (const scope of ['role', 'target', "'principals/' || principal"])
    database.exec(
      `INSERT INTO lease_counts (namespace, scope, live) SELECT namespace, ${scope}, COUNT(*) FROM leases GROUP BY 1, 2`,
    );
  for (const { sql } of indexes) database.exec(sql);
  database.exec('COMMIT; PRAGMA wal_checkpoint(TRUNCATE)');
  database.close();
}

async function measureSearches(file: string, count: number): Promise<Cell[][]> {
  const store = await openStore({ url: `sqlite:${file}`, linker: auditLinker, migrations });
  try {
    const soonest = (await nextDueAfter(store, Date.now())) ?? 0;
    const [last] = await store.all<{ at: number }>(
      `SELECT next_action_at AS at FROM leases ORDER BY next_action_at LIMIT 1 OFFSET ${due - 1}`,
      [],
    );
    return await searches(store, count, last?.at ?? soonest);
  } finally {
    await store.close();
  }
}

async function searches(store: Store, count: number, now: number): Promise<Cell[][]> {
  const target = { namespace: 'root', target: 'database/connections/t1' };
  const all = { now, limit: due, without: [], wantedOnly: false };
  const found = await findDue(store, all);
  if (found.length !== due) throw new Error(`${found.length} leases were found due`);
  const asks: readonly [string, () => Promise<unknown>][] = [
    ['what is due, anywhere', () => findDue(store, all)],
    ['what is due but at one target', () => findDue(store, { ...all, without: [target] })],
    ['what is due at one target', () => findDueAt(store, target, now, due)],
    ['nothing is due', () => findDue(store, { ...all, now: 1 })],
    ['when the next comes due', () => nextDueAfter(store, now)],
  ];
  const rows: Cell[][] = [];
  for (const [what, ask] of asks) {
    const { p50, p99, max } = await latencies(times, ask);
    rows.push([count, what, p50, p99, max]);
  }
  const began = performance.now();
  const claimed = await claimDue(store, found, 'a claim', now);
  if (claimed.leases.length !== due) throw new Error(`${claimed.leases.length} leases were claimed`);
  rows.push([count, `claim ${due} of them, durably, once`, performance.now() - began]);
  return rows;
}
