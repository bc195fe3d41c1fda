import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { type ChainedRow, chainedColumns, type Finding, linkEvents } from '#audit/chain.ts';
import type { Checkpoint } from '#audit/checkpoint.ts';
import { maxFindings, verifyLog } from '#audit/verify.ts';
import { AppError } from '#core/errors.ts';
import type { ChainHead, Store } from '#storage/store.ts';
import { temporaryStore } from '../seal/support.ts';
import { exampleEvent, exampleEvents } from './support.ts';

const size = 150;

/** A log of 150 rows in a real store, a second connection that tampers with it, and two checkpoints kept elsewhere. */
async function newLog(context: TestContext, count = size) {
  const { store, file } = await temporaryStore(context);
  const events = exampleEvents(count);
  for (let index = 0; index < count; index += 50) await store.commit([], events.slice(index, index + 50));
  const intruder = new DatabaseSync(file);
  context.after(() => intruder.close());
  intruder.exec('PRAGMA synchronous = OFF');
  const rows = intruder.prepare('SELECT * FROM audit_events ORDER BY seq').all() as unknown as ChainedRow[];
  const kept = [Math.floor(count * 0.9), count].map((seq) => checkpointAt(rows, seq));
  return { store, intruder, rows, kept, log: tamperable(intruder, rows) };
}

function checkpointAt(rows: readonly ChainedRow[], seq: number): Checkpoint {
  return { origin: 'test', size: seq, hash: Buffer.from(rows[seq - 1]?.hash ?? []), extensions: [] };
}

/** Everything that somebody with a connection to the database can do. */
function tamperable(database: DatabaseSync, original: readonly ChainedRow[]) {
  const columns = [...chainedColumns, 'hash'];
  const insert = database.prepare(
    `INSERT INTO audit_events (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`,
  );
  const put = (row: Readonly<Record<string, unknown>>) =>
    insert.run(...columns.map((column) => row[column] as string | number | null));
  const setHead = (head: ChainHead) =>
    database.prepare('UPDATE audit_head SET seq = ?, hash = ?').run(head.seq, head.hash);
  const set = (seq: number, column: string, value: string | number | bigint | Uint8Array | null) =>
    database.prepare(`UPDATE audit_events SET ${column} = ? WHERE seq = ?`).run(value, seq);
  const replaceAll = (rows: readonly Readonly<Record<string, unknown>>[], head: ChainHead) => {
    database.exec('BEGIN; DELETE FROM audit_events');
    for (const row of rows) put(row);
    setHead(head);
    database.exec('COMMIT');
  };
  const remove = (from: number, to: number) =>
    database.prepare('DELETE FROM audit_events WHERE seq BETWEEN ? AND ?').run(from, to);
  const restore = () => replaceAll(original, original.at(-1) ?? { seq: 0, hash: new Uint8Array(32) });
  return { put, set, setHead, replaceAll, remove, restore };
}

/** Repeatable random numbers (mulberry32). */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

type Log = Awaited<ReturnType<typeof newLog>>;
/** Tampers, and says what must be found first: which row, and which kinds will do. */
type Tampering = (log: Log, pick: (below: number) => number) => { seq: number; kinds: readonly Finding['kind'][] };

const renumber = (rows: readonly ChainedRow[], from: number, by: number): ChainedRow[] =>
  rows.map((row) => (row.seq >= from ? { ...row, seq: row.seq + by } : row));
const lastHead = (rows: readonly ChainedRow[]): ChainHead => rows.at(-1) ?? { seq: 0, hash: new Uint8Array(32) };
const relink = (before: ChainHead, rows: readonly ChainedRow[]): ChainedRow[] => {
  const events = rows.map((row) => exampleEvent(row.seq, { operation: row.operation, resource: row.resource }));
  return linkEvents(before, events).rows as ChainedRow[];
};

