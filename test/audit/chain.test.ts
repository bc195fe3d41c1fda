import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { maxDetailsBytes } from '#audit/bounds.ts';
import { type ChainedRow, chainedColumns, emptyHead, linkEvents, verifyRows } from '#audit/chain.ts';
import type { AuditEvent } from '#core/audit-event.ts';
import { exampleEvent, exampleEvents } from './support.ts';

const link = (events: readonly AuditEvent[], head = emptyHead) => {
  const linked = linkEvents(head, events);
  return { rows: linked.rows as readonly ChainedRow[], head: linked.head };
};

/** Any text, also what no database takes: NUL, lone surrogates, control characters. */
const anyText = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 20 }).map((units) => String.fromCharCode(...units)),
);
const anyScalar = fc.oneof(anyText, fc.double(), fc.boolean(), fc.constant(null), fc.maxSafeInteger());
const anyEvent: fc.Arbitrary<AuditEvent> = fc
  .record({
    namespace: anyText,
    requestId: anyText,
    principal: fc.option(anyText),
    principalKind: fc.option(anyText),
    credentialId: fc.option(anyText),
    operation: anyText,
    resource: fc.option(anyText),
    code: fc.option(anyText),
    sourceAddress: fc.option(anyText),
    purpose: fc.option(fc.string({ maxLength: 20_000 })),
    details: fc.dictionary(anyText, anyScalar),
  })
  .map((fields) => exampleEvent(1, fields));

test('the hash of every row is SHA-256 over the hash before it and the JSON array of its columns', () => {
  const { rows, head } = link(exampleEvents(50));
  let previous: Uint8Array = new Uint8Array(32);
  for (const [index, row] of rows.entries()) {
    assert.equal(row.seq, index + 1);
    const canonical = JSON.stringify(chainedColumns.map((column) => row[column]));
    const expected = createHash('sha256').update(previous).update(canonical, 'utf8').digest();
    assert.deepEqual(Buffer.from(row.hash), expected);
    previous = row.hash;
  }
  assert.deepEqual(head, { seq: 50, hash: previous });
});

test('every column of a row but its hash is part of the chain', () => {
  const [row] = link([exampleEvent(4)]).rows;
  assert.ok(row);
  assert.deepEqual(
    Object.keys(row).filter((column) => column !== 'hash'),
    [...chainedColumns],
  );
});

test('linking in one batch, in several, or one by one makes the same chain', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 12 }), fc.array(fc.nat(12), { maxLength: 4 }), (events, cuts) => {
      const whole = link(events);
      let head = emptyHead;
      const rows: ChainedRow[] = [];
      const edges = [0, ...cuts.map((cut) => Math.min(cut, events.length)).sort((a, b) => a - b), events.length];
      for (let index = 1; index < edges.length; index++) {
        const part = link(events.slice(edges[index - 1], edges[index]), head);
        rows.push(...part.rows);
        head = part.head;
      }
      assert.deepEqual(rows, whole.rows);
      assert.deepEqual(head, whole.head);
    }),
  );
});

test('whatever an event holds, its row is storable in both databases, bounded, and verifies after the store gave it back', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { minLength: 1, maxLength: 6 }), (events) => {
      const { rows } = link(events);
      for (const row of rows) {
        for (const value of Object.values(row)) {
          if (typeof value !== 'string') continue;
          assert.ok(value.isWellFormed() && !value.includes('\0'));
        }
        assert.ok(Buffer.byteLength(row.details) <= maxDetailsBytes);
        assert.ok(JSON.stringify(row).length < 60_000);
      }
      const readBack = rows.map((row) => ({
        ...Object.fromEntries(
          Object.entries(row).map(([column, value]) => [
            column,
            typeof value === 'string' ? Buffer.from(value, 'utf8').toString('utf8') : value,
          ]),
        ),
        hash: Buffer.from(row.hash),
      })) as unknown as ChainedRow[];
      assert.deepEqual(verifyRows(emptyHead, readBack).findings, []);
    }),
  );
});

test('linking changes neither the events nor the head it is given', () => {
  const events = Object.freeze([
    Object.freeze(exampleEvent(1, { purpose: 'a\0b', details: { big: 'x'.repeat(9000) } })),
  ]);
  const hash = new Uint8Array(32).fill(7);
  link(events, { seq: 41, hash });
  assert.deepEqual(hash, new Uint8Array(32).fill(7));
  assert.equal(events[0]?.purpose, 'a\0b');
  assert.deepEqual(emptyHead, { seq: 0, hash: new Uint8Array(32) });
});

