import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { House } from '../auth/house.ts';
import { openHouse } from '../auth/house.ts';

const day = 86_400_000;
const corn = { mill: 'web-1', ttl: 60, purpose: 'bread' };

async function setUp(context: TestContext) {
  const house = await openHouse(context);
  await house.allow('careful', ['mill.*'], ['mill/**'], { approval: true });
  await house.allow(
    'approver',
    ['policy.approve_request', 'policy.reject_request', 'policy.get_approval'],
    ['approvals/**'],
  );
  const agent = await house.enrol('agent', ['careful', 'approver']);
  const boss = await house.enrol('boss', ['approver']);
  return { house, agent, boss };
}

async function ask(house: House, token: string, input: object = corn): Promise<string> {
  const refusal = await house.refusal(token, 'mill.grind_corn', input);
  assert.equal(refusal.code, 'approval_required', refusal.message);
  return String(refusal.members['approval_id']);
}
const approve = (house: House, token: string, id: string) => house.code(token, 'policy.approve_request', { id });
const repeat = (house: House, token: string, approvalId: string, input: object = corn) =>
  house.code(token, 'mill.grind_corn', input, { approvalId });
const stateOf = async (house: House, id: string) =>
  (await house.call<{ state: string }>(house.admin, 'policy.get_approval', { id })).state;

test('a request waits for somebody else, then passes exactly once', async (context) => {
  const { house, agent, boss } = await setUp(context);
  const id = await ask(house, agent);
  assert.equal(house.limits(), undefined, 'the operation has not run');
  assert.equal(await repeat(house, agent, id), 'approval_required', 'still pending');
  assert.equal(await approve(house, boss, id), 'ok');
  const shown = await house.call(boss, 'policy.get_approval', { id });
  assert.deepEqual(
    [shown['principal'], shown['operation'], shown['resource'], shown['purpose'], shown['state'], shown['decided_by']],
    ['agent', 'mill.grind_corn', 'mill/mills/web-1', 'bread', 'approved', 'boss'],
  );
  assert.equal(await repeat(house, agent, id), 'ok');
  assert.equal(await stateOf(house, id), 'used');
  assert.equal(await repeat(house, agent, id), 'denied');
  assert.notEqual(await ask(house, agent), id, 'a new request is a new approval');
});

describe('with an Idempotency-Key', () => {
  const key = { idempotencyKey: 'corn-1' };
  const rowsOf = async (house: House) => (await house.store.all('SELECT id FROM approvals', [])).length;
  const succeed = async (context: TestContext) => {
    const { house, agent, boss } = await setUp(context);
    const id = await ask(house, agent);
    await approve(house, boss, id);
    assert.equal(await house.code(agent, 'mill.grind_corn', corn, { ...key, approvalId: id }), 'ok');
    return { house, agent, boss, id };
  };
  const replay = (house: House, token: string, more: object = {}, input: object = corn) =>
    house.code(token, 'mill.grind_corn', input, { ...key, ...more });

  test('a repeat after success gets the kept answer, and neither asks for an approval nor spends one', async (context) => {
    const { house, agent, boss, id } = await succeed(context);
    assert.equal(await replay(house, agent), 'ok');
    assert.equal(await replay(house, agent, { approvalId: id }), 'ok', 'with the approval that was used');
    assert.equal(await rowsOf(house), 1, 'nothing new waits for an approval');
    const next = await ask(house, agent);
    await approve(house, boss, next);
    assert.equal(await replay(house, agent, { approvalId: next }), 'ok');
    assert.equal(await stateOf(house, next), 'approved', 'it is still good for a request of its own');
  });

  test('another request under the same key, and the same one under another, get nothing by it', async (context) => {
    const { house, agent } = await succeed(context);
    assert.equal(await replay(house, agent, {}, { ...corn, ttl: 61 }), 'conflict');
    assert.equal(await replay(house, agent, { idempotencyKey: 'corn-2' }), 'approval_required');
    assert.equal(await replay(house, await house.enrol('other', ['careful'])), 'approval_required');
  });

  test('before the first success, a repeat asks for the same approval', async (context) => {
    const { house, agent } = await setUp(context);
    assert.equal(await replay(house, agent), 'approval_required');
    assert.equal(await replay(house, agent), 'approval_required');
    assert.equal(await rowsOf(house), 1);
  });

  test('who may not make the request any more gets no kept answer either', async (context) => {
    const { house, agent } = await succeed(context);
    await house.call(house.admin, 'auth.update_principal', { name: 'agent', policies: ['approver'] });
    assert.equal(await replay(house, agent), 'denied');
    const narrowed = await succeed(context);
    const child = await narrowed.house.narrow(narrowed.agent, { resources: ['mill/mills/web-2'] });
    assert.equal(await replay(narrowed.house, child), 'denied');
  });

  test('when the answer is gone by the time it is to be given, nothing is done', async (context) => {
    let kept = 0;
    const house = await openHouse(context, {
      breaking: (deps) => ({
        ...deps,
        idempotency: { ...deps.idempotency, find: async () => (kept++ === 0 ? { output: {} } : undefined) },
      }),
    });
    await house.allow('careful', ['mill.*'], ['mill/**'], { approval: true });
    const agent = await house.enrol('agent', ['careful']);
    assert.equal(await replay(house, agent), 'conflict');
    assert.equal(house.limits(), undefined, 'the operation has not run');
  });
});