const tamperings: Readonly<Record<string, Tampering>> = {
  'alters text'({ rows, log }, pick) {
    const texts = chainedColumns.filter((column) => column !== 'seq' && column !== 'at');
    const [seq, column] = [1 + pick(size), texts[pick(texts.length)] ?? 'id'];
    const before = rows[seq - 1]?.[column] ?? '';
    const at = pick(before.length + 1);
    log.set(seq, column, `${before.slice(0, at)}~${before.slice(at + pick(2))}`);
    return { seq, kinds: ['altered'] };
  },
  'alters a time'({ rows, log }, pick) {
    const seq = 1 + pick(size);
    log.set(seq, 'at', (rows[seq - 1]?.at ?? 0) + 1 + pick(1e6));
    return { seq, kinds: ['altered'] };
  },
  'clears a column'({ rows, log }, pick) {
    const seq = 1 + pick(size);
    log.set(seq, 'source_address', null);
    assert.notEqual(rows[seq - 1]?.source_address, null);
    return { seq, kinds: ['altered'] };
  },
  'makes a denial a success'({ rows, log }, pick) {
    const denied = rows.filter((row) => row.outcome === 'denied');
    const seq = denied[pick(denied.length)]?.seq ?? 0;
    log.set(seq, 'outcome', 'ok');
    return { seq, kinds: ['altered'] };
  },
  'alters a hash'({ rows, log }, pick) {
    const seq = 1 + pick(size);
    const hash = Uint8Array.from(rows[seq - 1]?.hash ?? []);
    hash[pick(32)]! ^= 1 << pick(8);
    log.set(seq, 'hash', hash);
    return { seq, kinds: ['altered'] };
  },
  'replaces a row and its hash'({ rows, log, intruder }, pick) {
    const seq = 1 + pick(size - 1);
    const [forged] = relink(rows[seq - 2] ?? { seq: 0, hash: new Uint8Array(32) }, rows.slice(seq - 1, seq));
    intruder.exec(`DELETE FROM audit_events WHERE seq = ${seq}`);
    log.put({ ...forged });
    return forgedAt(seq, ['altered']);
  },
  'removes rows'({ log }, pick) {
    const from = 1 + pick(size);
    log.remove(from, from + pick(10));
    return { seq: from, kinds: ['missing', 'truncated'] };
  },
  'removes a row and closes the gap'({ rows, log }, pick) {
    const seq = 1 + pick(size - 1);
    const left = renumber(
      rows.filter((row) => row.seq !== seq),
      seq,
      -1,
    );
    log.replaceAll(left, lastHead(left));
    return { seq, kinds: ['altered'] };
  },
  'swaps two rows with their hashes'({ rows, log }, pick) {
    const [a, b] = twoRows(pick);
    const swapped = rows.map((row) =>
      row.seq === a ? { ...rows[b - 1], seq: a } : row.seq === b ? { ...rows[a - 1], seq: b } : row,
    );
    log.replaceAll(swapped, lastHead(rows));
    return { seq: a, kinds: ['altered'] };
  },
  'swaps what two rows say'({ rows, log }, pick) {
    const [a, b] = twoRows(pick);
    const say = (seq: number, from: number) => ({ ...rows[from - 1], seq, hash: rows[seq - 1]?.hash });
    const swapped = rows.map((row) => (row.seq === a ? say(a, b) : row.seq === b ? say(b, a) : row));
    log.replaceAll(swapped, lastHead(rows));
    return { seq: a, kinds: ['altered'] };
  },
  'turns the order of some rows round'({ rows, log }, pick) {
    const from = 1 + pick(size - 5);
    const turned = rows.map((row) =>
      row.seq >= from && row.seq < from + 4 ? { ...row, seq: 2 * from + 3 - row.seq } : row,
    );
    log.replaceAll(turned, lastHead(rows));
    return { seq: from, kinds: ['altered'] };
  },
  'puts a row in between'({ rows, log }, pick) {
    const seq = 1 + pick(size);
    const shifted = renumber(rows, seq, 1);
    const [forged] = relink(rows[seq - 2] ?? { seq: 0, hash: new Uint8Array(32) }, rows.slice(0, 1));
    log.replaceAll([...shifted.slice(0, seq - 1), { ...forged }, ...shifted.slice(seq - 1)], {
      seq: size + 1,
      hash: lastHead(rows).hash,
    });
    return forgedAt(seq, ['altered', 'head']);
  },
  'puts a row before the first'({ rows, log }, pick) {
    const seq = -pick(1000);
    log.put({ ...rows[0], seq });
    return { seq, kinds: ['inserted'] };
  },
  'puts a row after the head'({ rows, log }) {
    const [forged] = relink(lastHead(rows), rows.slice(0, 1));
    log.put({ ...forged });
    return { seq: size + 1, kinds: ['inserted'] };
  },
  'cuts the end off'({ log }, pick) {
    const left = pick(size);
    log.remove(left + 1, size);
    return { seq: left + 1, kinds: ['missing', 'truncated'] };
  },
  'cuts the end off and mends the head'({ rows, log }, pick) {
    const left = rows.slice(0, pick(size));
    log.replaceAll(left, lastHead(left));
    return { seq: left.length + 1, kinds: ['truncated'] };
  },
  'writes the log anew from some row on, with all hashes and the head'({ rows, log }, pick) {
    const from = 1 + pick(size);
    const anew = [
      ...rows.slice(0, from - 1),
      ...relink(rows[from - 2] ?? { seq: 0, hash: new Uint8Array(32) }, rows.slice(from - 1)),
    ];
    log.replaceAll(anew, lastHead(anew));
    return { seq: from <= 135 ? 135 : size, kinds: ['forked'] };
  },
  'cuts the end off and goes on with other events'({ rows, log }, pick) {
    const left = rows.slice(0, pick(size - 1));
    const anew = [...left, ...relink(lastHead(left), rows.slice(0, 60 + pick(200)))];
    log.replaceAll(anew, lastHead(anew));
    const seen = [135, size].find((seq) => seq > left.length && seq <= anew.length);
    return seen === undefined ? { seq: anew.length + 1, kinds: ['truncated'] } : { seq: seen, kinds: ['forked'] };
  },
  'alters the head'({ rows, log }, pick) {
    log.setHead({ seq: size, hash: Uint8Array.from(randomBytes(pick(2) === 0 ? 32 : 31)) });
    assert.equal(rows.length, size);
    return { seq: size, kinds: ['head'] };
  },
  'moves the head back'({ rows, log }, pick) {
    const seq = pick(size);
    log.setHead(lastHead(rows.slice(0, seq)));
    return { seq: seq + 1, kinds: ['inserted'] };
  },
  'removes the head'({ intruder }) {
    intruder.exec('DELETE FROM audit_head');
    return { seq: size, kinds: ['head'] };
  },
  'puts a number that cannot be read'({ log }, pick) {
    const seq = 1 + pick(size);
    log.set(seq, 'at', 2n ** 60n + BigInt(pick(1000)));
    return { seq, kinds: ['unreadable'] };
  },
  'numbers a row beyond all numbers'({ intruder }, pick) {
    const seq = 1 + pick(size);
    intruder.prepare('UPDATE audit_events SET seq = ? WHERE seq = ?').run(2n ** 62n, seq);
    return { seq, kinds: ['missing', 'inserted'] };
  },
};

