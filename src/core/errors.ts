/**
 * The one error type and the one table of codes. Each protocol maps it once, at its edge: REST to RFC 9457
 * problem documents, the CLI to exit codes, MCP to tool errors. Anything else that is thrown is `internal`,
 * and its text never leaves the process.
 */

interface CodeEntry {
  /** HTTP status (RFC 9110). */
  readonly status: number;
  /** Short human title; constant per code (RFC 9457 §3.1.3). */
  readonly title: string;
  /** Exit code of the CLI. */
  readonly exit: number;
}

/** Every error code, with what each protocol says for it. */
export const errorCodes = {
  invalid_request: { status: 400, title: 'The request is not valid', exit: 6 },
  unauthenticated: { status: 401, title: 'Authentication is required', exit: 3 },
  denied: { status: 403, title: 'The policy does not allow this', exit: 4 },
  approval_required: { status: 403, title: 'An approval is required first', exit: 4 },
  not_found: { status: 404, title: 'Not found', exit: 5 },
  method_not_allowed: { status: 405, title: 'This method is not supported here', exit: 6 },
  request_timeout: { status: 408, title: 'The request took too long to arrive', exit: 7 },
  already_exists: { status: 409, title: 'This already exists', exit: 6 },
  conflict: { status: 409, title: 'This was changed by someone else meanwhile', exit: 6 },
  wrong_state: { status: 409, title: 'The present state does not allow this', exit: 6 },
  too_large: { status: 413, title: 'The request is too large', exit: 6 },
  unsupported_media_type: { status: 415, title: 'This media type is not supported', exit: 6 },
  refused: { status: 422, title: 'The rules of the role or authority refuse this', exit: 6 },
  rate_limited: { status: 429, title: 'Too many requests', exit: 7 },
  internal: { status: 500, title: 'Internal error', exit: 1 },
  sealed_value_unreadable: { status: 500, title: 'A sealed value cannot be opened', exit: 1 },
  unavailable: { status: 503, title: 'The service is not available', exit: 7 },
  storage_full: { status: 507, title: 'There is no space left to store this', exit: 7 },
} as const satisfies Record<string, CodeEntry>;

export type ErrorCode = keyof typeof errorCodes;

/** One thing that is wrong with one part of a request, or one rule that refuses it. */
export interface ErrorDetail {
  /** Where: a JSON pointer into the request (RFC 6901), or the name of the rule that refused. */
  readonly at: string;
  /** What was found there, in one sentence. */
  readonly message: string;
}

interface AppErrorOptions {
  /** The next step that would help, in one sentence. */
  readonly hint?: string;
  /** Every single finding, where there are several. */
  readonly details?: readonly ErrorDetail[];
  /** Extra members of the problem document (RFC 9457 §3.2); must hold no secret. */
  readonly members?: Readonly<Record<string, unknown>>;
  /** When it is worth trying again, in seconds. */
  readonly retryAfter?: number;
  /** What caused it; for the log only. */
  readonly cause?: unknown;
}

/** An error whose message may be shown to the caller. The message is one sentence and holds no secret. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: readonly ErrorDetail[];
  readonly members: Readonly<Record<string, unknown>>;
  readonly retryAfter: number | undefined;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.hint = options.hint;
    this.details = options.details ?? [];
    this.members = options.members ?? {};
    this.retryAfter = options.retryAfter;
  }

  get status(): number {
    return errorCodes[this.code].status;
  }
}

/** Turns whatever was thrown into an AppError; the text of unknown errors is kept as `cause` only. */
export function toAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  return new AppError('internal', 'An internal error occurred; the log has the details under this request id.', {
    cause: thrown,
  });
}
