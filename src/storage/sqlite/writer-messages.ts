import type { AuditEvent } from '#core/audit-event.ts';
import type { Change } from '#core/change.ts';
import type { ErrorCode } from '#core/errors.ts';
import type { LinkerModule } from '#storage/store.ts';

/** What the main thread and the writing thread say to each other. */

export interface WriterSettings {
  readonly file: string;
  readonly linker: LinkerModule;
  readonly maxPages: number | undefined;
}

/** A unit without what cannot leave its thread: guards keep their conditions and lose the makers of their errors. */
export interface UnitData {
  readonly changes: readonly Change[];
  readonly events: readonly AuditEvent[];
}

export type ToWriter = { readonly type: 'write'; readonly units: readonly UnitData[] } | { readonly type: 'close' };

/** How a unit ended. Null: it is durable. */
export type UnitOutcome =
  | null
  /** The index of the change whose guard was not met. */
  | { readonly unmet: number }
  | { readonly error: StoreErrorData }
  /** A mistake of ours: the message of what was thrown. */
  | { readonly fault: string };

export interface StoreErrorData {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string | undefined;
  readonly retryAfter: number | undefined;
  readonly cause: string | undefined;
}

export type FromWriter =
  | { readonly type: 'ready' }
  /** Empty when all units are durable. */
  | { readonly type: 'wrote'; readonly outcomes: readonly UnitOutcome[] }
  | { readonly type: 'log'; readonly detail: string; readonly message: string };
