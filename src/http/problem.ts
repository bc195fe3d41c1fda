import { AppError, errorCodes, toAppError } from '#core/errors.ts';

/** An error as an RFC 9457 problem document, ready to be written to any kind of connection. */
export interface Problem {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface ProblemOptions {
  /** Where HTTP has a finer status than the code's own: 431 for headers that are too large. */
  readonly status?: number;
  /** Whether the request carried a bearer token: RFC 6750 §3.1 wants no error code where none was shown. */
  readonly tokenShown?: boolean;
}

/**
 * The problem document of an error. What is not an AppError becomes the constant sentence of `internal`; nothing of a
 * stack or of a request value gets in here.
 */
export function toProblem(thrown: unknown, requestId: string, options: ProblemOptions = {}): Problem {
  const error = knownError(thrown);
  const status = options.status ?? error.status;
  const document = {
    ...error.members,
    // RFC 9457 §3.1.1: a relative type carries the full path; it is the same on every installation.
    type: `/docs/errors#${error.code}`,
    title: errorCodes[error.code].title,
    status,
    detail: error.message,
    code: error.code,
    hint: error.hint,
    request_id: requestId,
    errors: error.details.length === 0 ? undefined : error.details,
  };
  return { status, headers: problemHeaders(error, requestId, options), body: JSON.stringify(document) };
}

function problemHeaders(error: AppError, requestId: string, options: ProblemOptions): Record<string, string> {
  const headers: Record<string, string> = {
    'content-type': 'application/problem+json; charset=utf-8',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'x-request-id': requestId,
  };
  if (error.retryAfter !== undefined) headers['retry-after'] = String(Math.max(1, Math.ceil(error.retryAfter)));
  if (error.code === 'unauthenticated')
    headers['www-authenticate'] =
      `Bearer realm="chancery"${options.tokenShown === true ? ', error="invalid_token"' : ''}`;
  return headers;
}

/** What Fastify and Node call their own refusals, as codes of ours. Their texts may quote the request: they stay here. */
const frameworkErrors: Readonly<Record<string, (bodyLimit: number | undefined) => AppError>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: bodyTooLarge,
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () =>
    new AppError('unsupported_media_type', 'The body has a media type that is not accepted here.', {
      hint: 'Send JSON with the header Content-Type: application/json.',
    }),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () =>
    new AppError('invalid_request', 'The body is not as long as Content-Length says.', {
      hint: 'Leave Content-Length to the HTTP library.',
    }),
  FST_ERR_BAD_URL: () =>
    new AppError('invalid_request', 'The path is not a valid percent-encoded URL path.', {
      hint: 'Percent-encode every character of a name that is not a letter, a digit or one of - . _ ~ (RFC 3986).',
    }),
  FST_ERR_MAX_PARAM_LENGTH: () =>
    new AppError('invalid_request', 'A segment of the path is too long.', {
      hint: 'Names and ids have at most 63 characters.',
    }),
  HPE_HEADER_OVERFLOW: () =>
    new AppError('too_large', 'The headers of the request are larger than 16 KiB together.', {
      hint: 'Send fewer or shorter headers.',
    }),
  ERR_HTTP_REQUEST_TIMEOUT: () =>
    new AppError('request_timeout', 'The request did not arrive in time.', {
      hint: 'Send it again, at once and as a whole.',
    }),
};

function bodyTooLarge(limit: number | undefined): AppError {
  const options = limit === undefined ? {} : { hint: `At most ${limit} bytes are accepted.` };
  return new AppError('too_large', 'The body is larger than is accepted here.', options);
}

/** The AppError for whatever was thrown, by us, by Fastify or by Node's parser. `bodyLimit` is that of the route. */
export function knownError(thrown: unknown, bodyLimit?: number): AppError {
  if (thrown instanceof AppError) return thrown;
  const { code, statusCode } = thrown as { code?: unknown; statusCode?: unknown };
  const known = typeof code === 'string' ? frameworkErrors[code] : undefined;
  if (known) return known(bodyLimit);
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500)
    return new AppError('invalid_request', 'The request is not valid HTTP for this server.', {
      hint: 'Send it with an HTTP library; how each operation is called stands at /docs.',
    });
  return toAppError(thrown);
}

/** An error for the log: names, codes, texts and stacks, and no other property, which may hold anything. */
export function describeError(thrown: unknown, depth = 0): Record<string, unknown> {
  if (!(thrown instanceof Error)) return { type: typeof thrown };
  const { code } = thrown as { code?: unknown };
  return {
    type: thrown.name,
    ...(typeof code === 'string' ? { code } : {}),
    message: thrown.message,
    stack: thrown.stack,
    ...(thrown.cause !== undefined && depth < 3 ? { cause: describeError(thrown.cause, depth + 1) } : {}),
  };
}
