import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextTime, parseSchedule, scheduleFault } from '#database/cron.ts';
import { nextRotation, postponedTo, retryTime, staticRoleSchema } from '#database/static-role-schema.ts';

const at = (text: string) => Date.parse(text);
const next = (expression: string, after: string) => {
  const time = nextTime(parseSchedule(expression), at(after));
  return time === undefined ? undefined : new Date(time).toISOString().slice(0, 16);
};

test('a schedule comes due in UTC, as crontab says', () => {
  assert.equal(next('0 3 * * *', '2026-01-01T00:00:00Z'), '2026-01-01T03:00');
  assert.equal(next('0 3 * * *', '2026-01-01T03:00:00Z'), '2026-01-02T03:00');
  assert.equal(next('*/15 9-17 * * 1-5', '2026-01-02T17:50:00Z'), '2026-01-05T09:00');
  assert.equal(next('30 4 1,15 * *', '2026-01-15T04:30:00Z'), '2026-02-01T04:30');
  assert.equal(next('0 0 29 2 *', '2026-01-01T00:00:00Z'), '2028-02-29T00:00');
  assert.equal(next('0 0 * * 7', '2026-01-01T00:00:00Z'), '2026-01-04T00:00');
  assert.equal(next('5/20 * * * *', '2026-01-01T00:06:00Z'), '2026-01-01T00:25');
  // When both days are given, either will do.
  assert.equal(next('0 0 13 * 5', '2026-01-01T00:00:00Z'), '2026-01-02T00:00');
});

test('what is no schedule is refused with the reason', () => {
  for (const text of ['', '* * * *', '60 * * * *', '* 24 * * *', '* * 0 * *', 'a * * * *', '5-1 * * * *', '* * * * 8'])
    assert.notEqual(scheduleFault(text), undefined, text);
  assert.equal(scheduleFault('0 0 31 2 *'), 'it never comes due');
  assert.equal(scheduleFault('*/0 * * * *') === undefined, false);
  assert.equal(scheduleFault('0 3 * * 6'), undefined);
});

const weekly = staticRoleSchema.parse({
  name: 'r',
  connection: 'c',
  username: 'u',
  rotation_schedule: '0 3 * * 6',
  rotation_window: '2h',
});

test('a rotation begins within its window, and after it waits for the next', () => {
  const rotated = at('2026-01-03T03:00:10Z');
  assert.equal(nextRotation(weekly, rotated), at('2026-01-10T03:00:00Z'));
  assert.equal(postponedTo(weekly, rotated, at('2026-01-10T03:00:00Z')), undefined);
  assert.equal(postponedTo(weekly, rotated, at('2026-01-10T04:59:00Z')), undefined);
  assert.equal(postponedTo(weekly, rotated, at('2026-01-10T05:01:00Z')), at('2026-01-17T03:00:00Z'));
  // Rotated in this window already: not again.
  assert.equal(postponedTo(weekly, at('2026-01-10T03:10:00Z'), at('2026-01-10T03:20:00Z')), at('2026-01-17T03:00:00Z'));
});

test('what failed is tried again with growing distance, and never outside its window', () => {
  const now = at('2026-01-10T03:00:10Z');
  const since = at('2026-01-03T03:00:10Z');
  const waits = [1, 2, 3, 8, 30].map((attempts) => retryTime(weekly, since, attempts, now) - now);
  assert.deepEqual(waits, [10_000, 20_000, 40_000, 1_280_000, 3_600_000]);
  assert.equal(retryTime(weekly, since, 30, at('2026-01-10T04:30:00Z')), at('2026-01-17T03:00:00Z'));
});
