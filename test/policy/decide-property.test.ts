import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { compilePolicy } from '#policy/compile.ts';
import type { Decision, PolicyRequest } from '#policy/decide.ts';
import { decide } from '#policy/decide.ts';
import type { Rule } from '#policy/rules.ts';
import { reference } from './reference-model.ts';

const now = 1_800_000_000_000;
const operations = ['pki.issue_certificate', 'pki.issue_crl', 'pki.get_role', 'acme.get_order'];
const operationGlobs = ['*', '**', 'pki.*', 'pki.issue_*', '*.get_*', 'pki.**', 'p*i.*_c*', ...operations];
const segments = ['a', 'ab', 'abc', 'b', 'a-b', 'a.b', 'b_a'];
const segmentGlobs = ['*', '**', 'a*', '*b', 'a*b', '*a*', '*-*', 'a*b*', ...segments];
const oddResources = [
  '',
  '/',
  'a/',
  '/a',
  'a//b',
  '..',
  'a/../b',
  'A',
  'a%2fb',
  'a\u0000',
  'a\u2044b',
  '\uFF41',
  'a b',
  '.',
  'a..b',
  'a*',
  'a.',
  'a-/b',
];
const cidrs = ['10.0.0.0/8', '10.1.0.0/16', '192.0.2.7', '0.0.0.0/0', '192.0.2.0/29'];
const addresses = [null, '10.1.2.3', '::ffff:10.1.2.3', '10.200.0.1', '192.0.2.7', '192.0.2.8', '203.0.113.9'];

/** mulberry32: small, seeded, good enough to spread cases; fast-check chooses and shrinks the seed. */
function dice(seed: number) {
  let state = seed;
  const roll = (sides: number): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % sides;
  };
  const pick = <Item>(items: readonly Item[]): Item => items[roll(items.length)] as Item;
  const some = <Item>(most: number, make: () => Item): Item[] => Array.from({ length: 1 + roll(most) }, make);
  return { roll, pick, some };
}
type Dice = ReturnType<typeof dice>;

function anyResourceGlob({ roll, pick, some }: Dice): string {
  const glob = some(4, () => pick(segmentGlobs)).join('/');
  return glob === '*' || roll(8) === 0 ? '**' : glob;
}

function anyRule(d: Dice): Rule {
  const { roll, pick, some } = d;
  const conditions = {
    ...(roll(3) === 0 ? { max_ttl: pick([60, 3600, 86_400]) } : {}),
    ...(roll(5) === 0 ? { not_after: now + pick([-1000, 0, 3_600_000, 90_000_000]) } : {}),
    ...(roll(5) === 0 ? { purpose_required: true as const } : {}),
    ...(roll(5) === 0 ? { approval: true as const } : {}),
    ...(roll(5) === 0 ? { source_cidrs: some(2, () => pick(cidrs)) } : {}),
  };
  return {
    effect: roll(3) === 0 ? 'deny' : 'allow',
    operations: some(2, () => pick(operationGlobs)),
    resources: some(2, () => anyResourceGlob(d)),
    ...(roll(2) === 0 ? { conditions } : {}),
  };
}

function anyRequest({ roll, pick, some }: Dice): PolicyRequest {
  return {
    operation: pick(operations),
    resource: roll(20) === 0 ? pick(oddResources) : some(4, () => (roll(12) === 0 ? '*' : pick(segments))).join('/'),
    ...(roll(2) === 0 ? { ttl: pick([1, 60, 61, 3600, 86_400, 86_401]) } : {}),
    ...(roll(4) === 0 ? { notAfter: now + pick([60_000, 3_600_000, 90_000_000, 90_001_000]) } : {}),
    ...(roll(2) === 0 ? { purpose: 'nightly build' } : {}),
    sourceAddress: pick(addresses),
    approved: roll(3) === 0,
    now,
  };
}

function latest(decision: Decision): number {
  if (decision.outcome !== 'allowed') return 0;
  const { maxTtl = Infinity, notAfter = Infinity } = decision.limits;
  return Math.min(now + maxTtl * 1000, notAfter);
}

test('a million decisions equal those of the reference model, limits included', () => {
  const seen = { allowed: 0, denied: 0, approval_required: 0, limited: 0 };
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const d = dice(seed);
      const policies = d.some(3, () => d.some(4, () => anyRule(d)));
      const compiled = policies.map((rules, index) => compilePolicy(`p${index}`, rules));
      const rules = policies.flat();
      for (let turn = 0; turn < 500; turn++) {
        const request = anyRequest(d);
        const expected = reference(rules, request);
        const decision = decide(compiled, request);
        seen[decision.outcome]++;
        if (expected.latest !== 0 && expected.latest !== Infinity) seen.limited++;
        if (decision.outcome !== expected.outcome || latest(decision) !== expected.latest)
          assert.deepEqual(
            { outcome: decision.outcome, latest: latest(decision) },
            expected,
            JSON.stringify({ rules, request }),
          );
      }
    }),
    { numRuns: 2000 },
  );
  // The million must not be a million of one kind.
  for (const [kind, count] of Object.entries(seen)) assert.ok(count > 10_000, `${kind}: only ${count} cases`);
});