test('details keep scalars only, and say when something was left out', () => {
  const hostile = {
    nested: { password: 'hunter2' },
    list: ['hunter2'],
    big: 10n,
    nan: Number.NaN,
    ok: 1,
    none: undefined,
  };
  const [row] = link([exampleEvent(1, { details: hostile as unknown as AuditEvent['details'] })]).rows;
  assert.deepEqual(JSON.parse(row?.details ?? ''), {
    nested: '(object, not recorded)',
    list: '(object, not recorded)',
    big: '10',
    nan: 'NaN',
    ok: 1,
  });
  const [large] = link([exampleEvent(1, { details: { first: 1, big: 'é'.repeat(5000), last: 2 } })]).rows;
  assert.deepEqual(JSON.parse(large?.details ?? ''), { first: 1, last: 2, details_truncated: true });
});

test('details of any size stay within their bound and lose no more than they must', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1500), { minLength: 1, maxLength: 12 }), (sizes) => {
      const details = Object.fromEntries(sizes.map((size, index) => [`f${index}`, 'x'.repeat(size)]));
      const [row] = link([exampleEvent(1, { details })]).rows;
      const text = row?.details ?? '';
      assert.ok(Buffer.byteLength(text) <= maxDetailsBytes);
      const truncated = 'details_truncated' in (JSON.parse(text) as object);
      assert.equal(truncated, Buffer.byteLength(JSON.stringify(details)) > maxDetailsBytes);
    }),
  );
});

test('one altered column is one finding, at its row', () => {
  const { rows } = link(exampleEvents(30));
  for (const column of chainedColumns.filter((name) => name !== 'seq')) {
    const altered = rows.map((row) =>
      row.seq === 17 ? { ...row, [column]: column === 'at' ? row.at + 1 : `${String(row[column])}x` } : row,
    );
    const { findings } = verifyRows(emptyHead, altered);
    assert.deepEqual(
      findings.map(({ seq, kind }) => [seq, kind]),
      [[17, 'altered']],
      column,
    );
  }
});

test('a value that becomes another type, null, or an empty text is found', () => {
  const { rows } = link([exampleEvent(1, { purpose: null, code: '5', resource: '' })]);
  const [row] = rows;
  assert.ok(row);
  for (const change of [
    { purpose: '' },
    { code: 5 },
    { resource: null },
    { at: String(row.at) },
    { code: Buffer.of(53) },
  ]) {
    const { findings } = verifyRows(emptyHead, [{ ...row, ...change } as ChainedRow]);
    assert.deepEqual(
      findings.map(({ seq, kind }) => [seq, kind]),
      [[1, 'altered']],
    );
  }
});

test('moving text from one column into the next is found', () => {
  const { rows } = link([exampleEvent(1, { principal: 'ab', principalKind: 'c' })]);
  const moved = rows.map((row) => ({ ...row, principal: 'a', principal_kind: 'bc' }));
  assert.equal(verifyRows(emptyHead, moved).findings.length, 1);
});

test('any change of the order, number or content of rows is found, and an unchanged log never is', () => {
  const { rows } = link(exampleEvents(12));
  fc.assert(
    fc.property(fc.subarray([...rows]), fc.nat(), fc.boolean(), (kept, seed, swap) => {
      const changed = [...kept];
      if (swap && changed.length > 1) {
        const index = seed % (changed.length - 1);
        const [a, b] = [changed[index], changed[index + 1]];
        if (a && b) changed.splice(index, 2, { ...b, seq: a.seq }, { ...a, seq: b.seq });
      }
      // what is missing at the end is for the head and checkpoints to tell
      const isPrefix = changed.every((row, index) => row === rows[index]);
      assert.equal(verifyRows(emptyHead, changed).findings.length === 0, isPrefix);
    }),
    { numRuns: 500 },
  );
});

test('an altered row whose own hash was recomputed is found at the row after it', () => {
  const { rows } = link(exampleEvents(9));
  const before = rows[3];
  assert.ok(before);
  const [forged] = link([exampleEvent(4, { operation: 'pki.list_roles' })], before).rows;
  assert.ok(forged);
  const { findings } = verifyRows(
    emptyHead,
    rows.map((row) => (row.seq === 5 ? forged : row)),
  );
  assert.deepEqual(
    findings.map(({ seq, kind }) => [seq, kind]),
    [[6, 'altered']],
  );
});

test('a hash of a wrong length or type is found and does not stop the walk', () => {
  const { rows } = link(exampleEvents(6));
  for (const hash of [new Uint8Array(31), new Uint8Array(0), null, 'x'.repeat(32)]) {
    const { findings, head } = verifyRows(
      emptyHead,
      rows.map((row) => (row.seq === 3 ? ({ ...row, hash } as ChainedRow) : row)),
    );
    assert.equal(findings[0]?.seq, 3);
    assert.equal(head.seq, 6);
  }
});
