import type { Gauge } from './gauge.ts';
import type { AppError } from './errors.ts';
import type { BoundOperation } from './operation.ts';

/** What an engine (or an area of the house) gives to main.ts: everything it can do, in parts that others drive. */
export interface Engine {
  readonly name: string;
  readonly operations: readonly BoundOperation[];
  /** Protocol routes that need no token (CRL, OCSP, ACME); everything else is an operation. */
  readonly publicRoutes: readonly PublicRoute[];
  /** Background work; each run goes through dispatch as the system principal. */
  readonly jobs: readonly Job[];
  /** Columns that hold sealed values, so that key rotation can re-wrap them. */
  readonly sealedColumns: readonly SealedColumn[];
  /** Tables with rows that belong to a namespace: it is deleted only when they hold none of it. */
  readonly namespacedTables: readonly (string | NamespacedTable)[];
  /** For `/metrics`. */
  readonly gauges?: readonly Gauge[] | undefined;
  close(): Promise<void>;
}

/** A table as people are told of it who want to delete the namespace. */
export interface NamespacedTable {
  readonly table: string;
  /** What its rows are: `ACME accounts`. */
  readonly holds: string;
  /** How they are cleared away, a sentence. */
  readonly clear: string;
}

export interface Job {
  /** Names the job in logs, metrics and the audit: `pki.rebuild_crls`. */
  readonly name: string;
  /** Five- or six-field cron expression (node-cron). */
  readonly schedule: string;
  readonly run: () => Promise<void>;
}

export interface SealedColumn {
  readonly table: string;
  /** The column that identifies the row; it must hold text. */
  readonly key: string;
  readonly column: string;
}

/** A route that speaks a protocol of its own. `path` is Fastify's: `/pki/:authority/ocsp`, `/pki/:authority/ocsp/*`. */
export interface PublicRoute {
  readonly method: 'GET' | 'POST' | 'HEAD' | 'OPTIONS';
  readonly path: string;
  readonly summary: string;
  /** Bytes. Default 64 KiB. */
  readonly bodyLimit?: number;
  /** Media types that are accepted; others get 415. Absent: no body. */
  readonly consumes?: readonly string[];
  readonly handle: (request: PublicRequest) => Promise<PublicReply> | PublicReply;
  /** How the protocol tells an error that was thrown, by the route or before it was asked. Default: our own problem document. */
  readonly refuse?: (error: AppError, request: RefusedRequest) => Promise<PublicReply> | PublicReply;
}

export type RefusedRequest = Pick<PublicRequest, 'params' | 'url' | 'requestId'>;

export interface PublicRequest {
  readonly params: Readonly<Record<string, string>>;
  /** Path and query as they came, undecoded. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Buffer;
  readonly sourceAddress: string;
  readonly requestId: string;
}

export interface PublicReply {
  readonly status: number;
  /** A list stands for a header line each. */
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body: Uint8Array | string;
}
