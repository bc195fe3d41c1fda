import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { House } from '../auth/house.ts';
import { openHouse } from '../auth/house.ts';

interface Tested {
  readonly decision: string;
  readonly explanation: string;
  readonly hint: string | null;
  readonly policy: string | null;
  readonly rule: number | null;
  readonly findings: readonly { at: string; message: string }[];
  readonly max_ttl: string | null;
  readonly not_after: string | null;
}
const ask = (house: House, token: string, input: object) => house.call<Tested>(token, 'policy.test_policy', input);
const corn = { operation: 'mill.grind_corn', resource: 'mill/mills/web-1' };

async function withRules(house: House, rules: readonly object[]): Promise<string> {
  await house.call(house.admin, 'policy.put_policy', { name: 'subject', rules });
  const known = await house.code(house.admin, 'auth.get_principal', { name: 'agent' });
  if (known === 'not_found') return house.enrol('agent', ['subject']);
  return (await house.call<{ key: string }>(house.admin, 'auth.create_key', { principal: 'agent' })).key;
}

describe('a denial names the nearest rule, what it lacks, and a request that passes', () => {
  const web = { effect: 'allow', operations: ['mill.grind_*'], resources: ['mill/mills/web-*'] };
  const elsewhere = { effect: 'allow', operations: ['mill.*'], resources: ['bakery/**'] };

  test('a life that is too long: the number that passes', async (context) => {
    const house = await openHouse(context);
    const key = await withRules(house, [elsewhere, { ...web, conditions: { max_ttl: '1h' } }]);
    const refusal = await house.refusal(key, 'mill.grind_corn', { mill: 'web-1', ttl: 7200 });
    assert.equal(refusal.message, 'No rule allows agent to call mill.grind_corn on mill/mills/web-1.');
    assert.equal(refusal.hint, 'Rule 2 of policy subject would allow it with a ttl of at most 1h.');
    assert.deepEqual(refusal.details, [
      { at: 'policies/subject/rules/2/conditions/max_ttl', message: '2h is asked for and at most 1h is allowed' },
    ]);
    assert.deepEqual(refusal.members, { policy: 'subject', rule: 2 });
    assert.equal(await house.code(key, 'mill.grind_corn', { mill: 'web-1', ttl: 3600 }), 'ok');
    assert.equal(house.limits()?.maxTtl, 3600);
  });

  test('several conditions: all of them', async (context) => {
    const house = await openHouse(context);
    const conditions = {
      max_ttl: '1h',
      purpose_required: true,
      source_cidrs: ['10.0.0.0/8'],
      not_after: '2027-01-01T00:00:00+02:00',
    };
    const key = await withRules(house, [{ ...web, conditions }]);
    const refusal = await house.refusal(
      key,
      'mill.grind_corn',
      { mill: 'web-1', ttl: 10 * 7 * 86_400 },
      { sourceAddress: '192.0.2.1' },
    );
    assert.equal(
      refusal.hint,
      'Rule 1 of policy subject would allow it with a ttl of at most 1h and an end not after 2026-12-31T22:00:00Z and a stated purpose and a source address in 10.0.0.0/8.',
    );
    const passing = [{ mill: 'web-1', ttl: 3600, purpose: 'bread' }, { sourceAddress: '10.1.2.3' }] as const;
    assert.equal(await house.code(key, 'mill.grind_corn', ...passing), 'ok');
    assert.deepEqual({ ...house.limits() }, { maxTtl: 3600, notAfter: Date.UTC(2026, 11, 31, 22) });
  });

  test('another resource: the globs that would match, of the rule that comes nearest', async (context) => {
    const house = await openHouse(context);
    const key = await withRules(house, [elsewhere, web]);
    const refusal = await house.refusal(key, 'mill.grind_corn', { mill: 'db' });
    assert.equal(refusal.hint, 'The nearest is rule 2 of policy subject: it allows mill.grind_* on mill/mills/web-*.');
    assert.deepEqual(refusal.details, [
      { at: 'policies/subject/rules/2/resources', message: 'mill/mills/db is not matched by mill/mills/web-*' },
    ]);
  });

  test('another operation', async (context) => {
    const house = await openHouse(context);
    const refusal = await house.refusal(await withRules(house, [web]), 'mill.get_mill', { mill: 'web-1' });
    assert.deepEqual(refusal.details, [
      { at: 'policies/subject/rules/1/operations', message: 'mill.get_mill is not matched by mill.grind_*' },
    ]);
  });

  test('nothing near, and nothing at all', async (context) => {
    const house = await openHouse(context);
    const far = await house.refusal(await withRules(house, [{ ...web, operations: ['bake.*'] }]), 'mill.get_mill', {
      mill: 'db',
    });
    assert.match(far.hint ?? '', /none of its policies \(subject\) comes near/);
    const none = await house.refusal(await house.enrol('poor', []), 'mill.get_mill', { mill: 'db' });
    assert.match(none.hint ?? '', /it has no policies/);
  });

  test('a deny: which, and whether any request passes', async (context) => {
    const house = await openHouse(context);
    const key = await withRules(house, [
      web,
      { ...web, effect: 'deny', conditions: { max_ttl: '1h', purpose_required: true } },
    ]);
    const refusal = await house.refusal(key, 'mill.grind_corn', { mill: 'web-1', ttl: 7200 });
    assert.equal(refusal.message, 'Rule 2 of policy subject denies mill.grind_corn on mill/mills/web-1.');
    assert.equal(refusal.hint, 'The rule does not apply to a request with a ttl of at most 1h or a stated purpose.');
    const firm = await house.refusal(await withRules(house, [web, { ...web, effect: 'deny' }]), 'mill.grind_corn', {
      mill: 'web-1',
    });
    assert.match(firm.hint ?? '', /only a change of this rule/);
  });
});

