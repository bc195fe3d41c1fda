import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { compilePolicy } from '#policy/compile.ts';
import { type Decision, decide, type PolicyRequest } from '#policy/decide.ts';
import { type Rule, ruleSchema } from '#policy/rules.ts';

const now = Date.UTC(2026, 10, 21, 10);
const hour = 3600;
const at = (hours: number) => new Date(now + hours * hour * 1000).toISOString();

function rule(effect: 'allow' | 'deny', conditions?: object): Rule {
  return ruleSchema.parse({
    effect,
    operations: ['pki.issue_*'],
    resources: ['pki/roles/*'],
    ...(conditions ? { conditions } : {}),
  });
}

function judge(rules: readonly Rule[], request: Partial<PolicyRequest> = {}): Decision {
  const asked = {
    operation: 'pki.issue_certificate',
    resource: 'pki/roles/web',
    sourceAddress: null,
    approved: false,
    now,
  };
  return decide([compilePolicy('p', rules)], { ...asked, ...request });
}

function limits(decision: Decision): object {
  assert.equal(decision.outcome, 'allowed');
  return decision.outcome === 'allowed' ? decision.limits : {};
}

const allow = rule('allow');

test('nothing that matches means denied, and one deny wins over every allow wherever it stands', () => {
  assert.deepEqual(judge([]), { outcome: 'denied', rule: undefined });
  assert.equal(judge([allow]).outcome, 'allowed');
  for (const rules of [
    [allow, rule('deny')],
    [rule('deny'), allow],
  ]) {
    const decision = judge(rules);
    assert.equal(decision.outcome, 'denied');
    assert.equal(decision.rule?.source.effect, 'deny');
  }
  assert.equal(judge([allow], { operation: 'pki.get_role' }).outcome, 'denied');
  assert.equal(judge([allow], { resource: 'pki/roles/web/x' }).outcome, 'denied');
});

describe('max_ttl', () => {
  const short = rule('allow', { max_ttl: '1h' });

  test('an allow bounds what is asked, and what is issued when nothing is asked', () => {
    assert.equal(judge([short], { ttl: hour }).outcome, 'allowed');
    assert.equal(judge([short], { ttl: hour + 1 }).outcome, 'denied');
    assert.equal(judge([short], { notAfter: now + hour * 1000 + 1 }).outcome, 'denied');
    assert.deepEqual(limits(judge([short])), { maxTtl: hour, notAfter: undefined });
  });

  test('of several allows the largest counts, and one without a bound means no bound', () => {
    const long = rule('allow', { max_ttl: '1d' });
    assert.deepEqual(limits(judge([short, long])), { maxTtl: 24 * hour, notAfter: undefined });
    assert.deepEqual(limits(judge([short, long, allow])), {});
  });

  test('a deny refuses a longer life, and bounds what is issued when none is asked', () => {
    const deny = rule('deny', { max_ttl: '1h' });
    assert.equal(judge([allow, deny], { ttl: hour }).outcome, 'allowed');
    assert.equal(judge([allow, deny], { ttl: hour + 1 }).outcome, 'denied');
    assert.deepEqual(limits(judge([allow, deny])), { maxTtl: hour, notAfter: undefined });
  });
});

describe('not_after', () => {
  test('an allow ends at that time, and nothing issued by it may be valid longer', () => {
    const ending = rule('allow', { not_after: at(2) });
    assert.deepEqual(limits(judge([ending])), { maxTtl: undefined, notAfter: now + 2 * hour * 1000 });
    assert.equal(judge([ending], { ttl: 2 * hour }).outcome, 'allowed');
    assert.equal(judge([ending], { ttl: 2 * hour + 1 }).outcome, 'denied');
    assert.equal(judge([ending], { now: now + 2 * hour * 1000 + 1 }).outcome, 'denied');
  });

  test('the bounds of two allows are never mixed into something wider than both', () => {
    const brief = rule('allow', { max_ttl: '1h', not_after: at(48) });
    const soon = rule('allow', { max_ttl: '30d', not_after: at(2) });
    assert.deepEqual(limits(judge([brief, soon])), { maxTtl: 720 * hour, notAfter: now + 2 * hour * 1000 });
    assert.equal(judge([brief, soon], { ttl: 3 * hour }).outcome, 'denied');
  });

  test('a deny refuses from that time on, and before it what would last longer', () => {
    const deny = rule('deny', { not_after: at(2) });
    assert.equal(judge([allow, deny], { ttl: 2 * hour }).outcome, 'allowed');
    assert.equal(judge([allow, deny], { ttl: 3 * hour }).outcome, 'denied');
    assert.equal(judge([allow, deny], { now: now + 2 * hour * 1000 + 1 }).outcome, 'denied');
    assert.deepEqual(limits(judge([allow, deny])), { maxTtl: 2 * hour, notAfter: undefined });
  });
});

describe('purpose_required', () => {
  test('an allow wants one that is not blank, and a deny refuses what has none', () => {
    for (const rules of [
      [rule('allow', { purpose_required: true })],
      [allow, rule('deny', { purpose_required: true })],
    ]) {
      assert.equal(judge(rules).outcome, 'denied');
      assert.equal(judge(rules, { purpose: ' \t' }).outcome, 'denied');
      assert.equal(judge(rules, { purpose: 'nightly build' }).outcome, 'allowed');
    }
  });
});

