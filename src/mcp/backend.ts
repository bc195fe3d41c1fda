import type { Effect } from '#core/operation.ts';

/**
 * What the MCP face stands on. It does not know whether an operation runs in this process (Streamable HTTP, by dispatch)
 * or behind the REST API (stdio): both are a `ToolBackend`. What may not reach a model leaves by a `SecretDelivery`.
 */

/** An operation as tools need it: data only. Made from the definitions, or read from the CLI's manifest. */
export interface OfferedOperation {
  /** `pki.issue_certificate`. */
  readonly id: string;
  readonly title: string;
  readonly summary: string;
  readonly effect: Effect;
  readonly idempotent: boolean;
  readonly openWorld: boolean;
  /** Fields of the output that are secret. */
  readonly sensitive: readonly string[];
  /** JSON Schema 2020-12 of the input as it is sent: a strict object at the top. */
  readonly input: ObjectSchema;
  /** JSON Schema 2020-12 of the output, secret fields among it: a strict object at the top. */
  readonly output: ObjectSchema;
}

/** A JSON Schema whose top level is an object with known properties. */
export interface ObjectSchema {
  readonly type: 'object';
  readonly properties: Readonly<Record<string, object>>;
  readonly required?: readonly string[] | undefined;
  readonly additionalProperties: false;
  readonly $defs?: Readonly<Record<string, object>> | undefined;
}

export interface CallContext {
  /** Aborted when the client cancels or goes away: stop waiting. What was begun is not undone. */
  readonly signal: AbortSignal;
  readonly idempotencyKey?: string | undefined;
  readonly approvalId?: string | undefined;
}

export interface BackendReply {
  /** As the operation's schema shapes it, secret fields among it. */
  readonly output: unknown;
  /** The answer is the kept one of an earlier call with the same key; kept answers hold no secrets. */
  readonly replayed: boolean;
}

/** On whose behalf operations are called; one per request (HTTP) or per process (stdio). */
export interface ToolBackend {
  /** All that this caller could ever be allowed to call, in the order of the list of operations. */
  readonly operations: readonly OfferedOperation[];
  /** Throws BackendError for every refusal; whatever else it throws is told to nobody but the log. */
  call(operation: OfferedOperation, input: unknown, context: CallContext): Promise<BackendReply>;
}

export interface BackendErrorFields {
  /** Of src/core/errors.ts, or what a newer server says. */
  readonly code: string;
  readonly hint?: string | undefined;
  readonly details?: readonly { readonly at: string; readonly message: string }[] | undefined;
  /** Further members of the problem document: `approval_id`, `nearest_request`, … */
  readonly members?: Readonly<Record<string, unknown>> | undefined;
  /** Seconds. */
  readonly retryAfter?: number | undefined;
  readonly requestId?: string | undefined;
  readonly cause?: unknown;
}

/** A refusal whose message and hint may be shown to the caller; they hold no secret. */
export class BackendError extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  readonly details: readonly { readonly at: string; readonly message: string }[];
  readonly members: Readonly<Record<string, unknown>>;
  readonly retryAfter: number | undefined;
  readonly requestId: string | undefined;

  constructor(message: string, fields: BackendErrorFields) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = 'BackendError';
    this.code = fields.code;
    this.hint = fields.hint;
    this.details = fields.details ?? [];
    this.members = fields.members ?? {};
    this.retryAfter = fields.retryAfter;
    this.requestId = fields.requestId;
  }
}

/** Takes the secrets out of an answer and brings them to where the caller can use them without seeing them. */
export interface SecretDelivery {
  /**
   * Called only with an output that has a secret field with a value. Resolves to the output without any secret field,
   * and to what the caller needs to know of where they went. When it rejects, the answer is told without the secrets and
   * with `method: "withheld"`, so that what was made (a lease, a certificate) is known and can be revoked.
   */
  deliver(operation: OfferedOperation, output: Readonly<Record<string, unknown>>): Promise<Delivered>;
}

export interface Delivered {
  readonly output: Readonly<Record<string, unknown>>;
  /** Absent where the secrets are in the output, because the operator wants it so (CHANCERY_MCP_REVEAL). */
  readonly delivery?: DeliveryFacts | undefined;
}

/** The `delivery` object of a tool's result. Nothing in it is a secret, except that a claim handle opens one, once. */
export interface DeliveryFacts {
  /**
   * `file`: written on the machine of the client. `claim`: kept until it is claimed. `withheld`: gone. `earlier`: this is
   * the kept answer of an earlier call, whose own `delivery` said where they went.
   */
  readonly method: 'file' | 'claim' | 'withheld' | 'earlier';
  /** The fields that were taken out. */
  readonly fields: readonly string[];
  /** What to do next, one or two sentences: the command that claims, or which file is used how. */
  readonly next: string;
  /** Handle for `chancery claim`, good once. */
  readonly claim?: string | undefined;
  /** RFC 3339: the end of the claim. */
  readonly expires_at?: string | undefined;
  /** Field → path of the file that holds it. */
  readonly files?: Readonly<Record<string, string>> | undefined;
  /** Field → what tells it from others without telling it: `sha256:…`. */
  readonly fingerprints?: Readonly<Record<string, string>> | undefined;
  /** A connection URL with its password taken out. */
  readonly redacted_url?: string | undefined;
}

/** JSON Schema of `DeliveryFacts`, as part of the output schema of every tool with secret fields. */
export const deliverySchema = {
  type: 'object',
  description: 'Where the secret fields went instead of into this result',
  properties: {
    method: { type: 'string', enum: ['file', 'claim', 'withheld', 'earlier'] },
    fields: { type: 'array', items: { type: 'string' } },
    next: { type: 'string' },
    claim: { type: 'string' },
    expires_at: { type: 'string' },
    files: { type: 'object', additionalProperties: { type: 'string' } },
    fingerprints: { type: 'object', additionalProperties: { type: 'string' } },
    redacted_url: { type: 'string' },
  },
  required: ['method', 'fields', 'next'],
  additionalProperties: false,
} as const;

/** The secret fields of an output that have a value. */
export function secretFieldsOf(operation: OfferedOperation, output: unknown): string[] {
  if (typeof output !== 'object' || output === null) return [];
  const values = output as Readonly<Record<string, unknown>>;
  return operation.sensitive.filter((field) => values[field] !== undefined && values[field] !== null);
}
