import { setImmediate } from 'node:timers/promises';
import { toAppError } from '#core/errors.ts';
import type { AuditEventRow } from '#storage/core-tables.ts';
import type { ChainHead, Store } from '#storage/store.ts';
import { chainedColumns, emptyHead, type Finding, missingRows, verifyRows } from './chain.ts';
import type { Checkpoint } from './checkpoint.ts';

/**
 * Walks the audit log and finds what was altered, removed, inserted, swapped or reordered. A log whose end was cut off,
 * or that was written anew as a whole, is consistent in itself: only a checkpoint kept elsewhere shows that.
 */

export interface VerifyOptions {
  /** Checkpoints whose signatures have been verified. */
  readonly checkpoints?: readonly Checkpoint[];
  /** Rows up to here are taken as verified already. Default: the beginning of the log. */
  readonly after?: ChainHead;
  /** Told after every page. */
  readonly progress?: (seq: number, last: number) => void;
}

export interface LogReport {
  readonly valid: boolean;
  /** Rows that were read. */
  readonly rows: number;
  /** Where the walk ended. */
  readonly head: ChainHead;
  /** Checkpoints that were compared. */
  readonly checkpoints: number;
  /** In the order of seq; at most `maxFindings`. */
  readonly findings: readonly Finding[];
}

export const maxFindings = 100;
/** Rows a page: a few milliseconds of reading and hashing between two turns of the event loop. */
const pageSize = 500;

/** Needs nothing but a store, so that it also runs without a server. Rows appended meanwhile are left for next time. */
export async function verifyLog(store: Pick<Store, 'all'>, options: VerifyOptions = {}): Promise<LogReport> {
  const end = await readEnd(store);
  const start = options.after ?? emptyHead;
  const checkpoints = options.checkpoints?.filter(({ size }) => size >= start.seq) ?? [];
  const checks = Map.groupBy(checkpoints, ({ size }) => size);
  const walk = await walkRows(store, start, end.last, checks, options.progress);
  const found = [...end.findings, ...walk.findings, ...endFindings(end, walk, checks)];
  const findings = found.toSorted((a, b) => a.seq - b.seq).slice(0, maxFindings);
  return {
    valid: findings.length === 0,
    rows: walk.rows,
    head: walk.head,
    checkpoints: checkpoints.length,
    findings,
  };
}

interface Walk {
  readonly head: ChainHead;
  readonly rows: number;
  readonly findings: Finding[];
  /** False when it stopped at an unreadable row or at too many findings. */
  readonly complete: boolean;
}

async function walkRows(
  store: Pick<Store, 'all'>,
  start: ChainHead,
  last: number,
  checks: Checks,
  progress: VerifyOptions['progress'],
): Promise<Walk> {
  const findings = compareCheckpoints(checks, start);
  let head = start;
  let rows = 0;
  for (;;) {
    const page = await readPage(store, head.seq, last);
    const verified = verifyRows(head, page.rows);
    findings.push(...verified.findings, ...page.findings);
    findings.push(...page.rows.flatMap((row) => compareCheckpoints(checks, row)));
    ({ head } = verified);
    rows += page.rows.length;
    progress?.(head.seq, last);
    if (page.done) return { head, rows, findings, complete: page.findings.length === 0 };
    if (findings.length >= maxFindings) return { head, rows, findings, complete: false };
    await setImmediate();
  }
}

/** Where the log ends by its own account, read in one statement so that a commit cannot come between. */
interface End {
  readonly head: ChainHead | undefined;
  /** Highest seq of a row; 0 when there is none. */
  readonly last: number;
  readonly findings: Finding[];
}

/** As text, because a tampered number may be larger than what JavaScript holds. */
const readEnds = `SELECT CAST(h.seq AS TEXT) AS seq, h.hash, CAST(e.first_seq AS TEXT) AS first, CAST(e.last_seq AS TEXT) AS last
  FROM (SELECT min(seq) AS first_seq, max(seq) AS last_seq FROM audit_events) e LEFT JOIN audit_head h ON 1 = 1`;

async function readEnd(store: Pick<Store, 'all'>): Promise<End> {
  type Ends = { seq: string | null; hash: Uint8Array | null; first: string | null; last: string | null };
  const [row, ...more] = await store.all<Ends>(readEnds, []);
  const last = Number(row?.last ?? 0);
  const first = Number(row?.first ?? 1);
  const findings: Finding[] = [];
  if (first < 1) findings.push({ seq: first, kind: 'inserted', message: `Row ${first} stands before row 1.` });
  if (typeof row?.seq === 'string' && row.hash instanceof Uint8Array && more.length === 0)
    return { head: { seq: Number(row.seq), hash: row.hash }, last, findings };
  if (last > 0 || more.length > 0)
    findings.push({ seq: last, kind: 'head', message: 'The head of the log (table audit_head) is not one sound row.' });
  return { head: undefined, last, findings };
}

