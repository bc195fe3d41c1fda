import { errorCodes } from '#core/errors.ts';
import type { Answer } from './client.ts';
import { exitCodes } from './failure.ts';

/** A refusal as the CLI shows it: of the server (RFC 9457), or one of the CLI's own in the same form. */
export interface Problem {
  readonly code: string;
  readonly detail: string;
  readonly hint?: string | undefined;
  /** One finding per line: where, and what. */
  readonly details: readonly string[];
  readonly requestId?: string | undefined;
  /** Seconds. */
  readonly retryAfter?: number | undefined;
  /** Members beyond the known ones that are plain values: which rule refused, what it lacked. */
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly exit: number;
  /** The document as it came, for --json. */
  readonly document: Readonly<Record<string, unknown>>;
}

const knownMembers = new Set(['type', 'title', 'status', 'detail', 'instance', 'code', 'hint', 'errors', 'request_id']);

/**
 * Reads an answer that is no success. What is no problem document is explained by its status alone. JSON pointers to
 * input fields become the flags that were typed: `/ttl` is `--ttl`.
 */
export function readProblem(answer: Answer, flags: ReadonlyMap<string, string>): Problem {
  const document = parseDocument(answer);
  const code = text(document['code']) ?? '';
  const requestId = text(document['request_id']) ?? text(answer.headers['x-request-id']);
  const retryAfter = Number(answer.headers['retry-after']);
  const inFlags = (line: string) =>
    line.replace(/^\/([a-z0-9_]+)(?=[:/])/, (pointer, name: string) => flags.get(name) ?? pointer);
  const detail = inFlags(text(document['detail']) ?? text(document['title']) ?? foreignAnswer(answer));
  const details = readDetails(document['errors']).map(inFlags);
  return {
    code,
    detail,
    hint: text(document['hint']) ?? hintFor(answer.status),
    // The only finding often is the sentence itself.
    details: details.length === 1 && details[0] === detail ? [] : details,
    requestId,
    retryAfter: Number.isInteger(retryAfter) && retryAfter > 0 ? retryAfter : undefined,
    facts: Object.entries(document).flatMap(([name, value]) =>
      knownMembers.has(name) ? [] : [[name, typeof value === 'string' ? value : JSON.stringify(value)] as const],
    ),
    exit: exitFor(code, answer.status),
    document: Object.keys(document).length > 0 ? document : { status: answer.status, detail: foreignAnswer(answer) },
  };
}

function parseDocument(answer: Answer): Readonly<Record<string, unknown>> {
  if (!/^application\/(?:problem\+)?json\b/.test(answer.headers['content-type'] ?? '')) return {};
  try {
    const document: unknown = JSON.parse(answer.body.toString());
    return typeof document === 'object' && document !== null ? (document as Record<string, unknown>) : {};
  } catch {
    // Says it is JSON and is not: then the status is all there is.
    return {};
  }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** At most this many findings are shown; the server tells no more either. */
const maxDetails = 50;

function readDetails(details: unknown): string[] {
  if (!Array.isArray(details)) return [];
  return details.slice(0, maxDetails).flatMap((detail: unknown) => {
    if (typeof detail !== 'object' || detail === null) return [];
    const { at, message } = detail as { at?: unknown; message?: unknown };
    const where = text(at);
    return [where === undefined ? (text(message) ?? '') : `${where}: ${text(message) ?? ''}`];
  });
}

function foreignAnswer(answer: Answer): string {
  const type = (answer.headers['content-type'] ?? 'no content type').replace(/;.*$/s, '');
  const where =
    answer.status >= 300 && answer.status < 400 ? `, a redirect to ${answer.headers.location ?? 'nowhere'}` : '';
  return `the answer is ${answer.status} with ${type}${where}, which is not how Chancery answers`;
}

function hintFor(status: number): string | undefined {
  if (status === 401) return 'set CHANCERY_TOKEN';
  if (status >= 300 && status < 400) return 'redirects are not followed: set CHANCERY_URL to the server itself';
  return undefined;
}

const exitByStatus: Readonly<Record<number, number>> = {
  401: exitCodes.unauthenticated,
  403: exitCodes.denied,
  404: exitCodes.notFound,
  408: exitCodes.unavailable,
  429: exitCodes.unavailable,
  500: exitCodes.failed,
};

function exitFor(code: string, status: number): number {
  if (Object.hasOwn(errorCodes, code)) return errorCodes[code as keyof typeof errorCodes].exit;
  const known = exitByStatus[status];
  if (known !== undefined) return known;
  return status >= 400 && status < 500 ? exitCodes.invalid : exitCodes.unavailable;
}