test('of many repeats at once, one passes', async (context) => {
  const { house, agent, boss } = await setUp(context);
  const id = await ask(house, agent);
  await approve(house, boss, id);
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => repeat(house, agent, id)));
  assert.equal(outcomes.filter((code) => code === 'ok').length, 1, outcomes.join());
  assert.ok(
    outcomes.every((code) => code === 'ok' || code === 'denied'),
    outcomes.join(),
  );
});

test('the first try is kept once, however often it is made', async (context) => {
  const { house, agent } = await setUp(context);
  const id = await ask(house, agent);
  assert.equal(await ask(house, agent), id);
  assert.equal(
    await ask(house, agent, { purpose: 'bread', ttl: 60, mill: 'web-1' }),
    id,
    'the order of fields does not matter',
  );
  assert.notEqual(await ask(house, agent, { ...corn, ttl: 61 }), id);
});

describe('nobody approves their own request', () => {
  test('not by the same key, not by another key, not by a child token', async (context) => {
    const { house, agent } = await setUp(context);
    const { key } = await house.call<{ key: string }>(house.admin, 'auth.create_key', { principal: 'agent' });
    const id = await ask(house, agent);
    for (const token of [agent, key, await house.narrow(agent), await house.narrow(key, { operations: ['policy.*'] })])
      for (const operation of ['policy.approve_request', 'policy.reject_request'])
        assert.equal(await house.code(token, operation, { id }), 'denied');
    const viaChild = await ask(house, await house.narrow(agent), { ...corn, ttl: 61 });
    assert.equal(await approve(house, agent, viaChild), 'denied');
    assert.equal(await stateOf(house, id), 'pending');
  });

  test('and nobody without the permission approves that of others', async (context) => {
    const { house, agent } = await setUp(context);
    const stranger = await house.enrol('stranger', ['careful', 'auditor']);
    const id = await ask(house, agent);
    assert.equal(await approve(house, stranger, id), 'denied');
  });
});

describe('an approval is for one request', () => {
  test('not for another input, resource, operation or principal', async (context) => {
    const { house, agent, boss } = await setUp(context);
    const other = await house.enrol('other', ['careful']);
    const id = await ask(house, agent);
    await approve(house, boss, id);
    assert.equal(await repeat(house, agent, id, { ...corn, ttl: 61 }), 'denied');
    assert.equal(await repeat(house, agent, id, { ...corn, purpose: 'cake' }), 'denied');
    assert.equal(await repeat(house, agent, id, { ...corn, mill: 'web-2' }), 'denied');
    assert.equal(await repeat(house, agent, id, { mill: 'web-1', ttl: 60 }), 'denied');
    assert.equal(await house.code(agent, 'mill.get_mill', { mill: 'web-1' }, { approvalId: id }), 'denied');
    assert.equal(await repeat(house, other, id), 'denied');
    assert.equal(await stateOf(house, id), 'approved', 'no try used it up');
    assert.equal(await repeat(house, agent, id), 'ok');
  });

  test('and not under another spelling of its id', async (context) => {
    const { house, agent, boss } = await setUp(context);
    const id = await ask(house, agent);
    await approve(house, boss, id);
    for (const spelling of [
      id.toUpperCase(),
      ` ${id}`,
      `${id} `,
      `${id}\n`,
      `${id}%20`,
      `${id}/`,
      '',
      '%',
      '_',
      `apr_${'0'.repeat(26)}`,
    ])
      assert.equal(await repeat(house, agent, spelling), 'denied', JSON.stringify(spelling));
    assert.equal(await repeat(house, agent, id), 'ok');
  });
});