describe('source_cidrs', () => {
  const cidrs = { source_cidrs: ['10.0.0.0/8', '2001:db8::/32', '192.0.2.7'] };
  const inside = ['10.1.2.3', '::ffff:10.1.2.3', '::ffff:0a01:0203', '2001:db8::1', '2001:DB8:0:0::1', '192.0.2.7'];
  const outside = ['11.0.0.1', '::ffff:11.0.0.1', '2001:db9::1', '::1', '192.0.2.8', '::10.1.2.3'];

  test('an allow wants an address in the ranges; an unknown one is not', () => {
    for (const sourceAddress of inside)
      assert.equal(judge([rule('allow', cidrs)], { sourceAddress }).outcome, 'allowed', sourceAddress);
    for (const sourceAddress of [...outside, null, 'localhost', ''])
      assert.equal(judge([rule('allow', cidrs)], { sourceAddress }).outcome, 'denied', String(sourceAddress));
  });

  test('a deny is about requests from the ranges; an unknown address counts as being there', () => {
    const rules = [allow, rule('deny', cidrs)];
    for (const sourceAddress of [...inside, null, 'localhost'])
      assert.equal(judge(rules, { sourceAddress }).outcome, 'denied');
    for (const sourceAddress of outside)
      assert.equal(judge(rules, { sourceAddress }).outcome, 'allowed', sourceAddress);
  });

  test('every IPv6 address is not every IPv4 address', () => {
    const six = [rule('allow', { source_cidrs: ['::/0'] })];
    assert.equal(judge(six, { sourceAddress: '2001:db8::1' }).outcome, 'allowed');
    assert.equal(judge(six, { sourceAddress: 'fe80::1%eth0' }).outcome, 'allowed');
    for (const sourceAddress of ['10.1.2.3', '::ffff:10.1.2.3'])
      assert.equal(judge(six, { sourceAddress }).outcome, 'denied');
  });
});

describe('approval', () => {
  test('an allow with it wants an approval unless another allow holds without', () => {
    const waiting = rule('allow', { approval: true });
    assert.equal(judge([waiting]).outcome, 'approval_required');
    assert.equal(judge([waiting], { approved: true }).outcome, 'allowed');
    assert.equal(judge([waiting, allow]).outcome, 'allowed');
    assert.equal(judge([waiting, rule('deny')]).outcome, 'denied');
  });

  test('a deny with it means: not without approval', () => {
    const rules = [allow, rule('deny', { approval: true })];
    assert.equal(judge(rules).outcome, 'approval_required');
    assert.equal(judge(rules, { approved: true }).outcome, 'allowed');
  });

  test('is not asked for where it would not be enough', () => {
    const both = rule('allow', { approval: true, max_ttl: '1h' });
    assert.equal(judge([both], { ttl: 2 * hour }).outcome, 'denied');
    assert.equal(judge([both], { ttl: hour }).outcome, 'approval_required');
  });
});

test('a deny with several conditions wants all of them', () => {
  const rules = [allow, rule('deny', { purpose_required: true, max_ttl: '1h' })];
  assert.equal(judge(rules, { ttl: 2 * hour }).outcome, 'denied');
  assert.equal(judge(rules, { ttl: 2 * hour, purpose: 'x' }).outcome, 'allowed');
  assert.equal(judge(rules, { ttl: hour }).outcome, 'allowed');
  assert.deepEqual(limits(judge(rules)), { maxTtl: hour, notAfter: undefined });
  assert.deepEqual(limits(judge(rules, { purpose: 'x' })), {});
});

test('a resource that is not in normal form is denied even to who may do everything', () => {
  const everything = ruleSchema.parse({ effect: 'allow', operations: ['**'], resources: ['**'] });
  for (const resource of ['pki/roles/web/', 'pki//roles', 'pki/../x', 'PKI/roles/web', 'pki%2froles'])
    assert.equal(judge([everything], { resource }).outcome, 'denied', resource);
});

test('a damaged rule decides nothing: it does not compile', () => {
  assert.throws(() => compilePolicy('p', [{ ...allow, effect: 'Allow' as 'allow' }]), TypeError);
  assert.throws(() => compilePolicy('p', [{ ...allow, resources: ['pki//x'] }]), TypeError);
});

test('rules with unknown fields, bad ranges or bad numbers are not taken', () => {
  const base = { effect: 'allow', operations: ['**'], resources: ['**'] };
  const bad = [
    { ...base, effect: 'permit' },
    { ...base, operations: [] },
    { ...base, resources: [] },
    { ...base, condition: {} },
    { ...base, conditions: { max_ttl: 0 } },
    { ...base, conditions: { max_ttl: '1 hour' } },
    { ...base, conditions: { purpose_required: false } },
    { ...base, conditions: { not_after: 'tomorrow' } },
    ...[
      '10.0.0.0/33',
      '10.0.0',
      '::ffff:10.0.0.0/104',
      '10.0.0.0/8/8',
      '10.0.0.0/',
      '10.0.0.0/08',
      'fe80::1%eth0/64',
      '',
    ].map((cidr) => ({ ...base, conditions: { source_cidrs: [cidr] } })),
  ];
  for (const each of bad) assert.equal(ruleSchema.safeParse(each).success, false, JSON.stringify(each));
});
