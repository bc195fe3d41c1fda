import type { Change } from './change.ts';
import type { Grant } from './grant.ts';
import type { BoundAct, Outcome } from './operation.ts';

/**
 * Secret fields of an answer that must not go the way of the rest, since somebody reads along there: a model behind MCP.
 * They are kept, encrypted, for the caller to fetch by another way (src/claim/), in the commit of the effect itself: so
 * there is no moment at which a credential is handed out and its secret is lost, or kept and not on record.
 */
export interface KeptSecrets {
  /** Opens them once, together with the principal's own authentication. A secret itself until then. */
  readonly handle: string;
  /** Milliseconds. */
  readonly expiresAt: number;
}

/** What keeps them: given to dispatch with the call. Undefined where the answer holds no secret. */
export type KeepSecrets = (
  grant: Grant,
  operation: Pick<BoundAct, 'sensitive'>,
  output: unknown,
) => Keeping | undefined;

export interface Keeping {
  readonly kept: KeptSecrets;
  readonly changes: readonly Change[];
  /** Joins the facts of the event of the effect; holds no secret. */
  readonly audit: NonNullable<Outcome<unknown>['audit']>;
}

/** Names of the secret fields that have a value. */
export function secretFields({ sensitive = [] }: Pick<BoundAct, 'sensitive'>, output: unknown): string[] {
  if (typeof output !== 'object' || output === null) return [];
  const values = output as Readonly<Record<string, unknown>>;
  return sensitive.filter((field) => values[field] !== undefined && values[field] !== null);
}
