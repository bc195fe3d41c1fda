import { setImmediate } from 'node:timers/promises';
import { sql } from 'kysely';
import { AppError } from '#core/errors.ts';
import type { AuditEventRow, CoreTables } from '#storage/core-tables.ts';
import type { Store } from '#storage/store.ts';

/**
 * Reading events back. The log has two orders that cost no search, seq and (namespace, seq), and one that holds nearly:
 * time grows with seq but for the length of a request and the clocks of several nodes. So times and ids, which begin with
 * their time, are found by bisection with some slack, and everything else by looking at rows, a bounded number at a time.
 */

export interface EventFilter {
  /** Undefined: all namespaces. */
  readonly namespace: string | undefined;
  /** An operation id, in which `*` stands for any characters. */
  readonly operation?: string | undefined;
  readonly principal?: string | undefined;
  /** Beginning of the resource. */
  readonly resource?: string | undefined;
  readonly outcome?: string | undefined;
  readonly requestId?: string | undefined;
  /** Milliseconds, inclusive. */
  readonly since?: number | undefined;
  /** Milliseconds, exclusive. */
  readonly until?: number | undefined;
}

/** Milliseconds by which the order of time may differ from that of seq: the longest request, and clocks that differ. */
const timeSlack = 3_600_000;
/** Rows looked at between two turns of the event loop: a few milliseconds. */
const chunkSize = 5000;
/** Chunks that one call looks at; then it returns what it found, and where to go on. */
const maxChunks = 20;

export interface EventPage {
  /** Newest first. */
  readonly rows: AuditEventRow[];
  /** Go on with rows below this seq; null when all were looked at. */
  readonly before: number | null;
}

/** Events that fit, newest first, at most `limit`. A page may be short, even empty, while `before` says that there is more. */
export async function listEvents(
  store: Store,
  filter: EventFilter,
  limit: number,
  before: number | undefined,
): Promise<EventPage> {
  const lowest = filter.since === undefined ? 0 : await seqAtTime(store, filter.since - timeSlack);
  let upper = await upperBound(store, filter.until, before);
  const rows: AuditEventRow[] = [];
  for (let chunk = 0; chunk < maxChunks; chunk++) {
    const end = looksAtRows(filter) ? await chunkEnd(store, filter.namespace, lowest, upper) : undefined;
    rows.push(...(await matching(store, filter, end ?? lowest, upper, limit + 1 - rows.length)));
    if (rows.length > limit) return { rows: rows.slice(0, limit), before: rows[limit - 1]?.seq ?? null };
    if (end === undefined) return { rows, before: null };
    upper = end;
    await setImmediate();
  }
  return { rows, before: upper };
}

/** Without a filter beyond the namespace every row that is read is one that is wanted, and nothing needs bounding. */
function looksAtRows(filter: EventFilter): boolean {
  const { namespace: _, ...filters } = filter;
  return Object.values(filters).some((value) => value !== undefined);
}

async function upperBound(store: Store, until: number | undefined, before: number | undefined): Promise<number> {
  const highest = until === undefined ? Number.MAX_SAFE_INTEGER : await seqAtTime(store, until + timeSlack);
  return Math.min(highest, before ?? Number.MAX_SAFE_INTEGER);
}

/** The seq at which a chunk below `upper` ends; undefined when fewer rows than a chunk are left. */
async function chunkEnd(
  store: Store,
  namespace: string | undefined,
  lowest: number,
  upper: number,
): Promise<number | undefined> {
  const row = await store
    .tables<CoreTables>()
    .selectFrom('audit_events')
    .select('seq')
    .where('seq', '>=', lowest)
    .where('seq', '<', upper)
    .$if(namespace !== undefined, (query) => query.where('namespace', '=', namespace ?? ''))
    .orderBy('seq', 'desc')
    .offset(chunkSize - 1)
    .limit(1)
    .executeTakeFirst();
  return row?.seq;
}

function matching(
  store: Store,
  filter: EventFilter,
  from: number,
  upper: number,
  limit: number,
): Promise<AuditEventRow[]> {
  let query = store
    .tables<CoreTables>()
    .selectFrom('audit_events')
    .selectAll()
    .where('seq', '>=', from)
    .where('seq', '<', upper);
  const { namespace, operation, principal, resource, outcome, requestId, since, until } = filter;
  if (namespace !== undefined) query = query.where('namespace', '=', namespace);
  if (operation !== undefined) query = query.where(sql<boolean>`operation LIKE ${likePattern(operation)} ESCAPE '\\'`);
  if (principal !== undefined) query = query.where('principal', '=', principal);
  if (resource !== undefined)
    query = query.where(sql<string>`substr(resource, 1, ${sql.lit(resource.length)})`, '=', resource);
  if (outcome !== undefined) query = query.where('outcome', '=', outcome);
  if (requestId !== undefined) query = query.where('request_id', '=', requestId);
  if (since !== undefined) query = query.where('at', '>=', since);
  if (until !== undefined) query = query.where('at', '<', until);
  return query.orderBy('seq', 'desc').limit(limit).execute();
}

function likePattern(glob: string): string {
  return glob.replaceAll(/[\\%_]/g, '\\$&').replaceAll('*', '%');
}

/** The first seq whose row is not older than `time`, as far as time follows seq; one past the end when all are older. */
async function seqAtTime(store: Pick<Store, 'first'>, time: number): Promise<number> {
  const ends = await store.first<{ low: number | null; high: number | null }>(
    'SELECT min(seq) AS low, max(seq) AS high FROM audit_events',
    [],
  );
  let low = ends?.low ?? 1;
  let high = (ends?.high ?? 0) + 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const row = await store.first<{ at: number }>('SELECT at FROM audit_events WHERE seq >= ? ORDER BY seq LIMIT 1', [
      middle,
    ]);
    if (row === undefined || row.at >= time) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The event with this id; undefined when there is none, or not in this namespace. */
export async function findEvent(
  store: Store,
  id: string,
  namespace: string | undefined,
): Promise<AuditEventRow | undefined> {
  const centre = await seqAtTime(store, timeOfId(id));
  for (let step = 0; step < maxChunks; step++) {
    for (const from of [centre + step * chunkSize, centre - (step + 1) * chunkSize]) {
      const row = await store
        .tables<CoreTables>()
        .selectFrom('audit_events')
        .selectAll()
        .where('seq', '>=', from)
        .where('seq', '<', from + chunkSize)
        .where('id', '=', id)
        .$if(namespace !== undefined, (query) => query.where('namespace', '=', namespace ?? ''))
        .executeTakeFirst();
      if (row) return row;
    }
    await setImmediate();
  }
  return undefined;
}

/** Crockford base32, as `newId` writes it: the first ten characters are the time in milliseconds. */
const idAlphabet = '0123456789abcdefghjkmnpqrstvwxyz';

function timeOfId(id: string): number {
  const [, digits = ''] = /^aud_([0-9a-z]{10})/.exec(id) ?? [];
  let time = 0;
  for (const digit of digits) time = time * 32 + idAlphabet.indexOf(digit);
  return time;
}

/** The error for an event that is not there, or not for this caller: the same for both. */
export function noEvent(id: string): AppError {
  return new AppError('not_found', `There is no audit event ${id} in this namespace.`, {
    hint: 'audit.list_events lists the events of this namespace.',
  });
}
