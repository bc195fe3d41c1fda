import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import type { BoundOperation } from '#core/operation.ts';
import type { Parameter, Store } from '#storage/store.ts';
import { type House, openHouse } from '../auth/house.ts';

/**
 * An error in deciding never means yes (step-ca #2491). Every look into the store and every write that happens on the
 * way of a request is made to fail in turn, and so is every function that deciding calls.
 */
interface Faults {
  /** Counts down calls of the store; the one that finds 0 fails. */
  left: number;
  calls: number;
}

function faulty(store: Store, faults: Faults): Store {
  const trip = (): void => {
    faults.calls++;
    if (faults.left-- === 0) throw new Error('the store broke');
  };
  return {
    ...store,
    async first<Row>(sql: string, parameters: readonly Parameter[]) {
      trip();
      return store.first<Row>(sql, parameters);
    },
    async all<Row>(sql: string, parameters: readonly Parameter[]) {
      trip();
      return store.all<Row>(sql, parameters);
    },
    async commit(...unit) {
      trip();
      return store.commit(...unit);
    },
  };
}

async function faultyHouse(context: TestContext) {
  const faults: Faults = { left: Infinity, calls: 0 };
  const house = await openHouse(context, { wrapStore: (store) => faulty(store, faults) });
  await house.allow('miller', ['mill.*'], ['mill/**']);
  await house.allow('careful', ['mill.*'], ['mill/**'], { approval: true });
  /** Makes everything be read anew, so that nothing answers from memory. */
  const coldStart = async () => {
    faults.left = Infinity;
    const touched = { set: { description: 'touched' } };
    await house.store.commit([
      { kind: 'update', table: 'credentials', ...touched, where: { id: { not: '' } } },
      { kind: 'update', table: 'policies', ...touched, where: { name: { not: '' } } },
    ]);
    faults.calls = 0;
  };
  return { house, faults, coldStart };
}

async function outcome(house: House, ...call: Parameters<House['call']>): Promise<string> {
  try {
    await house.call(...call);
    return 'ok';
  } catch {
    return 'refused';
  }
}

describe('whatever breaks in the store on the way, nothing is allowed', () => {
  test('a request that would pass does not pass when any step of it breaks', async (context) => {
    const { house, faults, coldStart } = await faultyHouse(context);
    const token = await house.narrow(await house.enrol('agent', ['miller']));
    const call = [token, 'mill.grind_corn', { mill: 'a' }] as const;
    await coldStart();
    assert.equal(await outcome(house, ...call), 'ok');
    const steps = faults.calls;
    assert.ok(steps >= 4, `chain, principal, policy, commit: ${steps}`);
    for (let step = 0; step < steps; step++) {
      await coldStart();
      faults.left = step;
      assert.equal(await outcome(house, ...call), 'refused', `step ${step}`);
    }
  });

  test('nor does one that waits for approval, asked or approved', async (context) => {
    const { house, faults, coldStart } = await faultyHouse(context);
    const agent = await house.enrol('agent', ['careful']);
    const call = [agent, 'mill.grind_corn', { mill: 'a' }] as const;
    for (let step = 0; step < 10; step++) {
      await coldStart();
      faults.left = step;
      assert.equal(await outcome(house, ...call), 'refused', `step ${step}`);
    }
    await coldStart();
    const { members } = await house.refusal(...call);
    const approvalId = String(members['approval_id']);
    await house.call(house.admin, 'policy.approve_request', { id: approvalId });
    let step = 0;
    for (; step < 20; step++) {
      await coldStart();
      faults.left = step;
      if ((await outcome(house, ...call, { approvalId })) === 'ok') break;
    }
    assert.ok(step >= 5 && step < 20, `every step but none beyond the last: ${step}`);
    assert.equal(faults.calls, step, 'it passed only when nothing broke');
  });
});