test('what policies/test says is what dispatch does', async (context) => {
  const house = await openHouse(context);
  const web = { effect: 'allow', operations: ['mill.*'], resources: ['mill/mills/web-*'] };
  const rules = [
    { ...web, conditions: { max_ttl: '1h' } },
    { ...web, conditions: { purpose_required: true, source_cidrs: ['10.0.0.0/8'], max_ttl: '1d' } },
    { ...web, resources: ['mill/mills/db'], conditions: { approval: true } },
    { effect: 'deny', operations: ['mill.grind_*'], resources: ['mill/mills/web-9'] },
  ];
  const key = await withRules(house, rules);
  const token = await house.narrow(key, {
    operations: ['mill.get_*', 'mill.grind_*'],
    resources: ['mill/mills/web-*'],
  });
  const said = new Map<string, number>();
  for (const credential of [key, token]) {
    for (const mill of ['web-1', 'web-9', 'db', 'hut', 'UP'])
      for (const ttl of [undefined, 3600, 7200, 90_000])
        for (const purpose of [undefined, 'bread'])
          for (const sourceAddress of [null, '10.1.2.3', '192.0.2.1']) {
            const facts = { ...(ttl === undefined ? {} : { ttl }), ...(purpose === undefined ? {} : { purpose }) };
            const tested = await ask(house, credential, {
              operation: 'mill.grind_corn',
              resource: `mill/mills/${mill}`,
              ...facts,
              ...(sourceAddress === null ? {} : { source_address: sourceAddress }),
            });
            const code = await house.code(credential, 'mill.grind_corn', { mill, ...facts }, { sourceAddress });
            assert.equal(
              tested.decision,
              code === 'ok' ? 'allowed' : code,
              JSON.stringify({ mill, ttl, purpose, sourceAddress }),
            );
            said.set(tested.decision, (said.get(tested.decision) ?? 0) + 1);
          }
  }
  assert.deepEqual(
    [...said.keys()].sort((a, b) => a.localeCompare(b)),
    ['allowed', 'approval_required', 'denied'],
  );
});

test('everybody tests for themselves, and for others only by policy', async (context) => {
  const house = await openHouse(context);
  await house.allow('miller', ['mill.*'], ['mill/mills/**'], { max_ttl: '1d', not_after: '2027-01-01T00:00:00Z' });
  const agent = await house.enrol('agent', ['miller']);
  const auditor = await house.enrol('watcher', ['auditor']);
  const own = await ask(house, agent, corn);
  assert.deepEqual(
    [own.decision, own.policy, own.rule, own.max_ttl, own.not_after],
    ['allowed', 'miller', 1, '1d', '2027-01-01T00:00:00Z'],
  );
  assert.deepEqual(await ask(house, auditor, { ...corn, principal: 'agent' }), own);
  assert.equal((await ask(house, auditor, corn)).decision, 'denied');
  assert.equal(await house.code(agent, 'policy.test_policy', { ...corn, principal: 'watcher' }), 'denied');
  assert.equal(await house.code(auditor, 'policy.test_policy', { ...corn, principal: 'nobody' }), 'not_found');
  const narrowed = await house.narrow(agent, { resources: ['mill/mills/db'] });
  assert.equal((await ask(house, narrowed, corn)).decision, 'denied');
  assert.equal((await ask(house, agent, { operation: 'auth.whoami', resource: 'auth/whoami' })).decision, 'allowed');
  assert.equal((await ask(house, agent, { ...corn, resource: 'mill/mills/WEB' })).decision, 'denied');
  assert.equal((await ask(house, house.admin, { ...corn, resource: 'mill/mills/../x' })).decision, 'denied');
});

test('a test changes nothing, and asks for no approval', async (context) => {
  const house = await openHouse(context);
  await house.allow('careful', ['mill.*'], ['**'], { approval: true });
  const agent = await house.enrol('agent', ['careful']);
  assert.equal((await ask(house, agent, corn)).decision, 'approval_required');
  assert.equal((await ask(house, agent, { ...corn, approved: true })).decision, 'allowed');
  assert.deepEqual(await house.store.all('SELECT id FROM approvals', []), []);
});
