import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { describeApi, type OpenApiSource } from './openapi.ts';
import { boundReading } from './reply.ts';

/** A file that everybody may read: made once, kept in both encodings, revalidated by its tag. */
interface Page {
  readonly type: string;
  readonly body: Buffer;
  readonly gzip: Buffer;
  readonly tag: string;
}

/** The page loads nothing but its own files, and nobody may frame it: it has a box for a token. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const html = 'text/html; charset=utf-8';
const script = 'text/javascript; charset=utf-8';
const style = 'text/css; charset=utf-8';

const files: readonly (readonly [path: string, file: string, type: string])[] = [
  ['/docs', 'index.html', html],
  ['/docs/errors', 'index.html', html],
  ['/docs/docs.css', 'docs.css', style],
  ['/docs/operation.css', 'operation.css', style],
  ...['docs.js', 'dom.js', 'schema.js', 'commands.js', 'try-it.js'].map(
    (file) => [`/docs/${file}`, file, script] as const,
  ),
];

/** `/openapi.json` and the browsable reference at `/docs`. They are made when first asked for: start-up stays short. */
export function registerPages(
  app: FastifyInstance,
  source: OpenApiSource,
  admit: (request: FastifyRequest) => void,
): void {
  serve(app, '/openapi.json', admit, () =>
    makePage('application/json; charset=utf-8', Buffer.from(JSON.stringify(describeApi(source)))),
  );
  for (const [path, file, type] of files)
    serve(app, path, admit, () => makePage(type, readFileSync(new URL(`./docs/${file}`, import.meta.url))));
}

function makePage(type: string, body: Buffer): Page {
  return {
    type,
    body,
    gzip: gzipSync(body),
    tag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`,
  };
}

function serve(app: FastifyInstance, path: string, admit: (request: FastifyRequest) => void, make: () => Page): void {
  let page: Page | undefined;
  app.route({
    method: ['GET', 'HEAD'],
    url: path,
    handler: async (request, reply) => {
      admit(request);
      page ??= make();
      return sendPage(request, reply, page);
    },
  });
}

function sendPage(request: FastifyRequest, reply: FastifyReply, page: Page): FastifyReply {
  reply.headers({
    'cache-control': 'no-cache',
    etag: page.tag,
    vary: 'accept-encoding',
    'content-security-policy': policy,
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-request-id': request.id,
  });
  if (request.headers['if-none-match'] === page.tag) return reply.code(304).send();
  reply.header('content-type', page.type);
  const zipped = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
  const body = zipped ? page.gzip : page.body;
  if (zipped) reply.header('content-encoding', 'gzip');
  boundReading(reply.raw, body.length);
  return reply.send(body);
}