describe('whatever is damaged in the store, nothing is allowed', () => {
  const damages: Readonly<
    Record<string, { table: string; set: Record<string, string>; where: Record<string, string> }>
  > = {
    'rules that are no JSON': { table: 'policies', set: { rules: '[{' }, where: { name: 'miller' } },
    'rules that are no list': { table: 'policies', set: { rules: '{}' }, where: { name: 'miller' } },
    'a rule without effect': {
      table: 'policies',
      set: { rules: '[{"operations":["**"],"resources":["**"]}]' },
      where: { name: 'miller' },
    },
    'a rule with a glob that could not be written': {
      table: 'policies',
      set: { rules: '[{"effect":"allow","operations":["**"],"resources":["**","../x"]}]' },
      where: { name: 'miller' },
    },
    'a narrowing that is no JSON': { table: 'credentials', set: { operations: '["mill.' }, where: { kind: 'token' } },
    'a narrowing with a glob that could not be written': {
      table: 'credentials',
      set: { operations: '["**","A"]' },
      where: { kind: 'token' },
    },
    'a narrowing to nothing': { table: 'credentials', set: { operations: '[]' }, where: { kind: 'token' } },
    'policies that are no JSON': { table: 'principals', set: { policies: 'administrator' }, where: { name: 'agent' } },
    'a policy that is gone': { table: 'principals', set: { policies: '["miller","gone"]' }, where: { name: 'agent' } },
    'a parent that is gone': { table: 'credentials', set: { parent_id: 'key_0' }, where: { kind: 'token' } },
    'a principal that is gone': { table: 'principals', set: { id: 'prn_0' }, where: { name: 'agent' } },
  };
  for (const [name, { table, set, where }] of Object.entries(damages)) {
    test(name, async (context) => {
      const { house } = await faultyHouse(context);
      const token = await house.narrow(await house.enrol('agent', ['miller']), { operations: ['mill.*'] });
      assert.equal(await outcome(house, token, 'mill.get_mill', { mill: 'a' }), 'ok');
      await house.store.commit([{ kind: 'update', table, set, where, expect: 1 }]);
      assert.equal(await outcome(house, token, 'mill.get_mill', { mill: 'a' }), 'refused');
    });
  }
});

test('whatever function of an operation throws, nothing is allowed', async (context) => {
  const { house } = await faultyHouse(context);
  const mill = house.operations.find((operation) => operation.id === 'mill.get_mill');
  assert.ok(mill !== undefined);
  const boom = (): never => {
    throw new Error('broken');
  };
  const credentials = { kind: 'bearer', token: house.admin } as const;
  const call = {
    input: { mill: 'a' },
    credentials,
    transport: 'rest',
    sourceAddress: null,
    requestId: 'req_test',
  } as const;
  await house.dispatch({ ...call, operation: mill });
  const broken: readonly Partial<BoundOperation>[] = [{ resource: boom }, { facts: boom }, { access: boom }];
  for (const each of broken) await assert.rejects(house.dispatch({ ...call, operation: { ...mill, ...each } }));
  await assert.rejects(house.dispatch({ ...call, operation: { ...mill, access: boom } }), { code: 'denied' });
});

describe('background work', () => {
  const system = (job: string, namespace = 'root') => ({
    credentials: { kind: 'system', job, namespace } as const,
    transport: 'system' as const,
  });

  test('a job does what is listed for it and nothing else, and a job that is not listed does nothing', async (context) => {
    const house = await openHouse(context, {
      jobs: { 'mill.clean': { operations: ['mill.get_*'], resources: ['mill/mills/**'] } },
    });
    const look = (more: object, mill = 'a') => house.code(undefined, 'mill.get_mill', { mill }, more);
    assert.equal(await look(system('mill.clean')), 'ok');
    assert.equal(await look(system('mill.clean', 'elsewhere')), 'ok');
    assert.equal(await look(system('mill.clean'), 'A'), 'denied');
    for (const job of ['mill', 'mill.Clean', 'constructor', '__proto__', ''])
      assert.equal(await look(system(job)), 'denied', job);
    for (const [operation, input] of [
      ['mill.grind_corn', { mill: 'a' }],
      ['auth.whoami', {}],
      ['auth.create_token', {}],
      ['auth.list_namespaces', {}],
    ] as const)
      assert.equal(await house.code(undefined, operation, input, system('mill.clean')), 'denied', operation);
  });

  test('no principal passes for a job by its name', async (context) => {
    const house = await openHouse(context, { jobs: { clean: { operations: ['**'], resources: ['**'] } } });
    const key = await house.enrol('clean', []);
    assert.equal(await house.code(key, 'mill.get_mill', { mill: 'a' }), 'denied');
    assert.equal(await house.code(undefined, 'mill.get_mill', { mill: 'a' }, system('clean')), 'ok');
  });
});
