import { errorCodes } from '#core/errors.ts';
import type { Answer } from './client.ts';
import type { Command } from './command.ts';
import { exitCodes } from './failure.ts';
import { flagName } from './flags.ts';
import { spellOperations, spellRequest } from './spelling.ts';

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
  /** The nearest request that would pass, as a command line. */
  readonly nearest?: string | undefined;
  /** Members beyond the known ones that say more than the findings: which rule refused, what it lacked. */
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly exit: number;
  /** The document as it came, for --json. */
  readonly document: Readonly<Record<string, unknown>>;
}

const knownMembers = new Set([
  'type',
  'title',
  'status',
  'detail',
  'instance',
  'code',
  'hint',
  'errors',
  'nearest_request',
  'request_id',
]);

/**
 * Reads an answer that is no success. What is no problem document is explained by its status alone. What the server says
 * in its own terms is said in those of the command line: `/ttl` is `--ttl`, `pki.list_roles` is `chancery pki list-roles`.
 */
export function readProblem(answer: Answer, command: Command, commands: readonly Command[]): Problem {
  const document = parseDocument(answer);
  const code = text(document['code']) ?? '';
  const requestId = text(document['request_id']) ?? text(answer.headers['x-request-id']);
  const retryAfter = Number(answer.headers['retry-after']);
  const flags = new Map(command.input().fields.map((field) => [field.name, `--${flagName(field)}`]));
  const inFlags = (line: string) =>
    line.replace(/^\/([a-z0-9_]+)(?=[:/])/, (pointer, name: string) => flags.get(name) ?? pointer);
  const detail = text(document['detail']) ?? text(document['title']) ?? foreignAnswer(answer);
  const findings = readFindings(document['errors']);
  const hint = text(document['hint']);
  return {
    code,
    detail: inFlags(detail),
    // A denial speaks of operations as policies do.
    hint: hint === undefined || code === 'denied' ? (hint ?? hintFor(answer.status)) : spellOperations(hint, commands),
    details: findings.length === 1 && says(detail, findings) ? [] : findings.map(lineOf).map(inFlags),
    nearest: isObject(document['nearest_request']) ? spellRequest(command, document['nearest_request']) : undefined,
    requestId,
    retryAfter: Number.isInteger(retryAfter) && retryAfter > 0 ? retryAfter : undefined,
    facts: Object.entries(document).flatMap(([name, value]) =>
      knownMembers.has(name) || repeats(value, findings)
        ? []
        : [[name, typeof value === 'string' ? value : JSON.stringify(value)] as const],
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

interface ProblemFinding {
  readonly where: string | undefined;
  readonly message: string;
}

function readFindings(errors: unknown): ProblemFinding[] {
  if (!Array.isArray(errors)) return [];
  return errors
    .slice(0, maxDetails)
    .filter(isObject)
    .map(({ at, message }) => ({ where: text(at), message: text(message) ?? '' }));
}

function lineOf({ where, message }: ProblemFinding): string {
  return where === undefined ? message : `${where}: ${message}`;
}

/** Whether the only finding is the sentence itself, as it often is. */
function says(detail: string, [finding]: readonly ProblemFinding[]): boolean {
  const sentence = detail.replace(/\.$/, '');
  return (
    finding !== undefined && [finding.message, lineOf(finding)].some((said) => said.replace(/\.$/, '') === sentence)
  );
}

/** Findings once more, in a form for programs: `refusals` of the PKI. */
function repeats(value: unknown, findings: readonly ProblemFinding[]): boolean {
  if (!Array.isArray(value) || value.length === 0) return false;
  return value.every((item) => isObject(item) && findings.some(({ message }) => message === item['message']));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
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
