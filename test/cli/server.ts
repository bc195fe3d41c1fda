import { pino } from 'pino';
import type { Dispatch } from '#core/dispatch.ts';
import { AppError, toAppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { parseInput, shapeOutput } from '#core/parse.ts';
import { createHttpServer } from '#http/server.ts';
import { defaultHttpSettings } from '#http/settings.ts';
import type { TlsProvider } from '#http/tls.ts';
import { operations } from './operations.ts';

/** The token that the test server takes. */
export const token = 'chy_test';

export interface TestServer {
  readonly url: string;
  readonly close: () => Promise<void>;
}

/** The real HTTP face over the operations of the test, with one token and no policy. */
export async function startServer(tls?: TlsProvider): Promise<TestServer> {
  const kept = new Map<string, unknown>();
  const dispatch: Dispatch = async (call) => {
    if (call.credentials.kind !== 'bearer' || call.credentials.token !== token)
      throw new AppError('unauthenticated', 'The token is not valid.', {
        hint: 'Set CHANCERY_TOKEN to a token of this server.',
      });
    const input = parseInput(call.operation, call.input);
    const before = call.idempotencyKey === undefined ? undefined : kept.get(call.idempotencyKey);
    if (before !== undefined) return { output: before, replayed: true };
    try {
      // The operations of the test do not look at their grant.
      const { output } = await call.operation.run({} as Grant, input);
      const shaped = shapeOutput(call.operation, output);
      if (call.idempotencyKey !== undefined)
        kept.set(call.idempotencyKey, { ...(shaped as object), private_key: undefined });
      return { output: shaped, replayed: false };
    } catch (thrown) {
      throw toAppError(thrown);
    }
  };
  const server = createHttpServer({
    config: { ...defaultHttpSettings, listen: { host: '127.0.0.1', port: 0 }, drainIdle: 0, shutdownTimeout: 100 },
    operations,
    dispatch,
    publicRoutes: [],
    probes: {},
    log: pino({ level: 'silent' }),
    version: '0.1.0',
    ...(tls === undefined ? {} : { tls }),
  });
  return { url: await server.listen(), close: server.close };
}