/** A row with a hash that fits what stands before it shows at the row after it, or at a checkpoint that saw the true one. */
function forgedAt(seq: number, kinds: readonly Finding['kind'][]): ReturnType<Tampering> {
  return seq === 135 || seq === size ? { seq, kinds: ['forked'] } : { seq: seq + 1, kinds };
}

function twoRows(pick: (below: number) => number): [number, number] {
  const a = 1 + pick(size - 1);
  return [a, a + 1 + pick(size - a)];
}

test('of 1,000 tamperings of every kind all are found, each at the right row', async (context) => {
  const log = await newLog(context);
  const pick = random(20261121);
  const kinds = Object.entries(tamperings);
  const untouched = await verifyLog(log.store, { checkpoints: log.kept });
  assert.deepEqual(untouched.findings, []);
  assert.equal(untouched.checkpoints, 2);
  let found = 0;
  for (let round = 0; round < 1000; round++) {
    const [name, tamper] = kinds[round % kinds.length] ?? assert.fail();
    const expected = tamper(log, pick);
    const report = await verifyLog(log.store, { checkpoints: log.kept });
    const first = report.findings[0];
    const told = `round ${round}: ${name}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(report.findings.slice(0, 3))}`;
    assert.equal(report.valid, false, told);
    assert.equal(first?.seq, expected.seq, told);
    assert.ok(first && expected.kinds.includes(first.kind), told);
    assert.match(first.message, /^[A-Z].*\.$/);
    found++;
    log.log.restore();
    if (name === 'removes the head')
      log.intruder.prepare('INSERT INTO audit_head VALUES (1, ?, ?)').run(size, lastHead(log.rows).hash);
  }
  assert.equal(found, 1000);
  assert.deepEqual(
    (await verifyLog(log.store, { checkpoints: log.kept })).findings,
    [],
    'the last restoring was complete',
  );
});

