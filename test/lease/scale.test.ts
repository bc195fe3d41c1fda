import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test, type TestContext } from 'node:test';
import { dueAtTarget, dueQuery } from '#lease/due.ts';
import { run } from '#test/postgres.ts';
import { toDollars } from '#storage/postgres/sql.ts';
import type { Parameter } from '#storage/store.ts';
import { postgresBackend, sqliteBackend } from '../storage/support.ts';
import { checkBooks, openHouse } from './house.ts';

for (const backend of [sqliteBackend(), postgresBackend()]) {
  describe(`many leases on ${backend.kind}`, () => {
    before(() => backend.start());
    after(() => backend.stop());

    const openFull = async (context: TestContext, live: number) => {
      const url = await backend.newUrl();
      const house = await openHouse(context, { url });
      await execute(url, fill(backend.kind, live, house.clock.now() + 3_600_000));
      return { url, house };
    };

    test('what is due is found by the index of what is due, whatever is left out', async (context) => {
      const { url, house } = await openFull(context, 20_000);
      const now = house.clock.now();
      const target = { namespace: 'root', target: 'files/targets/shelf' };
      for (const [query, index] of [
        [{ wantedOnly: false, without: [] }, 'leases_due'],
        [{ wantedOnly: false, without: [target] }, 'leases_due'],
        [{ wantedOnly: true, without: [] }, 'leases_unsettled'],
      ] as const) {
        const { sql, parameters } = dueQuery(house.store, { now, limit: 64, ...query }).compile();
        const plan = await explain(url, sql, parameters as Parameter[]);
        assert.ok(plan.includes(index), plan);
        assert.ok(!/SCAN leases\b(?! USING)|Seq Scan on leases/.test(plan), plan);
      }
      const atTarget = await explain(url, dueAtTarget, [target.namespace, target.target, now, 64]);
      assert.ok(atTarget.includes('leases_due_at'), atTarget);
      const next = await explain(
        url,
        'SELECT next_action_at AS at FROM leases WHERE next_action_at > ? ORDER BY next_action_at LIMIT 1',
        [now],
      );
      assert.ok(next.includes('leases_due'), next);
    });

    test('filtered lists, counts by state and the purge read no more than what they show', async (context) => {
      const { url, house } = await openFull(context, 20_000);
      for (const [sql, index] of [
        [`SELECT * FROM leases WHERE namespace = 'root' ORDER BY id DESC LIMIT 51`, /leases_namespace|leases_pkey/],
        [`SELECT * FROM leases WHERE namespace = 'root' AND role = 'r' ORDER BY id DESC LIMIT 51`, /leases_role/],
        [
          `SELECT * FROM leases WHERE namespace = 'root' AND principal = 'p' ORDER BY id DESC LIMIT 51`,
          /leases_principal/,
        ],
        [`SELECT * FROM leases WHERE namespace = 'root' AND subject = 's' ORDER BY id DESC LIMIT 51`, /leases_subject/],
        [
          `SELECT state, COUNT(*) FROM leases WHERE state IN ('minting', 'revoking', 'stuck') GROUP BY state`,
          /leases_unsettled/,
        ],
        [`SELECT id FROM leases WHERE ended_at < 5 AND state = 'revoked' ORDER BY ended_at LIMIT 9`, /leases_ended/],
      ] as const)
        assert.match(await explain(url, sql, []), index);
      assert.equal((await house.ok('GET', 'leases/status')).active, 20_000);
    });

    test('10,000 leases that fall due at once end in batches, with a bounded number claimed', async (context) => {
      const { house } = await openFull(context, 10_000);
      house.clock.advance(3_600_000);
      let most = 0;
      const count = async () => {
        const [row] = await house.store.all<{ held: number }>(
          `SELECT COUNT(*) AS held FROM leases WHERE state = 'revoking'`,
          [],
        );
        most = Math.max(most, row?.held ?? 0);
      };
      const timer = setInterval(() => void count(), 10);
      await house.service.sweep();
      clearInterval(timer);
      assert.ok(most > 0 && most <= 256, `${most} were claimed at once`);
      const [left] = await house.store.all<{ live: number }>(
        `SELECT COUNT(*) AS live FROM leases WHERE state <> 'revoked'`,
        [],
      );
      assert.equal(left?.live, 0);
      await checkBooks(house);
    });
  });
}

/** Live leases at eight targets, made in the database, since making them one by one is not what is tested here. */
function fill(kind: 'sqlite' | 'postgres', live: number, expiresAt: number): string[] {
  const numbers =
    kind === 'sqlite'
      ? `(WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${live}) SELECT i FROM n) AS n`
      : `generate_series(1, ${live}) AS n (i)`;
  const digits = kind === 'sqlite' ? `printf('%026d', i)` : `lpad(i::text, 26, '0')`;
  return [
    `INSERT INTO leases (id, namespace, engine, role, target, principal, state, subject, facts, revocation, issued_at,
       expires_at, max_expires_at, renewals, next_action_at, attempts, unavailable)
     SELECT 'lse_' || ${digits}, 'root', 'files', 'files/roles/r' || (i % 8), 'files/targets/t' || (i % 8), 'filler',
       'active', 'sub_' || i, '{}', '{}', 1, ${expiresAt}, ${expiresAt}, 0, ${expiresAt}, 0, 0 FROM ${numbers}`,
    `INSERT INTO lease_counts (namespace, scope, live) VALUES ('root', 'principals/filler', ${live})`,
    ...['role', 'target'].map(
      (column) =>
        `INSERT INTO lease_counts (namespace, scope, live) SELECT namespace, ${column}, COUNT(*) FROM leases GROUP BY namespace, ${column}`,
    ),
    'ANALYZE',
  ];
}

async function execute(url: string, statements: readonly string[]): Promise<void> {
  if (!url.startsWith('sqlite:')) {
    for (const statement of statements) await run(url, statement);
    return;
  }
  const database = new DatabaseSync(url.slice('sqlite:'.length));
  for (const statement of statements) database.exec(statement);
  database.close();
}

async function explain(url: string, sql: string, parameters: readonly Parameter[]): Promise<string> {
  if (url.startsWith('sqlite:')) {
    const database = new DatabaseSync(url.slice('sqlite:'.length));
    const rows = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...parameters);
    database.close();
    return rows.map((row) => row['detail']).join('\n');
  }
  const text = toDollars(sql).replace(/\$(\d+)/g, (_, number: string) => {
    const value = parameters[Number(number) - 1];
    return typeof value === 'number' ? String(value) : `'${String(value)}'`;
  });
  const rows = await run(url, `EXPLAIN ${text}`);
  return rows.map((row) => row['QUERY PLAN']).join('\n');
}
