import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { openKeyring } from '#seal/keyring.ts';
import type { RootKey } from '#seal/root-key.ts';
import { createSeal } from '#seal/seal.ts';
import { installationId, sealedSetting } from '#seal/settings.ts';
import { call, dispatchOver, newRootKey, temporaryStore, testClock, vaultColumns } from './support.ts';

async function newSeal(context: TestContext) {
  const { store } = await temporaryStore(context);
  const clock = testClock();
  const { rootKey, bytes } = newRootKey();
  const secrets: Buffer[] = [bytes];
  const spying: RootKey = {
    ...rootKey,
    wrap: (key, version) => {
      secrets.push(Buffer.from(key));
      return rootKey.wrap(key, version);
    },
  };
  const keyring = await openKeyring({ store, rootKey: spying, clock });
  const dispatch = dispatchOver(store, clock);
  const seal = createSeal({ store, keyring, clock, columns: vaultColumns, dispatch });
  context.after(() => seal.close());
  const run = (id: string, input: unknown = {}, namespace = 'root') =>
    call(dispatch, seal.operations, id, input, namespace);
  return { store, clock, keyring, seal, run, secrets };
}

test('the status tells versions and counts, and no answer or audit event tells a key', async (context) => {
  const { store, clock, keyring, seal, run, secrets } = await newSeal(context);
  const secret = keyring.seal({ table: 'vaults', row: 'a', column: 'secret' }, Buffer.from('x'));
  await store.commit([{ kind: 'insert', table: 'vaults', row: { id: 'a', secret, pin: Buffer.of(9), label: 'a' } }]);
  clock.advance(5000);
  const rotated = await run('seal.rotate_key');
  assert.deepEqual(rotated, { version: 2, previous_version: 1 });
  const status = await run('seal.get_status');
  assert.deepEqual(status, {
    root_key_id: keyring.rootKeyId,
    active_version: 2,
    versions: [
      { version: 1, state: 'retired', created_at: '2026-11-21T10:00:00Z', values: 1 },
      { version: 2, state: 'active', created_at: '2026-11-21T10:00:05Z', values: 0 },
    ],
    unreadable_values: 1,
    rewrap_pending: true,
    sealed_since_start: 0,
    advice: null,
  });
  const page = await run('seal.rewrap_values');
  assert.deepEqual({ ...page, next_cursor: null }, { scanned: 0, rewrapped: 0, unreadable: [], next_cursor: null });
  await seal.jobs[0]?.run();
  const done = await run('seal.get_status');
  assert.equal(done['rewrap_pending'], false);
  const deleted = await run('seal.delete_unused_keys');
  const log = await store.all('SELECT * FROM audit_events', []);
  const said = JSON.stringify([rotated, status, page, done, deleted, log]);
  assert.equal(secrets.length, 3);
  for (const key of secrets)
    assert.ok(
      !said.includes(key.toString('base64')) && !said.includes(key.toString('hex')) && !said.includes('"data":['),
    );
});

test('nobody of another namespace may run an operation on the seal, even if a policy let them', async (context) => {
  const { store, seal, run } = await newSeal(context);
  const before = await store.all('SELECT * FROM seal_keys', []);
  for (const operation of seal.operations) {
    assert.equal(operation.installation, true);
    await assert.rejects(
      run(operation.id, {}, 'team-b'),
      (error: unknown) => error instanceof AppError && error.code === 'denied',
    );
    const grant = { namespace: 'Root', now: 0 } as unknown as Grant;
    await assert.rejects(
      operation.run(grant, {}),
      (error: unknown) => error instanceof AppError && error.code === 'denied',
    );
  }
  assert.deepEqual(await store.all('SELECT * FROM seal_keys', []), before);
});

test('a rotation is one audit event with its versions', async (context) => {
  const { store, run } = await newSeal(context);
  await run('seal.rotate_key');
  await run('seal.rotate_key');
  const events = await store.all<{ details: string; outcome: string }>(
    "SELECT details, outcome FROM audit_events WHERE operation = 'seal.rotate_key' ORDER BY seq",
    [],
  );
  assert.deepEqual(
    events.map(({ details, outcome }) => [outcome, JSON.parse(details) as unknown]),
    [
      ['ok', { version: 2, previous: 1 }],
      ['ok', { version: 3, previous: 2 }],
    ],
  );
});

test('ten rotations at once make ten versions, one after the other, or are refused as conflicts', async (context) => {
  const { store, run } = await newSeal(context);
  const results = await Promise.allSettled(Array.from({ length: 10 }, () => run('seal.rotate_key')));
  const rows = await store.all<{ version: number; state: string }>(
    'SELECT version, state FROM seal_keys ORDER BY version',
    [],
  );
  const made = results.filter((result) => result.status === 'fulfilled').length;
  assert.ok(made >= 1);
  assert.equal(rows.length, 1 + made);
  assert.deepEqual(
    rows.map((row) => row.state),
    [...rows.slice(1).map(() => 'retired'), 'active'],
  );
});

test('the id of the installation and a sealed setting are made once, and the setting survives a rotation', async (context) => {
  const { store, clock, keyring, seal, run } = await newSeal(context);
  const deps = { store, clock, sealer: keyring };
  const ids = await Promise.all([installationId(deps), installationId(deps)]);
  assert.match(ids[0] ?? '', /^[0-9a-f]{16}$/);
  assert.equal(ids[0], ids[1]);
  let made = 0;
  const make = () => Buffer.from(`secret ${++made}`);
  const both = await Promise.all([sealedSetting(deps, 'some_key', make), sealedSetting(deps, 'some_key', make)]);
  assert.equal(String(both[0]), String(both[1]));
  await run('seal.rotate_key');
  await seal.jobs[0]?.run();
  const row = await store.first<{ value: string }>("SELECT value FROM settings WHERE name = 'some_key'", []);
  assert.match(row?.value ?? '', /^sealed:AQAAAA/);
  assert.equal(Buffer.from(row?.value.slice(7) ?? '', 'base64').readUInt32BE(1), 2);
  assert.equal(String(await sealedSetting(deps, 'some_key', () => assert.fail('made again'))), String(both[0]));
  assert.equal(await installationId(deps), ids[0]);
});

test('a setting that was replaced by one in the clear, or by that of another name, is refused', async (context) => {
  const { store, clock, keyring } = await newSeal(context);
  const deps = { store, clock, sealer: keyring };
  for (const name of ['one', 'two']) await sealedSetting(deps, name, () => Buffer.from(name));
  const two = await store.first<{ value: string }>("SELECT value FROM settings WHERE name = 'two'", []);
  for (const value of ['attacker', two?.value ?? '', 'sealed:', 'sealed:AAAA']) {
    await store.commit([{ kind: 'update', table: 'settings', set: { value }, where: { name: 'one' }, expect: 1 }]);
    await assert.rejects(
      sealedSetting(deps, 'one', () => assert.fail('made again')),
      (error: unknown) => error instanceof AppError && error.code === 'sealed_value_unreadable',
    );
  }
});
