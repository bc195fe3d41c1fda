import type { Answer } from '#cli/client.ts';
import { send } from '#cli/client.ts';
import { type CliOperation, type Command, toCommands } from '#cli/command.ts';
import type { Connection } from '#cli/connection.ts';
import { CliFailure } from '#cli/failure.ts';
import { toRequest } from '#cli/request.ts';
import {
  BackendError,
  type BackendReply,
  type CallContext,
  type OfferedOperation,
  type ToolBackend,
} from '#mcp/backend.ts';

/** Tools of `chancery mcp`: every call is a request of the REST API, with the token of the environment. */

export interface RestBackendOptions {
  readonly operations: readonly CliOperation[];
  /** What the token could ever be allowed. */
  readonly offered: readonly OfferedOperation[];
  /** Server and token, asked for at every call. */
  readonly connect: () => Promise<Connection>;
  readonly version: string;
  /** Throws BackendError for what the operator does not let this process do. */
  readonly guard: (operation: OfferedOperation, input: unknown) => Promise<void>;
}

type Fields = Readonly<Record<string, unknown>>;

export function createRestBackend(options: RestBackendOptions): ToolBackend {
  const commands = new Map(toCommands(options.operations).map((command) => [command.operation.id, command]));
  return {
    operations: options.offered,
    async call(operation, input, context) {
      const command = commands.get(operation.id);
      if (command === undefined) throw new Error(`${operation.id} is offered and does not exist`);
      await options.guard(operation, input);
      return request(options, command, input as Fields, context);
    },
  };
}

async function request(
  { connect, version }: Pick<RestBackendOptions, 'connect' | 'version'>,
  command: Command,
  input: Fields,
  { idempotencyKey, approvalId, signal }: CallContext,
): Promise<BackendReply> {
  const headers = {
    ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
    ...(approvalId === undefined ? {} : { 'chancery-approval': approvalId }),
  };
  requirePath(command, input);
  const connection = await connect();
  const answer = await sendOrExplain(connection, command, input, { headers, agent: `chancery-mcp/${version}`, signal });
  if (answer.status < 200 || answer.status >= 300) throw refusalOf(answer);
  return { output: readJson(answer) ?? {}, replayed: answer.headers['idempotency-replayed'] === 'true' };
}

/** What stands in the path must be there, or the path would be that of another operation. */
function requirePath({ operation }: Command, input: Fields): void {
  for (const [, field = ''] of operation.http.path.matchAll(/\{([a-z0-9_]+)\}/g)) {
    const value = input[field];
    if (typeof value === 'string' && value !== '' && value !== '.' && value !== '..') continue;
    const message = value === undefined ? 'is missing' : 'expected a name or an id';
    throw new BackendError(`/${field}: ${message}.`, {
      code: 'invalid_request',
      details: [{ at: `/${field}`, message }],
    });
  }
}

async function sendOrExplain(
  connection: Connection,
  command: Command,
  input: Fields,
  options: Parameters<typeof send>[2],
): Promise<Answer> {
  try {
    return await send(connection, toRequest(command, input), options);
  } catch (thrown) {
    if (!(thrown instanceof CliFailure)) throw thrown;
    throw new BackendError(`${thrown.message}.`, { code: 'unavailable', hint: thrown.hint });
  }
}

const ownMembers = new Set(['type', 'title', 'status', 'instance', 'detail', 'code', 'hint', 'errors', 'request_id']);

/** A problem document (RFC 9457) as the error that it was; anything else is no answer of Chancery. */
export function refusalOf(answer: Answer): BackendError {
  const document = (readJson(answer) ?? {}) as Fields;
  const retryAfter = Number(answer.headers['retry-after']);
  const { code, detail, hint, errors, request_id: requestId } = document;
  if (typeof code !== 'string' || typeof detail !== 'string')
    return new BackendError(`The answer is ${answer.status} and not one of Chancery.`, {
      code: 'unavailable',
      hint: 'Check CHANCERY_URL: something else may listen there.',
    });
  return new BackendError(detail, {
    code,
    hint: typeof hint === 'string' ? hint : undefined,
    details: findingsOf(errors),
    members: Object.fromEntries(Object.entries(document).filter(([member]) => !ownMembers.has(member))),
    retryAfter: Number.isFinite(retryAfter) && retryAfter > 0 ? retryAfter : undefined,
    requestId: typeof requestId === 'string' ? requestId : undefined,
  });
}

function findingsOf(errors: unknown): { at: string; message: string }[] {
  if (!Array.isArray(errors)) return [];
  return (errors as unknown[]).flatMap((error) => {
    const { at, message } = (error ?? {}) as Fields;
    return typeof at === 'string' && typeof message === 'string' ? [{ at, message }] : [];
  });
}

function readJson({ body, headers }: Answer): unknown {
  if (body.length === 0 || !/^application\/(?:problem\+)?json\b/.test(headers['content-type'] ?? '')) return undefined;
  try {
    return JSON.parse(body.toString());
  } catch {
    // Says it is JSON and is not: the same as no answer.
    return undefined;
  }
}