test('without a checkpoint a log that was written anew is consistent in itself, which is why checkpoints are kept', async (context) => {
  const { store, rows, log, kept } = await newLog(context);
  const anew = [...rows.slice(0, 99), ...relink(rows[98] ?? assert.fail(), rows.slice(99))];
  log.replaceAll(anew, lastHead(anew));
  assert.equal((await verifyLog(store)).valid, true);
  const report = await verifyLog(store, { checkpoints: kept });
  assert.deepEqual(
    report.findings.map(({ seq, kind }) => [seq, kind]),
    [
      [135, 'forked'],
      [150, 'forked'],
    ],
  );
});

test('an empty log is valid, and an emptied one is not', async (context) => {
  const { store } = await temporaryStore(context);
  assert.deepEqual((await verifyLog(store)).findings, []);
  const full = await newLog(context);
  full.log.remove(1, size);
  assert.deepEqual(
    (await verifyLog(full.store)).findings.map(({ seq, kind }) => [seq, kind]),
    [[1, 'missing']],
  );
});

test('a log that is appended to while it is verified is valid', async (context) => {
  const { store } = await newLog(context, 3000);
  const running = verifyLog(store);
  for (let index = 0; index < 50; index++) await store.commit([], [exampleEvent(index)]);
  const report = await running;
  assert.deepEqual(report.findings, []);
  assert.equal(report.head.seq, 3000);
  assert.equal((await verifyLog(store)).head.seq, 3050);
});

test('the event loop turns between the pages of a long log', async (context) => {
  const { store } = await newLog(context, 3000);
  let turns = 0;
  const counting = { on: true };
  const count = () => {
    turns++;
    if (counting.on) setImmediate(count);
  };
  setImmediate(count);
  const seen: number[] = [];
  await verifyLog(store, { progress: (seq) => seen.push(seq) });
  counting.on = false;
  assert.deepEqual(seen.slice(0, 6), [500, 1000, 1500, 2000, 2500, 3000]);
  assert.ok(turns >= 6);
});

test('a walk that begins after a checkpoint sees what follows, and only that', async (context) => {
  const { store, rows, log } = await newLog(context);
  const after = { seq: 100, hash: rows[99]?.hash ?? new Uint8Array() };
  const report = await verifyLog(store, { after });
  assert.deepEqual([report.valid, report.rows, report.head.seq], [true, 50, 150]);
  log.set(30, 'resource', 'pki/roles/other');
  assert.equal((await verifyLog(store, { after })).valid, true);
  log.set(130, 'resource', 'pki/roles/other');
  assert.deepEqual(
    (await verifyLog(store, { after })).findings.map(({ seq }) => seq),
    [130],
  );
  const wrong = await verifyLog(store, { after: { seq: 100, hash: new Uint8Array(32) } });
  assert.equal(wrong.findings[0]?.seq, 101);
});

test('a log that is wrong everywhere is told with a bounded number of findings', async (context) => {
  const { store, intruder } = await newLog(context, 2000);
  intruder.exec("UPDATE audit_events SET resource = 'x' || resource");
  const { findings } = await verifyLog(store);
  assert.equal(findings.length, maxFindings);
  assert.deepEqual(
    findings.map(({ seq }) => seq),
    Array.from({ length: maxFindings }, (_, index) => index + 1),
  );
});

test('a store that cannot be reached is an error and not a finding', async () => {
  const gone: Pick<Store, 'all'> = { all: () => Promise.reject(new AppError('unavailable', 'The store is away.')) };
  await assert.rejects(verifyLog(gone), /away/);
});