interface Page {
  readonly rows: AuditEventRow[];
  readonly findings: Finding[];
  readonly done: boolean;
}

const readRows = `SELECT ${chainedColumns.join(', ')}, hash FROM audit_events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT`;

async function readPage(store: Pick<Store, 'all'>, cursor: number, last: number): Promise<Page> {
  const through = Math.min(last, Number.MAX_SAFE_INTEGER);
  try {
    const rows = await store.all<AuditEventRow>(`${readRows} ${pageSize}`, [cursor, through]);
    return { rows, findings: [], done: rows.length < pageSize };
  } catch (thrown) {
    if (toAppError(thrown).code === 'unavailable') throw thrown;
    return readSingly(store, cursor, through);
  }
}

/** A row that cannot even be read (a number beyond what JavaScript holds) spoils its page; so the page is read row by row. */
async function readSingly(store: Pick<Store, 'all'>, cursor: number, through: number): Promise<Page> {
  const rows: AuditEventRow[] = [];
  let at = cursor;
  try {
    while (rows.length < pageSize) {
      const [row] = await store.all<AuditEventRow>(`${readRows} 1`, [at, through]);
      if (row === undefined) return { rows, findings: [], done: true };
      rows.push(row);
      at = row.seq;
    }
    return { rows, findings: [], done: false };
  } catch (thrown) {
    if (toAppError(thrown).code === 'unavailable') throw thrown;
    const message = `The row after row ${at} cannot be read: a column holds what no event holds. What follows was not verified.`;
    return { rows, findings: [{ seq: at + 1, kind: 'unreadable', message }], done: true };
  }
}

function endFindings(end: End, walk: Walk, checks: Checks): Finding[] {
  const findings: Finding[] = [];
  const stated = end.head;
  const { seq } = walk.head;
  if (stated && stated.seq < end.last)
    findings.push({
      seq: stated.seq + 1,
      kind: 'inserted',
      message: `The log goes on after its head, row ${stated.seq}.`,
    });
  if (!walk.complete) return findings;
  if (stated && stated.seq > seq)
    findings.push({ seq: seq + 1, kind: 'missing', message: missingRows(seq + 1, stated.seq) });
  if (stated?.seq === seq && Buffer.compare(stated.hash, walk.head.hash) !== 0)
    findings.push({ seq, kind: 'head', message: `The head of the log is not the hash of row ${seq}.` });
  const lost = [...checks.keys()].filter((size) => size > seq);
  if (lost.length > 0) findings.push(truncated(seq, Math.max(...lost)));
  return findings;
}

function truncated(last: number, size: number): Finding {
  const message = `The log ends at row ${last}, but a signed checkpoint saw row ${size}: its end was cut off, or an older copy was restored.`;
  return { seq: last + 1, kind: 'truncated', message };
}

type Checks = ReadonlyMap<number, readonly Checkpoint[]>;

function compareCheckpoints(checks: Checks, row: ChainHead): Finding[] {
  const differing = checks.get(row.seq)?.some(({ hash }) => Buffer.compare(hash, row.hash) !== 0);
  if (!differing) return [];
  const message = `Row ${row.seq} is not the one that a signed checkpoint saw: the log was written anew at or before it.`;
  return [{ seq: row.seq, kind: 'forked', message }];
}

/**
 * Whether the log still continues a checkpoint, by one look at one row. Cheap enough for every start and before every new
 * checkpoint; says nothing about the rows between.
 */
export async function compareWithCheckpoint(
  store: Pick<Store, 'first'>,
  checkpoint: Checkpoint,
): Promise<Finding | undefined> {
  if (checkpoint.size === 0) return undefined;
  const row = await store.first<{ hash: Uint8Array | null; last: string | null }>(
    `SELECT (SELECT hash FROM audit_events WHERE seq = ?) AS hash, (SELECT CAST(max(seq) AS TEXT) FROM audit_events) AS last`,
    [checkpoint.size],
  );
  const last = Number(row?.last ?? 0);
  if (last < checkpoint.size) return truncated(last, checkpoint.size);
  const found = { seq: checkpoint.size, hash: row?.hash ?? new Uint8Array() };
  return compareCheckpoints(new Map([[checkpoint.size, [checkpoint]]]), found)[0];
}
