import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startTable, tableRows } from '#cli/table.ts';

const now = Date.parse('2026-11-21T10:00:00Z');
const plain = { bold: (text: string) => text, dim: (text: string) => text, red: (text: string) => text } as never;
const columns = ['id', 'state', 'role', 'subject', 'principal', 'expires_at'];
const leases = [
  {
    id: 'lse_01m7yv2nd0tw4dsctx6xtjxfqd',
    state: 'active',
    role: 'database/roles/readonly-of-the-reports',
    subject: 'chy_ab2cd_readonly_of_the_r_0123456789abc',
    principal: 'nightly-reports',
    expires_at: '2026-11-21T10:14:30Z',
  },
  { id: 'lse_1', state: 'stuck', role: 'r', subject: 's', principal: 'p', expires_at: '2026-11-21T09:00:00Z' },
];
const lines = (width: number | undefined) =>
  tableRows(startTable(columns), leases, { style: plain, width, now }).trimEnd().split('\n');

test('a lease whose line is too long for the terminal shows how much time is left all the same', () => {
  for (const width of [60, 72, 80, 100]) {
    const [head = '', first = '', second = ''] = lines(width);
    assert.match(head, /expires_at$/);
    assert.match(first, / {2}in 14m$/);
    assert.match(second, / {2}60m ago$/);
    for (const line of [head, first, second]) assert.ok(line.length <= width, line);
  }
});

test('where there is room the time itself is shown', () => {
  for (const width of [undefined, 300]) assert.match(lines(width)[1] ?? '', /2026-11-21T10:14:30Z \(in 14m\)$/);
});

test('a terminal that is too narrow for everything cuts everything', () => {
  for (const line of lines(20)) assert.ok(line.includes('…') || line.length <= 60);
});
