import type { ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import type { Socket } from 'node:net';
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { AppError } from '#core/errors.ts';
import { rememberMethods } from './allowed-methods.ts';
import { parseJsonBody } from './json-body.ts';
import { knownError, toProblem } from './problem.ts';
import { sendError } from './reply.ts';
import { requestIdOf } from './request.ts';
import type { HttpSettings } from './settings.ts';

/** Headers of a request together, in bytes. */
const maxHeaderSize = 16_384;
/** Longest time for the headers of a request, in milliseconds; what slow-header attacks (slowloris) live on. */
const headersTimeout = 10_000;
/** How often Node looks for requests that are over their time. Its default of 30 s would make every timeout that late. */
const connectionsCheckingInterval = 2000;

export interface AppOptions {
  readonly settings: HttpSettings;
  /** Serve TLS; the certificate is set before listening. */
  readonly tls: boolean;
  readonly log: Logger;
  /** Asked before a path that does not exist is answered. Throws to refuse. */
  readonly admitUnknown: (request: FastifyRequest) => void;
  /** What to say of a path that does not exist; absent: where all paths are listed. */
  readonly unknownHint?: string | undefined;
  /** Told the status of every answer that no route gave. */
  readonly refused: (status: number) => void;
}

/** A Fastify instance with our limits, error documents and body parser, and no route yet. */
export function createApp(options: AppOptions): FastifyInstance {
  const { settings, log } = options;
  const server = {
    maxHeaderSize,
    headersTimeout: Math.min(headersTimeout, settings.requestTimeout),
    connectionsCheckingInterval,
  };
  const app = Fastify({
    ...(options.tls ? { https: server } : { http: server }),
    logger: false,
    genReqId: (request) => requestIdOf(request.headers['x-request-id']),
    bodyLimit: settings.bodyLimit,
    requestTimeout: settings.requestTimeout,
    connectionTimeout: settings.silenceTimeout,
    keepAliveTimeout: settings.keepAliveTimeout,
    trustProxy: settings.trustedProxies.length > 0 ? [...settings.trustedProxies] : false,
    // While closing, requests are still answered: shutdown.ts says how.
    return503OnClosing: false,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: 512 },
    frameworkErrors: (error, _request, reply) => options.refused(sendError(reply, error, log)),
    clientErrorHandler: answerBrokenRequest,
  }) as unknown as FastifyInstance;
  app.server.maxConnections = settings.maxConnections;
  acceptJsonOnly(app);
  app.setErrorHandler((error, _request, reply) => options.refused(sendError(reply, error, log)));
  answerUnknown(app, options);
  return app;
}

function acceptJsonOnly(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    try {
      done(null, parseJsonBody(body as Buffer));
    } catch (thrown) {
      done(knownError(thrown));
    }
  });
}

function answerUnknown(app: FastifyInstance, options: AppOptions): void {
  const allowed = rememberMethods(app);
  app.setNotFoundHandler((request, reply) => {
    try {
      options.admitUnknown(request);
      const methods = allowed(request.url.split('?', 1)[0] ?? '');
      if (methods.length > 0) {
        reply.header('allow', methods.join(', '));
        throw new AppError('method_not_allowed', 'This path does not support the method.', {
          hint: `It supports ${methods.join(', ')}.`,
        });
      }
      throw new AppError('not_found', 'There is nothing at this path.', {
        hint: options.unknownHint ?? 'All paths are listed at /docs and /openapi.json.',
      });
    } catch (thrown) {
      options.refused(sendError(reply, thrown, options.log));
    }
  });
}

/** What Node's parser refuses never becomes a request; it is answered on the bare socket, and the connection ends. */
function answerBrokenRequest(error: Error & { readonly code?: string }, socket: Socket): void {
  // The response of a request whose body is still coming, if there is one (Node's own handler looks at it as well).
  const response = (socket as Socket & { readonly _httpMessage?: ServerResponse | null })._httpMessage;
  if (error.code === 'ECONNRESET' || !socket.writable || response?.headersSent === true) {
    socket.destroy();
    return;
  }
  const thrown = Object.assign(new Error('refused by the parser'), { code: error.code, statusCode: 400 });
  const status = error.code === 'HPE_HEADER_OVERFLOW' ? { status: 431 } : {};
  const problem = toProblem(thrown, requestIdOf(undefined), status);
  const headers = {
    ...problem.headers,
    connection: 'close',
    'content-length': String(Buffer.byteLength(problem.body)),
  };
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${problem.status} Refused\r\n${head.join('')}\r\n${problem.body}`);
}

/** The server below, where TLS is spoken. */
export function tlsServerOf(app: FastifyInstance): Server {
  return app.server as unknown as Server;
}
