import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { AppError } from '#core/errors.ts';
import { duration } from '#core/duration.ts';
import { parseInput } from '#core/parse.ts';

const input = z.strictObject({
  role: z.string().min(1).max(63),
  dns_names: z.array(z.string()).max(2).optional(),
  limit: z.int().min(1).max(1000).optional(),
  kind: z.enum(['root', 'intermediate']).optional(),
  deep: z.strictObject({ dns_names: z.string() }).optional(),
});

/** The first sentence of the refusal. */
function refusal(raw: object): string {
  try {
    parseInput({ id: 'test.operation', input }, raw);
  } catch (thrown) {
    if (thrown instanceof AppError) return thrown.message;
    throw thrown;
  }
  return assert.fail('it was accepted');
}

test('what is wrong with a field is said in words for people', () => {
  const cases: [raw: object, said: string][] = [
    [{}, '/role: is missing; expected string.'],
    [{ role: 'web', dns_names: 'a' }, '/dns_names: expected array, received string.'],
    [{ role: 'web', dns_names: ['a', 'b', 'c'] }, '/dns_names: must have at most 2 items.'],
    [{ role: '' }, '/role: must have at least 1 characters.'],
    [{ role: 'web', limit: 0 }, '/limit: must be at least 1.'],
    [{ role: 'web', limit: 1001 }, '/limit: must be at most 1000.'],
    [{ role: 'web', kind: 'leaf' }, '/kind: must be one of "root"|"intermediate".'],
  ];
  for (const [raw, said] of cases) assert.equal(refusal(raw), said);
});

test('a field that does not exist is answered with the one that is near', () => {
  assert.equal(
    refusal({ role: 'web', dns_name: 'a' }),
    '/dns_name: there is no field of this name; did you mean dns_names?',
  );
  assert.equal(refusal({ role: 'web', zebra: 'a' }), '/zebra: there is no field of this name.');
  assert.equal(refusal({ role: 'web', deep: { dns_name: 'a' } }), '/deep/dns_names: is missing; expected string.');
});

test('a duration is refused with its bounds when only they are the matter', () => {
  const said = (value: string | number) => duration.safeParse(value).error?.issues[0]?.message ?? 'accepted';
  const example = 'write for example 90s, 15m, 24h or 30d';
  for (const value of ['9000y', '0', '0s', 0, -1, '100y1s', '99999999999y', '99999999999', 3_153_600_001])
    assert.equal(said(value), `not a duration from 1s to 100y; ${example}`, String(value));
  for (const value of ['soon', '', '-1s', '1.5h', 1.5, '5m1h', '1 d', 'y'])
    assert.equal(said(value), `not a duration; ${example}`, String(value));
  assert.deepEqual(
    ['1s', '100y', '1h30m', '1y1w1d1h1m1s', '90', 3_153_600_000].map((value) => duration.parse(value)),
    [1, 3_153_600_000, 5400, 32_230_861, 90, 3_153_600_000],
  );
});
