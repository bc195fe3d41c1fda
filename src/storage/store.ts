import type { Kysely } from 'kysely';
import type { AuditEvent } from '#core/audit-event.ts';
import type { Change } from '#core/change.ts';

/**
 * The contract of storage. Two implementations stand behind it, `sqlite/` and `postgres/`, and one contract suite
 * (test/contract/store.test.ts) runs on both.
 *
 * Terms. A *unit* is the list of changes and audit events of one call of `commit`. A *batch* is the units that were
 * waiting together and share one durable transaction. A *table version* is a number that grows whenever a
 * committed unit touched the table.
 *
 * What callers may rely on:
 * - When `commit` resolves, the unit is durable (survives kill -9 and power loss) and visible to every later read.
 * - When it rejects, nothing of the unit is stored. A failed unit never takes other units of its batch with it. (One
 *   exception, which says so itself: `unavailable` when PostgreSQL went away during the commit and stayed away, so that
 *   the outcome could not be learnt.)
 * - Units of one process are applied in the order of their `commit` calls.
 * - A guard that is not met rejects with the guard's own error, or `conflict`. A full disk rejects with `storage_full`,
 *   a store that cannot be reached with `unavailable`.
 * - Audit events get their place in the hash chain inside the same transaction (`ChainLinker`).
 */
export interface Store {
  readonly kind: 'sqlite' | 'postgres';
  /** Typed reads. `Tables` are the tables that the caller knows of. Never used to write. */
  tables<Tables>(): Kysely<Tables>;
  /**
   * One row by a fixed statement, for paths where building a query is too slow. `sql` uses `?` for parameters and is
   * prepared once per text.
   */
  first<Row>(sql: string, parameters: readonly Parameter[]): Promise<Row | undefined>;
  /** All rows, likewise. */
  all<Row>(sql: string, parameters: readonly Parameter[]): Promise<Row[]>;
  commit(changes: readonly Change[], events?: readonly AuditEvent[]): Promise<void>;
  /** Calls back after a commit by this or (within a second) any other process touched one of the tables. */
  watch(tables: readonly string[], changed: () => void): Unwatch;
  /** Writes a consistent copy while the server goes on. `path` must not exist. */
  backup(path: string, progress?: (done: number, total: number) => void): Promise<void>;
  /** Resolves when the store answers; rejects with `unavailable`. For readiness. */
  ping(): Promise<void>;
  /** Waits for pending commits, then closes. */
  close(): Promise<void>;
}

export type Parameter = string | number | Uint8Array | null;
export type Unwatch = () => void;

/** The end of the audit chain: the highest sequence number and its hash. */
export interface ChainHead {
  /** 0 when the log is empty. */
  readonly seq: number;
  /** SHA-256, 32 bytes; zeros when the log is empty. */
  readonly hash: Uint8Array;
}

/** Where the store says what happened to it; pino fits. */
export interface StoreLog {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

/** Makes rows of the audit table from events, each chained to the one before. Pure; given by `audit`. */
export type ChainLinker = (
  head: ChainHead,
  events: readonly AuditEvent[],
) => { rows: readonly Record<string, Parameter>[]; head: ChainHead };

/** Where a `ChainLinker` is exported: it runs where rows are written, and that may be a thread of its own. */
export interface LinkerModule {
  /** `import.meta.url` of the module. */
  readonly url: string;
  /** Name of the export. */
  readonly name: string;
}

/** One step of the schema. Forward only; its statements run in one transaction. */
export interface Migration {
  /** `core` or the engine's name. */
  readonly area: string;
  /** 1, 2, 3 … within the area. */
  readonly number: number;
  readonly title: string;
  /** SQL that both databases understand, after the words `BLOB` and `BIGINT` are put into the dialect. */
  readonly statements: readonly string[];
}
