import assert from 'node:assert/strict';
import { after, before, describe, test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { makeGrant } from '#core/grant.ts';
import { canonicalJson } from '#storage/canonical-json.ts';
import { createIdempotencyLedger, idempotencyLife, tidyIdempotencyKeys } from '#storage/idempotency.ts';
import { appError, type Backend, openThings, postgresBackend, sqliteBackend } from './support.ts';

const clock = { time: 1_800_000_000_000, now: () => clock.time };

function grantOf(principalId: string, operation = 'things.make_thing', namespace = 'root') {
  const principal = {
    id: principalId,
    name: principalId,
    namespace,
    kind: 'agent',
    policies: [],
    credentialId: 'key_1',
    narrowings: [],
  } as const;
  return makeGrant({
    principal,
    namespace,
    operation,
    resource: 'things/a',
    purpose: undefined,
    limits: {},
    requestId: 'req_1',
    sourceAddress: null,
    now: clock.now(),
  });
}

async function newLedger(context: TestContext, backend: Backend) {
  const store = await openThings(await backend.newUrl());
  context.after(() => store.close());
  const ledger = createIdempotencyLedger(store, clock);
  return { store, ledger };
}

for (const backend of [sqliteBackend(), postgresBackend()]) {
  describe(`the idempotency ledger on ${backend.kind}`, () => {
    before(() => backend.start());
    after(() => backend.stop());
    ledgerTests(backend);
  });
}

function ledgerTests(backend: Backend): void {
  test('an answer is found again by the same principal, key and request, however the input is ordered', async (context) => {
    const { store, ledger } = await newLedger(context, backend);
    const grant = grantOf('prn_1');
    assert.equal(await ledger.find(grant, 'k', { a: 1, b: [2] }), undefined);
    await store.commit([ledger.keep(grant, 'k', { a: 1, b: [2] }, { id: 'x', list: [1, null] })]);
    assert.deepEqual(await ledger.find(grantOf('prn_1'), 'k', { b: [2], a: 1 }), {
      output: { id: 'x', list: [1, null] },
    });
  });

  test('keys belong to one principal in one namespace', async (context) => {
    const { store, ledger } = await newLedger(context, backend);
    await store.commit([ledger.keep(grantOf('prn_1'), 'k', {}, 1)]);
    assert.equal(await ledger.find(grantOf('prn_2'), 'k', {}), undefined);
    assert.equal(await ledger.find(grantOf('prn_1', 'things.make_thing', 'other'), 'k', {}), undefined);
    assert.equal(await ledger.find(grantOf('prn_1'), 'K', {}), undefined);
    await store.commit([ledger.keep(grantOf('prn_2'), 'k', { other: true }, 2)]);
    assert.deepEqual(await ledger.find(grantOf('prn_2'), 'k', { other: true }), { output: 2 });
  });

  test('a key that was used for another request is a conflict', async (context) => {
    const { store, ledger } = await newLedger(context, backend);
    await store.commit([ledger.keep(grantOf('prn_1'), 'k', { a: 1 }, 1)]);
    await assert.rejects(ledger.find(grantOf('prn_1'), 'k', { a: 2 }), appError('conflict', /another request/));
    await assert.rejects(
      ledger.find(grantOf('prn_1', 'things.drop_thing'), 'k', { a: 1 }),
      appError('conflict', /another request/),
    );
  });

  test('of two twins, one keeps its answer and the other has a conflict', async (context) => {
    const { store, ledger } = await newLedger(context, backend);
    const results = await Promise.allSettled([
      store.commit([ledger.keep(grantOf('prn_1'), 'k', {}, 1)]),
      store.commit([ledger.keep(grantOf('prn_1'), 'k', {}, 2)]),
    ]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected'],
    );
  });

  test('after a day a key is free again, and of two twins that take it over one wins', async (context) => {
    const { store, ledger } = await newLedger(context, backend);
    await store.commit([ledger.keep(grantOf('prn_1'), 'k', { a: 1 }, 'old')]);
    clock.time += idempotencyLife - 1;
    assert.deepEqual(await ledger.find(grantOf('prn_1'), 'k', { a: 1 }), { output: 'old' });
    clock.time += 1;
    const twins = [grantOf('prn_1'), grantOf('prn_1')];
    for (const grant of twins) assert.equal(await ledger.find(grant, 'k', { a: 2 }), undefined);
    const results = await Promise.allSettled(
      twins.map((grant, index) => store.commit([ledger.keep(grant, 'k', { a: 2 }, index)])),
    );
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected'],
    );
    assert.deepEqual(await ledger.find(grantOf('prn_1'), 'k', { a: 2 }), { output: 0 });
  });

  test('tidying removes what has expired and nothing else', async (context) => {
    const { store, ledger } = await newLedger(context, backend);
    await store.commit([ledger.keep(grantOf('prn_1'), 'old', {}, 1)]);
    clock.time += idempotencyLife;
    await store.commit([ledger.keep(grantOf('prn_1'), 'new', {}, 2)]);
    await store.commit([tidyIdempotencyKeys(clock.now())]);
    const rows = await store.all<{ key: string }>('SELECT key FROM idempotency_keys', []);
    assert.deepEqual(
      rows.map(({ key }) => key),
      ['new'],
    );
    assert.deepEqual(await ledger.find(grantOf('prn_1'), 'new', {}), { output: 2 });
  });
}

test('canonical JSON is one text for one value, and reads back as that value', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      assert.deepEqual(JSON.parse(canonicalJson(value)), JSON.parse(JSON.stringify(value)));
      assert.equal(canonicalJson(shuffled(value)), canonicalJson(value));
    }),
  );
});

/** The same value with the members of its objects in another order. */
function shuffled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shuffled);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).toReversed();
  return Object.assign(
    Object.create(null) as object,
    ...members.map(([key, member]) => Object.fromEntries([[key, shuffled(member)]])),
  );
}

test('canonical JSON leaves out members that are undefined', () => {
  assert.equal(canonicalJson({ b: undefined, a: { d: 1, c: undefined } }), '{"a":{"d":1}}');
  assert.equal(canonicalJson(undefined), 'null');
});
