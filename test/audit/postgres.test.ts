import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openAudit } from '#audit/audit.ts';
import { auditLinker } from '#audit/chain.ts';
import { verifyLog } from '#audit/verify.ts';
import { openKeyring } from '#seal/keyring.ts';
import { localRootKey } from '#seal/root-key.ts';
import { countByVersion, listKeys, retiredKeyGrace } from '#seal/rotation.ts';
import { createSeal } from '#seal/seal.ts';
import { toText } from '#seal/sealed-value.ts';
import { installationId } from '#seal/settings.ts';
import { openStore } from '#storage/open.ts';
import type { Store } from '#storage/store.ts';
import { type PostgresServer, run as runSql, startPostgres } from '#test/postgres.ts';
import { call, dispatchOver, temporaryFolder, testClock, vaultColumns, vaultMigration } from '../seal/support.ts';
import { exampleEvent, exampleEvents } from './support.ts';

/** What audit and seal promise, on PostgreSQL and with two nodes; the details are tested on SQLite. */

let server: PostgresServer;
before(async () => {
  server = await startPostgres();
});
after(() => server.stop());

async function twoNodes(): Promise<{ url: string; nodes: readonly [Store, Store]; close: () => Promise<void> }> {
  const url = await server.createDatabase();
  const open = () => openStore({ url, linker: auditLinker, migrations: [vaultMigration] });
  const nodes: readonly [Store, Store] = [await open(), await open()];
  return {
    url,
    nodes,
    close: async () => {
      await Promise.all(nodes.map((node) => node.close()));
    },
  };
}

test('the chain of two nodes that write at once is one, and every tampering with it is found', async () => {
  const { url, nodes, close } = await twoNodes();
  const odd = exampleEvent(1, {
    purpose: 'NUL \0, half \ud800, é ☃ 𝄞',
    details: { big: 'x'.repeat(9000), text: '\0"\\' },
  });
  await Promise.all(
    exampleEvents(200).map((event, index) => (index % 2 === 0 ? nodes[0] : nodes[1]).commit([], [event])),
  );
  await nodes[0].commit([], [odd]);
  const sound = await verifyLog(nodes[1]);
  assert.deepEqual([sound.findings, sound.rows], [[], 201]);
  const row = await nodes[0].first<{ hash: Uint8Array }>('SELECT hash FROM audit_events WHERE seq = 201', []);
  const checkpoints = [{ origin: 'test', size: 201, hash: Buffer.from(row?.hash ?? []), extensions: [] }];
  const found = async (sql: string) => {
    await runSql(
      url,
      `CREATE TABLE kept AS SELECT * FROM audit_events; CREATE TABLE kept_head AS SELECT * FROM audit_head`,
    );
    await runSql(url, sql);
    const { findings } = await verifyLog(nodes[1], { checkpoints });
    await runSql(
      url,
      `DELETE FROM audit_events; INSERT INTO audit_events SELECT * FROM kept; DROP TABLE kept;
       DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM kept_head; DROP TABLE kept_head`,
    );
    return findings[0] && [findings[0].kind, findings[0].seq];
  };
  assert.deepEqual(await found("UPDATE audit_events SET resource = resource || ' ' WHERE seq = 77"), ['altered', 77]);
  assert.deepEqual(await found('UPDATE audit_events SET purpose = NULL WHERE seq = 201'), ['altered', 201]);
  assert.deepEqual(await found('UPDATE audit_events SET at = 9223372036854775807 WHERE seq = 50'), ['altered', 50]);
  assert.deepEqual(await found('DELETE FROM audit_events WHERE seq = 120'), ['missing', 120]);
  assert.deepEqual(await found('UPDATE audit_events SET seq = 9223372036854775807 WHERE seq = 201'), ['missing', 201]);
  assert.deepEqual(
    await found(`DELETE FROM audit_events WHERE seq > 90;
      UPDATE audit_head SET seq = 90, hash = (SELECT hash FROM audit_events WHERE seq = 90)`),
    ['truncated', 91],
  );
  assert.deepEqual((await verifyLog(nodes[0], { checkpoints })).findings, []);
  await close();
});