test('an approval that is given for a request that needs none is not used up', async (context) => {
  const { house, agent, boss } = await setUp(context);
  const id = await ask(house, agent);
  await approve(house, boss, id);
  await house.allow('free', ['mill.*'], ['**']);
  await house.call(house.admin, 'auth.update_principal', { name: 'agent', policies: ['careful', 'approver', 'free'] });
  assert.equal(await repeat(house, agent, id), 'ok');
  assert.equal(await stateOf(house, id), 'approved');
});

test('an approval does not outlive the policies that wanted it', async (context) => {
  const { house, agent, boss } = await setUp(context);
  const id = await ask(house, agent);
  await approve(house, boss, id);
  await house.call(house.admin, 'auth.update_principal', { name: 'agent', policies: ['approver'] });
  assert.equal(await repeat(house, agent, id), 'denied');
});

test('a rejected request stays rejected', async (context) => {
  const { house, agent, boss } = await setUp(context);
  const id = await ask(house, agent);
  assert.equal(await house.code(boss, 'policy.reject_request', { id }), 'ok');
  assert.equal(await approve(house, boss, id), 'wrong_state');
  assert.equal(await repeat(house, agent, id), 'denied');
});

test('of an approval and a rejection at once, one counts', async (context) => {
  const { house, agent, boss } = await setUp(context);
  for (let round = 0; round < 10; round++) {
    const id = await ask(house, agent, { ...corn, ttl: 100 + round });
    const outcomes = await Promise.all([
      approve(house, boss, id),
      house.code(house.admin, 'policy.reject_request', { id }),
    ]);
    assert.deepEqual(
      outcomes.sort((a, b) => a.localeCompare(b)),
      ['ok', 'wrong_state'],
    );
  }
});

test('everything ends 24 hours after the first try', async (context) => {
  const { house, agent, boss } = await setUp(context);
  const [early, late] = [await ask(house, agent), await ask(house, agent, { ...corn, ttl: 61 })];
  await approve(house, boss, early);
  house.clock.advance(day - 1);
  assert.equal(await stateOf(house, early), 'approved');
  house.clock.advance(1);
  assert.equal(await repeat(house, agent, early), 'denied');
  assert.equal(await approve(house, boss, late), 'wrong_state');
  assert.deepEqual([await stateOf(house, early), await stateOf(house, late)], ['expired', 'expired']);
  assert.notEqual(await ask(house, agent), early);
});

test('everybody lists their own requests, and all of them only by policy', async (context) => {
  const { house, agent, boss } = await setUp(context);
  const id = await ask(house, agent);
  const list = async (token: string, input: object) =>
    (await house.call<{ approvals: { id: string }[] }>(token, 'policy.list_approvals', input)).approvals.map(
      (each) => each.id,
    );
  assert.deepEqual(await list(agent, { mine: true }), [id]);
  assert.deepEqual(await list(boss, { mine: true }), []);
  assert.equal(await house.code(boss, 'policy.list_approvals'), 'denied');
  assert.deepEqual(await list(house.admin, {}), [id]);
  assert.deepEqual(await list(house.admin, { state: 'approved' }), []);
  await approve(house, boss, id);
  assert.deepEqual(await list(house.admin, { state: 'approved' }), [id]);
  house.clock.advance(day);
  assert.deepEqual(await list(house.admin, { state: 'expired' }), [id]);
  assert.deepEqual(await list(house.admin, { state: 'approved' }), []);
});

test('a principal has at most a hundred requests waiting', async (context) => {
  const { house, agent } = await setUp(context);
  for (let index = 0; index < 100; index++) await ask(house, agent, { ...corn, ttl: 1000 + index });
  assert.equal(await house.code(agent, 'mill.grind_corn', corn), 'rate_limited');
  await ask(house, agent, { ...corn, ttl: 1000 });
});

test('a deny that wants approval makes an allowed request wait', async (context) => {
  const { house, boss } = await setUp(context);
  const rules = [
    { effect: 'allow', operations: ['mill.*'], resources: ['**'] },
    { effect: 'deny', operations: ['mill.grind_*'], resources: ['mill/mills/web-*'], conditions: { approval: true } },
  ];
  await house.call(house.admin, 'policy.create_policy', { name: 'two-hands', rules });
  const agent = await house.enrol('second', ['two-hands']);
  assert.equal(await house.code(agent, 'mill.grind_corn', { mill: 'db' }), 'ok');
  const id = await ask(house, agent);
  await approve(house, boss, id);
  assert.equal(await repeat(house, agent, id), 'ok');
});
