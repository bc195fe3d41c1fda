import { TargetError } from './target.ts';

/**
 * One statement that reads, by a user that lives for it: what is asked of a target, and what keeps the answer, the time
 * and the traffic within bounds.
 */

/** A value as JSON holds it without loss. */
export type QueryValue = string | number | boolean | null;

export interface ReadQuery {
  /** One statement. That there are not several is for the server to see. */
  readonly sql: string;
  readonly parameters: readonly QueryValue[];
  /** Undefined: the one that a client is given when it names none. */
  readonly database: string | undefined;
  readonly maxRows: number;
  /** Of the rows as JSON. */
  readonly maxBytes: number;
  /** Milliseconds for the statement. */
  readonly timeout: number;
  /** Aborted when nobody waits for the answer any more, or may have it. */
  readonly signal?: AbortSignal | undefined;
}

export interface QueryColumn {
  readonly name: string;
  /** As the server calls it. */
  readonly type: string;
}

export interface QueryResult {
  readonly columns: readonly QueryColumn[];
  readonly rows: readonly (readonly QueryValue[])[];
  /** What there was more than was taken; null: the answer is whole. */
  readonly truncatedBy: 'rows' | 'bytes' | null;
}

/** The rows that were taken so far. */
export interface RowCollector {
  /** False: it was not taken, and no other will be. */
  add(row: readonly QueryValue[]): boolean;
  /** No more will be taken, for this reason. */
  cut(by: 'rows' | 'bytes'): void;
  readonly rows: (readonly QueryValue[])[];
  readonly truncatedBy: 'rows' | 'bytes' | null;
}

export function collectRows({ maxRows, maxBytes }: Pick<ReadQuery, 'maxRows' | 'maxBytes'>): RowCollector {
  const rows: (readonly QueryValue[])[] = [];
  let bytes = 0;
  let truncatedBy: RowCollector['truncatedBy'] = null;
  const cut = (by: 'rows' | 'bytes'): false => {
    truncatedBy ??= by;
    return false;
  };
  return {
    rows,
    cut,
    get truncatedBy() {
      return truncatedBy;
    },
    add(row) {
      if (truncatedBy !== null) return false;
      if (rows.length >= maxRows) return cut('rows');
      bytes += Buffer.byteLength(JSON.stringify(row)) + 1;
      if (bytes > maxBytes) return cut('bytes');
      rows.push(row);
      return true;
    },
  };
}

/** A whole number, as text where JSON readers would lose digits. */
export function wholeNumber(text: string): QueryValue {
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : text;
}

/** A floating-point number; what JSON has none for (`NaN`, `Infinity`) as text. */
export function floatingNumber(text: string): QueryValue {
  const value = Number(text);
  return Number.isFinite(value) ? value : text;
}

/** Octets as PostgreSQL writes them: `\x` and hex. */
export function hexText(octets: Uint8Array): string {
  return `\\x${Buffer.from(octets).toString('hex')}`;
}

/** What a socket must show to be watched. */
export interface WatchedSocket {
  readonly bytesRead: number;
  destroy(): unknown;
}

/** Watches one session from outside, whatever the driver is doing. */
export interface SessionWatch {
  /** Waits for a step; rejects as soon as time is up or nobody waits any more, and then ends the session. */
  readonly run: <Result>(step: Promise<Result>) => Promise<Result>;
  /** Ends the session at once. */
  readonly end: () => void;
  /** Ends the watch. */
  readonly stop: () => void;
}

/** Milliseconds that the server has for saying itself that time is up. */
const grace = 1000;

/** Milliseconds between two looks at the traffic. */
const lookEvery = 20;

/**
 * More than rows of `maxBytes` can take on the wire. One value may have a gigabyte, and a driver would collect it before
 * it shows a first octet.
 */
function mostTraffic({ maxBytes }: ReadQuery): number {
  return 8 * maxBytes + 262_144;
}

export function watchSession(socket: WatchedSocket, query: ReadQuery, rows: RowCollector): SessionWatch {
  const stopped = Promise.withResolvers<never>();
  // Whoever waits hears of it; when nobody does, nobody need.
  stopped.promise.catch(() => undefined);
  const before = socket.bytesRead;
  const end = (why?: TargetError): void => {
    socket.destroy();
    stopped.reject(why ?? new TargetError('unreachable', 'The session was ended.'));
  };
  const timer = setTimeout(() => end(timeUp(query)), query.timeout + grace);
  const traffic = setInterval(() => {
    if (socket.bytesRead - before <= mostTraffic(query)) return;
    rows.cut('bytes');
    end();
  }, lookEvery);
  const abort = (): void =>
    end(new TargetError('timeout', 'The statement was given up: its caller went away, or its lease was revoked.'));
  if (query.signal?.aborted === true) abort();
  query.signal?.addEventListener('abort', abort, { once: true });
  return {
    run: (step) => Promise.race([step, stopped.promise]),
    end,
    stop() {
      clearTimeout(timer);
      clearInterval(traffic);
      query.signal?.removeEventListener('abort', abort);
    },
  };
}

export function timeUp({ timeout }: ReadQuery, cause?: unknown): TargetError {
  return new TargetError('timeout', `The statement took longer than ${timeout / 1000} s and was ended.`, {
    hint: 'Ask for less, for example with LIMIT or a narrower WHERE; timeout may be up to 60s.',
    cause,
  });
}

/**
 * What a database says, for people and models alike: what the statement or the data may have put there to steer a terminal
 * or a reader (controls, formats such as bidirectional marks) is told by number.
 */
export function plainText(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/gu, (character) =>
    character === '\n' || character === '\t' ? ' ' : `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

export const onlyReads = 'Only statements that read are run, one at a time, in a transaction that is never committed.';