test('events are listed and found by the rules that hold on SQLite', async (context) => {
  const { nodes, close } = await twoNodes();
  const [store] = nodes;
  const clock = testClock();
  const dispatch = dispatchOver(store, clock);
  const keyring = await openKeyring({ store, rootKey: localRootKey(randomBytes(32)), clock });
  const audit = await openAudit({
    store,
    clock,
    dispatch,
    sealer: keyring,
    installationId: await installationId({ store, clock }),
    dataFolder: temporaryFolder(context),
    log: { info: () => undefined },
  });
  const events = exampleEvents(120);
  await store.commit([], events);
  const input = {
    operation: 'pki.issue_*',
    resource: 'pki/roles/web-1',
    outcome: 'ok',
    since: new Date(events[10]?.at ?? 0).toISOString(),
    until: new Date(events[110]?.at ?? 0).toISOString(),
    limit: 3,
  };
  const expected = events.filter(
    (event, index) =>
      index >= 10 &&
      index < 110 &&
      event.namespace === 'root' &&
      event.operation === 'pki.issue_certificate' &&
      event.outcome === 'ok' &&
      event.resource?.startsWith(input.resource),
  );
  const found: unknown[] = [];
  let cursor: unknown;
  do {
    const page = await call(dispatch, audit.operations, 'audit.list_events', cursor ? { ...input, cursor } : input);
    found.push(...(page['events'] as { id: string }[]).map((event) => event.id));
    cursor = page['next_cursor'];
  } while (cursor !== null);
  assert.ok(expected.length > 1);
  assert.deepEqual(found, expected.map((event) => event.id).toReversed());
  const shown = await call(dispatch, audit.operations, 'audit.get_event', { id: expected[0]?.id });
  assert.deepEqual(shown['details'], expected[0]?.details);
  await audit.jobs[0]?.run();
  const report = await call(dispatch, audit.operations, 'audit.verify_log');
  assert.deepEqual([report['valid'], report['checkpoints'], report['findings']], [true, 1, []]);
  keyring.close();
  await close();
});

test('a rotation on one node is followed by the other, and nothing sealed by either is lost', async () => {
  const { nodes, close } = await twoNodes();
  const clock = testClock();
  const key = randomBytes(32);
  const keyrings = await Promise.all(
    nodes.map((store) => openKeyring({ store, rootKey: localRootKey(Buffer.from(key)), clock })),
  );
  const [here, there] = keyrings;
  assert.ok(here && there);
  const place = (row: string, table = 'vaults') => ({ table, row, column: 'secret' });
  for (let index = 0; index < 60; index++) {
    const [id, keyring] = [`v${index}`, index % 2 === 0 ? here : there];
    const secret = keyring.seal(place(id), Buffer.from(id));
    const safe = toText(keyring.seal(place(id, 'safes'), Buffer.from(id)));
    await nodes[index % 2]?.commit([
      { kind: 'insert', table: 'vaults', row: { id, secret, pin: null, label: id } },
      { kind: 'insert', table: 'safes', row: { id, secret: safe } },
    ]);
  }
  const seals = nodes.map((store, index) => {
    const dispatch = dispatchOver(store, clock);
    const keyring = keyrings[index] ?? here;
    return { dispatch, seal: createSeal({ store, keyring, clock, columns: vaultColumns, dispatch }) };
  });
  assert.ok(seals[0]);
  await call(seals[0].dispatch, seals[0].seal.operations, 'seal.rotate_key');
  while (here.activeVersion !== 2 || there.activeVersion !== 2) await sleep(5);
  await Promise.all(seals.flatMap(({ seal }) => seal.jobs.map((job) => job.run())));
  assert.deepEqual([...(await countByVersion({ store: nodes[1], columns: vaultColumns }))], [[2, 120]]);
  for (const [index, store] of nodes.entries()) {
    for (const row of await store.all<{ id: string; secret: Uint8Array }>('SELECT id, secret FROM vaults', []))
      assert.equal(String(await keyrings[index]?.open(place(row.id), row.secret)), row.id);
  }
  clock.advance(retiredKeyGrace + 3_600_000);
  for (const { seal } of seals) await seal.jobs[0]?.run();
  assert.deepEqual(
    (await listKeys(nodes[1])).map((row) => row.version),
    [2],
  );
  assert.deepEqual((await verifyLog(nodes[0])).findings, []);
  for (const keyring of keyrings) keyring.close();
  await close();
});
