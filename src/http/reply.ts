import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';
import type { Logger } from 'pino';
import { describeError, knownError, toProblem } from './problem.ts';
import { credentialsOf } from './request.ts';

/** Writes the answer of an operation. `output` has its final shape; it is serialised once and not looked at again. */
export function sendOutput(reply: FastifyReply, status: number, output: unknown): void {
  reply
    .code(status)
    .header('x-request-id', reply.request.id)
    .header('cache-control', 'no-store')
    .header('x-content-type-options', 'nosniff');
  if (status === 204) reply.send();
  else reply.header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(output));
}

/** Answers with the problem document of whatever was thrown, and logs what is our fault. Returns the status. */
export function sendError(reply: FastifyReply, thrown: unknown, log: Logger, operation?: string): number {
  const { request } = reply;
  const error = knownError(thrown, request.routeOptions?.bodyLimit);
  const tokenShown = error.code === 'unauthenticated' && credentialsOf(request.headers.authorization).kind === 'bearer';
  const problem = toProblem(error, request.id, { tokenShown });
  if (problem.status >= 500)
    log.error({ request_id: request.id, operation, error: describeError(error.cause ?? error) }, 'request failed');
  reply.code(problem.status).headers(problem.headers).send(problem.body);
  return problem.status;
}

export interface ReadingLimits {
  /** Bytes that surely fit into the socket's own buffers; more than that, a client that does not read keeps in our memory. */
  readonly alwaysBuffered: number;
  /** Milliseconds that everybody gets. */
  readonly grace: number;
  /** Bytes per second that any honest reader manages. */
  readonly slowest: number;
}

const readingLimits: ReadingLimits = { alwaysBuffered: 65_536, grace: 10_000, slowest: 16_384 };

/** Cuts the connection of a client that reads a large answer too slowly. Call it before the answer is sent. */
export function boundReading(response: ServerResponse, bytes: number, limits: ReadingLimits = readingLimits): void {
  if (bytes <= limits.alwaysBuffered) return;
  const timer = setTimeout(() => response.destroy(), limits.grace + (bytes / limits.slowest) * 1000);
  timer.unref();
  response.once('close', () => clearTimeout(timer));
}
