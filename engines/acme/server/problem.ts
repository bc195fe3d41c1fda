import { AppError, type ErrorCode } from '#core/errors.ts';
import { JoseError } from '#acme/jose/errors.ts';
import { signatureAlgorithms } from '#acme/jose/jwk.ts';
import type { Identifier } from '#acme/challenge/contract.ts';

/**
 * Error types of the registry (RFC 8555 §9.7.4, RFC 9773 §7.3, draft-ietf-acme-profiles), each with its usual HTTP
 * status and with the code under which the audit keeps it. There are no others (RFC 8555 §6.7).
 */
const types = {
  accountDoesNotExist: [400, 'not_found'],
  alreadyReplaced: [409, 'wrong_state'],
  alreadyRevoked: [400, 'wrong_state'],
  badCSR: [400, 'invalid_request'],
  badNonce: [400, 'invalid_request'],
  badPublicKey: [400, 'invalid_request'],
  badRevocationReason: [400, 'invalid_request'],
  badSignatureAlgorithm: [400, 'invalid_request'],
  caa: [403, 'refused'],
  compound: [400, 'refused'],
  connection: [400, 'refused'],
  dns: [400, 'refused'],
  externalAccountRequired: [403, 'denied'],
  incorrectResponse: [403, 'refused'],
  invalidContact: [400, 'invalid_request'],
  invalidProfile: [400, 'invalid_request'],
  malformed: [400, 'invalid_request'],
  orderNotReady: [403, 'wrong_state'],
  rateLimited: [429, 'rate_limited'],
  rejectedIdentifier: [403, 'refused'],
  serverInternal: [500, 'internal'],
  tls: [400, 'refused'],
  unauthorized: [403, 'denied'],
  unsupportedContact: [400, 'invalid_request'],
  unsupportedIdentifier: [400, 'invalid_request'],
  userActionRequired: [403, 'denied'],
} as const satisfies Record<string, readonly [number, ErrorCode]>;

export type ProblemType = keyof typeof types;

/** One finding among several, each about one identifier (RFC 8555 §6.7.1). */
export interface Subproblem {
  readonly type: ProblemType;
  readonly detail: string;
  readonly identifier: Identifier;
}

interface ProblemOptions {
  /** Where this case has another status than most of its type. */
  readonly status?: number;
  readonly subproblems?: readonly Subproblem[];
  /** Further members of the document: `instance`, `algorithms`. */
  readonly document?: Readonly<Record<string, unknown>>;
  /** Further headers: `Location`, `Link`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Seconds. */
  readonly retryAfter?: number;
}

/** An error in the words of ACME. For dispatch and the audit it is an AppError like every other. */
export class AcmeError extends AppError {
  readonly type: ProblemType;
  readonly httpStatus: number;
  readonly subproblems: readonly Subproblem[];
  readonly document: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;

  constructor(type: ProblemType, detail: string, options: ProblemOptions = {}) {
    const [status, code] = types[type];
    super(code, detail, options.retryAfter === undefined ? {} : { retryAfter: options.retryAfter });
    this.type = type;
    this.httpStatus = options.status ?? status;
    this.subproblems = options.subproblems ?? [];
    this.document = options.document ?? {};
    this.headers = options.headers ?? {};
  }
}

/** Said of what does not fit the protocol. */
export function malformed(detail: string, status = 400): AcmeError {
  return new AcmeError('malformed', detail, { status });
}

/** Said to an account about what is another's: whether it exists is not told (row 26 of the checklist). */
export function notYours(what: string): AcmeError {
  return new AcmeError('unauthorized', `This ${what} does not exist, or belongs to another account.`);
}

/** What each of our own codes means to an ACME client, where nobody said it better. */
const codes: Partial<Record<ErrorCode, readonly [ProblemType, number]>> = {
  invalid_request: ['malformed', 400],
  unauthenticated: ['unauthorized', 403],
  denied: ['unauthorized', 403],
  approval_required: ['unauthorized', 403],
  not_found: ['malformed', 404],
  method_not_allowed: ['malformed', 405],
  request_timeout: ['malformed', 408],
  wrong_state: ['malformed', 409],
  too_large: ['malformed', 413],
  unsupported_media_type: ['malformed', 415],
  refused: ['malformed', 400],
  rate_limited: ['rateLimited', 429],
  conflict: ['serverInternal', 503],
  unavailable: ['serverInternal', 503],
  storage_full: ['serverInternal', 503],
};

const retrySoon = 2;

/** Whatever was thrown, in the words of ACME. What is not an AppError stays unsaid. */
export function toAcmeError(thrown: unknown): AcmeError {
  if (thrown instanceof AcmeError) return thrown;
  if (thrown instanceof JoseError) return ofJose(thrown);
  const known = thrown instanceof AppError ? codes[thrown.code] : undefined;
  if (!(thrown instanceof AppError) || known === undefined)
    return new AcmeError('serverInternal', 'An internal error occurred.');
  const [type, status] = known;
  const retryAfter = thrown.retryAfter ?? (status === 503 ? retrySoon : undefined);
  const hint = thrown.hint === undefined ? '' : ` ${thrown.hint}`;
  return new AcmeError(type, `${thrown.message}${hint}`, {
    status,
    ...(retryAfter === undefined ? {} : { retryAfter }),
  });
}

/** RFC 8555 §6.2: an algorithm that is refused is answered with those that are not. */
function ofJose({ fault, message }: JoseError): AcmeError {
  const document = fault === 'badSignatureAlgorithm' ? { algorithms: [...signatureAlgorithms] } : {};
  return new AcmeError(fault, message, { document });
}

const prefix = 'urn:ietf:params:acme:error:';

/** The problem document (RFC 9457 with RFC 8555 §6.7). */
export function problemDocument(error: AcmeError): Record<string, unknown> {
  return {
    type: `${prefix}${error.type}`,
    detail: error.message,
    status: error.httpStatus,
    ...error.document,
    ...(error.subproblems.length === 0
      ? {}
      : { subproblems: error.subproblems.map((each) => ({ ...each, type: `${prefix}${each.type}` })) }),
  };
}

/** The problem document of a validation or an order that failed, as it is kept and shown in the object. */
export function keptProblem(type: ProblemType, detail: string, subproblems: readonly Subproblem[] = []): string {
  return JSON.stringify(problemDocument(new AcmeError(type, detail.slice(0, 1000), { subproblems })));
}
