import type { FastifyInstance, FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify';
import type { Logger } from 'pino';
import type { Dispatch, Reply } from '#core/dispatch.ts';
import { AppError } from '#core/errors.ts';
import type { BoundOperation } from '#core/operation.ts';
import type { Gates } from './gates.ts';
import { compileInput, type InputReader, type Query } from './input.ts';
import { finish, type Metrics } from './metrics.ts';
import type { OriginCheck } from './origin.ts';
import { sendError, sendOutput } from './reply.ts';
import { credentialsOf, sourceAddressOf, tokenHeader } from './request.ts';

export interface OperationRouteDeps {
  readonly dispatch: Dispatch;
  readonly gates: Gates;
  readonly checkOrigin: OriginCheck;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly accessLog: boolean;
}

/** Gives every operation its route under `/v1`. */
export function registerOperations(
  app: FastifyInstance,
  operations: readonly BoundOperation[],
  deps: OperationRouteDeps,
): void {
  const onRequest = admission(deps);
  for (const operation of operations) {
    const { method, path, bodyLimit } = operation.http;
    app.route({
      method: method === 'GET' ? ['GET', 'HEAD'] : method,
      url: `/v1${path.replaceAll(/\{(\w+)\}/g, ':$1')}`,
      ...(bodyLimit === undefined ? {} : { bodyLimit }),
      onRequest,
      handler: operationHandler(operation, deps),
    });
  }
}

/** What stands before the body is read: whoever is not admitted cannot make us read and parse a megabyte. */
export function admission({ checkOrigin, gates }: OperationRouteDeps): onRequestHookHandler {
  return (request, _reply, done) => {
    const { host, origin, authorization } = request.headers;
    checkOrigin(host, origin);
    gates.authentication.admit(sourceAddressOf(request), credentialsOf(authorization));
    done();
  };
}

type Handler = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

function operationHandler(operation: BoundOperation, deps: OperationRouteDeps): Handler {
  const reader = compileInput(operation);
  const meter = deps.metrics.meter(operation.id);
  const success: number = operation.http.status ?? 200;
  return async (request, reply) => {
    const started = performance.now();
    meter.inFlight += 1;
    let status = success;
    try {
      const input = () => readInput(operation, reader, request);
      const { output, replayed } = await callOperation(operation, deps, request, input, awaited(operation, reply));
      if (replayed) reply.header('idempotency-replayed', 'true');
      sendOutput(reply, success, output);
    } catch (thrown) {
      status = sendError(reply, thrown, deps.log, operation.id);
    }
    finish(meter, started, status);
    if (deps.accessLog) logAccess(deps.log, operation, request, status, started);
  };
}

/** Takes an admitted request to dispatch. `/metrics` goes this way as well: there is one place that calls operations. */
export async function callOperation(
  operation: BoundOperation,
  deps: OperationRouteDeps,
  request: FastifyRequest,
  input: () => unknown,
  signal?: AbortSignal,
): Promise<Reply> {
  const { headers } = request;
  const sourceAddress = sourceAddressOf(request);
  const credentials = credentialsOf(headers.authorization);
  const gate = deps.gates.authentication;
  try {
    const reply = await deps.dispatch({
      operation,
      input: input(),
      credentials,
      transport: 'rest',
      sourceAddress: sourceAddress === '' ? null : sourceAddress,
      requestId: request.id,
      idempotencyKey: tokenHeader('Idempotency-Key', headers['idempotency-key']),
      approvalId: tokenHeader('Chancery-Approval', headers['chancery-approval']),
      signal,
    });
    gate.succeeded(credentials);
    return reply;
  } catch (thrown) {
    if (thrown instanceof AppError && thrown.code === 'unauthenticated') gate.failed(sourceAddress, credentials);
    throw thrown;
  }
}

/**
 * Aborted when the client goes away before it is answered. Made for what reaches other systems alone: everything else is done
 * sooner than anybody could give it up.
 */
function awaited({ openWorld }: BoundOperation, { raw }: FastifyReply): AbortSignal | undefined {
  if (openWorld !== true) return undefined;
  const gone = new AbortController();
  if (raw.destroyed) gone.abort();
  raw.once('close', () => {
    if (!raw.writableEnded) gone.abort();
  });
  return gone.signal;
}

function readInput(operation: BoundOperation, reader: InputReader, request: FastifyRequest): unknown {
  const { method } = operation.http;
  const params = request.params as Readonly<Record<string, string>>;
  const query = request.query as Query;
  if (method === 'GET' || method === 'DELETE') {
    if (request.body !== undefined && request.body !== null)
      throw new AppError('invalid_request', `${method} takes its fields in the query, not in a body.`, {
        hint: 'Send no body and no Content-Type.',
      });
    return reader.fromQuery(params, query);
  }
  if (Object.keys(query).length > 0)
    throw new AppError('invalid_request', `${method} takes its fields in the JSON body, not in the query.`, {
      hint: 'Send them in the body; the query of this operation must be empty.',
    });
  return reader.fromBody(params, request.body);
}

/** One line per request when CHANCERY_ACCESS_LOG is on: names and numbers, no path and no query, which may hold anything. */
function logAccess(
  log: Logger,
  operation: BoundOperation,
  request: FastifyRequest,
  status: number,
  started: number,
): void {
  log.info(
    {
      request_id: request.id,
      operation: operation.id,
      status,
      address: sourceAddressOf(request),
      ms: Math.round((performance.now() - started) * 100) / 100,
    },
    'request answered',
  );
}
