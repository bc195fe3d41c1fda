import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { auditLinker } from '#audit/chain.ts';
import { verifyLog } from '#audit/verify.ts';
import type { AuditEvent } from '#core/audit-event.ts';
import { insert } from '#core/change.ts';
import { newId } from '#core/ids.ts';
import { openStore } from '#storage/open.ts';
import { withFolder } from './harness/machine.ts';
import { asyncRate } from './harness/rates.ts';
import type { Benchmark, Settings } from './harness/settings.ts';
import { type Cell, printTable, ratio } from './harness/table.ts';
import { withPostgres } from './harness/world.ts';

/** The store by itself: durable units (a row and its audit event), and walking the audit chain. */
export const benchmark: Benchmark = {
  name: 'store',
  summary: 'durable units and verified audit rows per second on both stores, beside the bare databases',
  async run(settings) {
    const rows: Cell[][] = [];
    if (settings.wants('sqlite'))
      await withFolder(async (folder) => {
        const bare = bareSqlite(join(folder, 'bare.db'), settings);
        rows.push(...(await measureStore('SQLite', `sqlite:${join(folder, 'store.db')}`, bare, settings)));
      });
    if (settings.wants('postgres'))
      await withPostgres(async (postgres) => {
        const bare = await barePostgres(await postgres.createDatabase(), settings);
        const url = await postgres.createDatabase();
        rows.push(...(await measureStore(`PostgreSQL ${postgres.version}`, url, bare, settings)));
      });
    printTable(
      'Units of one row and one chained audit event; bare: the same two rows, 64 units a commit (1: one), no chain',
      ['', 'at once', 'units per s', 'bare per s', '÷ bare', 'verified rows per s'],
      rows,
    );
  },
};

const concurrencies = [1, 64, 512] as const;
/** Units of a bare commit, by how many are under way at once. */
const bareBatch = (concurrency: number): number => (concurrency === 1 ? 1 : 64);

async function measureStore(
  title: string,
  url: string,
  bare: ReadonlyMap<number, number>,
  { seconds }: Settings,
): Promise<Cell[][]> {
  const store = await openStore({ url, linker: auditLinker, migrations: [] });
  try {
    const rows: Cell[][] = [];
    for (const concurrency of concurrencies) {
      const rate = await asyncRate(seconds, concurrency, () =>
        store.commit([insert('settings', settingRow())], [event()]),
      );
      const limit = bare.get(bareBatch(concurrency));
      rows.push([title, concurrency, rate, limit, ratio(rate, limit)]);
    }
    const started = performance.now();
    const report = await verifyLog(store);
    if (!report.valid) throw new Error('the log that was just written does not verify');
    rows.push([`${title}: verify`, ...blanks, report.rows / ((performance.now() - started) / 1000)]);
    return rows;
  } finally {
    await store.close();
  }
}

const blanks = [undefined, undefined, undefined, undefined] as const;

function settingRow(): { name: string; value: string } {
  return { name: randomBytes(16).toString('hex'), value: 'x'.repeat(600) };
}

function event(): AuditEvent {
  const now = Date.now();
  return {
    id: newId('aud', now),
    at: now,
    namespace: 'root',
    requestId: 'req_bench',
    principal: 'admin',
    principalKind: 'human',
    credentialId: null,
    operation: 'bench.write',
    resource: 'bench',
    outcome: 'ok',
    code: null,
    transport: 'rest',
    sourceAddress: '127.0.0.1',
    purpose: null,
    details: { serial_number: '6b1f0c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b' },
  };
}

const bareTables = [
  'CREATE TABLE things (name TEXT PRIMARY KEY, value TEXT NOT NULL)',
  'CREATE TABLE events (seq BIGINT PRIMARY KEY, about TEXT NOT NULL)',
];
const about = 'y'.repeat(300);

/** Units per second by units a commit. */
function bareSqlite(file: string, { seconds }: Settings): Map<number, number> {
  const database = new DatabaseSync(file);
  database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; ${bareTables.join(';')}`);
  const thing = database.prepare('INSERT INTO things VALUES (?, ?)');
  const audit = database.prepare('INSERT INTO events VALUES (?, ?)');
  let seq = 0;
  const rates = new Map<number, number>();
  for (const batch of [1, 64]) {
    const first = seq;
    const started = performance.now();
    while (performance.now() - started < seconds * 1000) {
      database.exec('BEGIN IMMEDIATE');
      for (let index = 0; index < batch; index++) {
        const { name, value } = settingRow();
        thing.run(name, value);
        audit.run(++seq, about);
      }
      database.exec('COMMIT');
    }
    rates.set(batch, (seq - first) / ((performance.now() - started) / 1000));
  }
  database.close();
  return rates;
}

/** The fastest plain way of `pg`: one statement of many rows a table. */
async function barePostgres(url: string, { seconds }: Settings): Promise<Map<number, number>> {
  const client = new Client({ connectionString: url });
  await client.connect();
  for (const table of bareTables) await client.query(table);
  let seq = 0;
  const rates = new Map<number, number>();
  for (const batch of [1, 64]) {
    const first = seq;
    const started = performance.now();
    while (performance.now() - started < seconds * 1000) {
      const things = Array.from({ length: batch }, settingRow);
      const seqs = things.map(() => ++seq);
      await client.query('BEGIN');
      await client.query({
        name: 'things',
        text: 'INSERT INTO things SELECT * FROM unnest($1::text[], $2::text[])',
        values: [things.map(({ name }) => name), things.map(({ value }) => value)],
      });
      await client.query({
        name: 'events',
        text: 'INSERT INTO events SELECT * FROM unnest($1::bigint[], $2::text[])',
        values: [seqs, seqs.map(() => about)],
      });
      await client.query('COMMIT');
    }
    rates.set(batch, (seq - first) / ((performance.now() - started) / 1000));
  }
  await client.end();
  return rates;
}
