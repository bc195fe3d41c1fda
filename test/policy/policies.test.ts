import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openHouse } from '../auth/house.ts';

const rule = { effect: 'allow', operations: ['mill.*'], resources: ['mill/**'] };

test('what is read of a policy can be written again and means the same', async (context) => {
  const house = await openHouse(context);
  const conditions = {
    max_ttl: '90m',
    purpose_required: true,
    approval: true,
    source_cidrs: ['10.0.0.0/8', '2001:db8::1'],
    not_after: '2027-01-01T01:00:00+01:00',
  };
  const written = await house.call<{ rules: unknown; version: number; warnings: string[] }>(
    house.admin,
    'policy.create_policy',
    {
      name: 'miller',
      rules: [
        { ...rule, conditions },
        { ...rule, effect: 'deny', operations: ['mill.griind_*'] },
      ],
    },
  );
  assert.deepEqual(written.warnings, ['the glob mill.griind_* matches no operation']);
  const read = await house.call<{ rules: object[] }>(house.admin, 'policy.get_policy', { name: 'miller' });
  assert.deepEqual(read.rules[0], {
    ...rule,
    conditions: { ...conditions, max_ttl: '1h30m', not_after: '2027-01-01T00:00:00Z' },
  });
  const again = await house.call<{ rules: object[]; version: number }>(house.admin, 'policy.put_policy', {
    name: 'miller',
    rules: read.rules,
  });
  assert.deepEqual(again.rules, read.rules);
  assert.equal(again.version, 2);
});

test('writing with a version is refused when somebody else has written meanwhile', async (context) => {
  const house = await openHouse(context);
  const put = (more: object) =>
    house.code(house.admin, 'policy.put_policy', { name: 'miller', rules: [rule], ...more });
  assert.equal(await put({ version: 1 }), 'wrong_state', 'there is none yet');
  assert.equal(await put({}), 'ok');
  assert.equal(await put({ version: 1 }), 'ok');
  assert.equal(await put({ version: 1 }), 'wrong_state');
  const both = await Promise.all([put({ version: 2 }), put({ version: 2 })]);
  assert.deepEqual(
    both.sort((a, b) => a.localeCompare(b)),
    ['ok', 'wrong_state'],
  );
  assert.deepEqual(await Promise.all([put({}), put({})]), ['ok', 'ok'], 'without a version the last one counts');
});

test('policies are listed by name with the built-in ones among them, page by page', async (context) => {
  const house = await openHouse(context);
  for (const name of ['zoo', 'aaa', 'baker']) await house.allow(name, ['mill.*'], ['**']);
  assert.equal(await house.code(house.admin, 'policy.create_policy', { name: 'zoo', rules: [rule] }), 'already_exists');
  const names: string[] = [];
  for (let cursor: string | null = null; ; ) {
    const page: { policies: { name: string }[]; next_cursor: string | null } = await house.call(
      house.admin,
      'policy.list_policies',
      { limit: 2, ...(cursor === null ? {} : { cursor }) },
    );
    names.push(...page.policies.map((policy) => policy.name));
    cursor = page.next_cursor;
    if (cursor === null) break;
  }
  assert.deepEqual(names, ['aaa', 'administrator', 'auditor', 'baker', 'zoo']);
});

test('the auditor reads, and changes nothing', async (context) => {
  const house = await openHouse(context);
  const auditor = await house.enrol('watcher', ['auditor']);
  const { rules } = await house.call<{ rules: { operations: string[] }[] }>(auditor, 'policy.get_policy', {
    name: 'auditor',
  });
  assert.equal(rules.length, 1);
  for (const operation of house.operations.filter((each) => each.access === undefined)) {
    const { decision } = await house.call<{ decision: string }>(auditor, 'policy.test_policy', {
      operation: operation.id,
      resource: 'x',
    });
    assert.equal(decision === 'allowed', operation.effect === 'read', operation.id);
    if (operation.effect === 'read') assert.equal(operation.sensitive, undefined, operation.id);
  }
});

test('a policy is bounded in size', async (context) => {
  const house = await openHouse(context);
  const put = (rules: unknown) => house.code(house.admin, 'policy.put_policy', { name: 'miller', rules });
  assert.equal(await put(Array.from({ length: 100 }, () => rule)), 'ok');
  assert.equal(await put(Array.from({ length: 101 }, () => rule)), 'invalid_request');
  assert.equal(
    await put([{ ...rule, resources: Array.from({ length: 65 }, (_, index) => `a/${index}`) }]),
    'invalid_request',
  );
  assert.equal(await put([]), 'invalid_request');
});
