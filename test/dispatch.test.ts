import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { z } from 'zod';
import { auditLinker } from '#audit/chain.ts';
import { insert, update } from '#core/change.ts';
import { createDispatch, type Credentials } from '#core/dispatch.ts';
import { AppError } from '#core/errors.ts';
import { type AnyOperation, bind, defineOperation } from '#core/operation.ts';
import { createAuthorize } from '#policy/authorize.ts';
import { createIdempotencyLedger } from '#storage/idempotency.ts';
import { openStore } from '#storage/open.ts';
import type { Store } from '#storage/store.ts';

/** What dispatch does for operations that reach outside the store, and for those whose thing has an owner. */

const things = {
  area: 'things',
  number: 1,
  title: 'things',
  statements: [
    'CREATE TABLE things (name TEXT PRIMARY KEY, namespace TEXT NOT NULL, owner TEXT NOT NULL, state TEXT NOT NULL)',
  ],
};

const clock = { now: () => 1_800_000_000_000 };

async function house(context: TestContext, ...operations: readonly AnyOperation<{ readonly store: Store }>[]) {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-dispatch-'));
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const url = `sqlite:${join(folder, 'chancery.db')}`;
  const store = await openStore({ url, linker: auditLinker, migrations: [things], log });
  context.after(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const commit = store.commit.bind(store);
  const dispatch = createDispatch({
    clock,
    commit,
    authenticate: async (credentials) => principal(credentials),
    authorize: createAuthorize({ store, commit, jobs: {} }),
    idempotency: createIdempotencyLedger(store, clock),
  });
  const [bound] = bind(operations, { store });
  assert.ok(bound);
  const call = (name: string, by: string, idempotencyKey?: string) =>
    dispatch({
      operation: bound,
      input: { name },
      credentials: { kind: 'bearer', token: by },
      transport: 'rest',
      sourceAddress: null,
      requestId: 'req_1',
      idempotencyKey,
    });
  const state = async (name: string) =>
    (await store.first<{ state: string }>('SELECT state FROM things WHERE name = ?', [name]))?.state;
  const outcomes = async () =>
    (await store.all<{ outcome: string }>('SELECT outcome FROM audit_events ORDER BY seq', [])).map(
      (row) => row.outcome,
    );
  return { store, call, state, outcomes };
}

function principal(credentials: Credentials) {
  const name = credentials.kind === 'bearer' ? credentials.token : 'nobody';
  const policies = name === 'admin' ? ['administrator'] : [];
  return {
    id: `prn_${name}`,
    name,
    namespace: 'root',
    kind: 'human',
    policies,
    credentialId: 'crd_1',
    narrowings: [],
  } as const;
}

const fields = {
  title: 'Make a thing',
  summary: 'Makes a thing outside.',
  input: z.strictObject({ name: z.string() }),
  output: z.strictObject({ seen: z.string() }),
  http: { method: 'POST', path: '/things' },
  resource: () => 'things/one',
  effect: 'additive',
  openWorld: true,
} as const;

function maker(effect: (seen: string, name: string) => Promise<void> | void) {
  return defineOperation({
    ...fields,
    id: 'things.make_thing',
    async intend(grant, { name }) {
      const row = { name, namespace: grant.namespace, owner: grant.principal.name, state: 'making' };
      return { plan: { name }, changes: [insert('things', row)], audit: { name } };
    },
    async run(_grant, _input, { store }: { readonly store: Store }, plan) {
      const row = await store.first<{ state: string }>('SELECT state FROM things WHERE name = ?', [plan.name]);
      await effect(row?.state ?? 'absent', plan.name);
      const made = update('things', { state: 'made' }, { name: plan.name, state: 'making' }, { expect: 1 });
      return { output: { seen: row?.state ?? 'absent' }, changes: [made] };
    },
  });
}

test('the intent is stored and audited before the effect, the result after it', async (context) => {
  const { call, state, outcomes } = await house(
    context,
    maker(() => undefined),
  );
  const reply = await call('a', 'admin');
  assert.deepEqual(reply.output, { seen: 'making' });
  assert.equal(await state('a'), 'made');
  assert.deepEqual(await outcomes(), ['intent', 'ok']);
});

test('an effect that fails leaves its intent on record', async (context) => {
  const failing = maker(() => {
    throw new AppError('unavailable', 'The target does not answer.');
  });
  const { call, state, outcomes } = await house(context, failing);
  await assert.rejects(call('a', 'admin'), { code: 'unavailable' });
  assert.equal(await state('a'), 'making');
  assert.deepEqual(await outcomes(), ['intent', 'failed']);
});

test('an effect happens once, even when its result meets a conflict', async (context) => {
  let effects = 0;
  const { call, store, outcomes } = await house(
    context,
    maker(async (_, name) => {
      effects++;
      await store.commit([update('things', { state: 'ended' }, { name })]);
    }),
  );
  await assert.rejects(call('a', 'admin'), { code: 'conflict' });
  assert.equal(effects, 1);
  assert.deepEqual(await outcomes(), ['intent', 'failed']);
});

test('what was made is undone when its result cannot be committed, and only then', async (context) => {
  const undone: string[] = [];
  const operation = maker(async (_, name) => {
    if (name !== 'good') await store.commit([update('things', { state: 'ended' }, { name })]);
  });
  const { call, store } = await house(context, {
    ...operation,
    async run(grant, input, deps, plan) {
      const outcome = await operation.run(grant, input, deps, plan);
      return { ...outcome, undone: async () => void undone.push(plan.name) };
    },
  } satisfies typeof operation);
  await call('good', 'admin');
  assert.deepEqual(undone, []);
  await assert.rejects(call('bad', 'admin'), { code: 'conflict' });
  assert.deepEqual(undone, ['bad']);
});

test('an intent that meets a conflict is made again from what is stored then', async (context) => {
  let tries = 0;
  const retrying = defineOperation({
    ...fields,
    id: 'things.count_thing',
    async intend(grant, { name }, { store }: { readonly store: Store }) {
      const row = { name, namespace: grant.namespace, owner: 'x', state: String(++tries) };
      // The first try guards on a row that is not there, as when somebody else changed it after it was read.
      const guard = update('things', { state: 'x' }, { name: 'missing' }, { expect: tries === 1 ? 1 : 0 });
      await store.ping();
      return { plan: undefined, changes: [guard, insert('things', row)] };
    },
    async run() {
      return { output: { seen: String(tries) } };
    },
  });
  const { call, state, outcomes } = await house(context, retrying);
  assert.deepEqual((await call('a', 'admin')).output, { seen: '2' });
  assert.equal(await state('a'), '2');
  assert.deepEqual(await outcomes(), ['intent', 'ok']);
});

test('a repeat with the same Idempotency-Key intends nothing and does nothing', async (context) => {
  let effects = 0;
  const { call, outcomes } = await house(
    context,
    maker(() => {
      effects++;
    }),
  );
  await call('a', 'admin', 'key-1');
  const again = await call('a', 'admin', 'key-1');
  assert.equal(again.replayed, true);
  assert.equal(effects, 1);
  assert.deepEqual(await outcomes(), ['intent', 'ok', 'ok']);
});

test('a denied call intends nothing', async (context) => {
  const { call, state, outcomes } = await house(
    context,
    maker(() => undefined),
  );
  await assert.rejects(call('a', 'nobody'), { code: 'denied' });
  assert.equal(await state('a'), undefined);
  assert.deepEqual(await outcomes(), ['denied']);
});

const taker = defineOperation({
  ...fields,
  id: 'things.take_thing',
  effect: 'mutating',
  owner: async (namespace, { name }, { store }: { readonly store: Store }) =>
    (
      await store.first<{ owner: string }>('SELECT owner FROM things WHERE namespace = ? AND name = ?', [
        namespace,
        name,
      ])
    )?.owner,
  async run(grant) {
    return { output: { seen: grant.principal.name } };
  },
});

test('an owner needs no rule, others do', async (context) => {
  const { call, store } = await house(context, taker);
  await store.commit([insert('things', { name: 'a', namespace: 'root', owner: 'ann', state: 'made' })]);
  await store.commit([insert('things', { name: 'b', namespace: 'other', owner: 'ann', state: 'made' })]);
  assert.deepEqual((await call('a', 'ann')).output, { seen: 'ann' });
  assert.deepEqual((await call('a', 'admin')).output, { seen: 'admin' });
  await assert.rejects(call('a', 'bob'), { code: 'denied' });
  await assert.rejects(call('b', 'ann'), { code: 'denied' }, 'a namesake in another namespace owns nothing here');
  await assert.rejects(call('missing', 'ann'), { code: 'denied' });
});

test('when the owner cannot be found out, the call is denied', async (context) => {
  const broken = defineOperation({
    ...fields,
    id: 'things.break_thing',
    owner: async (): Promise<string> => {
      throw new Error('no answer');
    },
    async run(_grant, _input, _deps: { readonly store: Store }) {
      return { output: { seen: '' } };
    },
  });
  const { call } = await house(context, broken);
  await assert.rejects(call('a', 'admin'), { code: 'denied' });
});

test('an answer says that its outcome is not known, also when that cannot be recorded', async (context) => {
  const lost = new AppError('unavailable', 'It may have been stored or not.');
  const { call } = await house(context, losing(lost));
  await assert.rejects(call('a', 'admin'), (error) => error === lost);
});

test('an error that cannot be recorded is answered as unavailable, not as what it was', async (context) => {
  const { call } = await house(context, losing(new AppError('invalid_request', 'The name is bad.')));
  await assert.rejects(call('a', 'admin'), { code: 'unavailable', message: 'The store is closed.' });
});

/** Fails, and the store is away from then on. */
function losing(error: AppError) {
  return defineOperation({
    ...fields,
    id: 'things.lose_thing',
    async run(_grant, _input, { store }: { readonly store: Store }) {
      await store.close();
      throw error;
    },
  });
}
