import type { TestContext } from 'node:test';
import { type InProcess, startChancery } from '#test/chancery.ts';
import { freePort } from '#test/free-port.ts';
import { type Pebble, type PebbleOptions, startPebble } from '#test/pebble.ts';

/** A Chancery whose http-01 answers a Pebble finds, and an account there. */
export interface ClientWorld {
  readonly pebble: Pebble;
  readonly server: InProcess;
  /** Moves the server's clock forward, in milliseconds. */
  readonly advance: (by: number) => void;
}

export interface WorldOptions extends PebbleOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly account?: object;
}

export const day = 86_400_000;

export async function startWorld(context: TestContext, options: WorldOptions = {}): Promise<ClientWorld> {
  const port = await freePort();
  const { env, account, ...rest } = options;
  const pebble = await startPebble(context, { httpPort: port, ...rest });
  let ahead = 0;
  const server = await startChancery(context, {
    env: serverEnv(port, { CHANCERY_ACME_RESOLVERS: pebble.dns, ...env }),
    clock: { now: () => Date.now() + ahead },
  });
  await server.ok('POST', 'acme/accounts', accountAt(pebble, account));
  return { pebble, server, advance: (by) => void (ahead += by) };
}

export function serverEnv(port: number, env: Readonly<Record<string, string>> = {}): Record<string, string> {
  const address = `127.0.0.1:${port}`;
  return {
    CHANCERY_LISTEN: address,
    CHANCERY_PUBLIC_URL: `http://${address}`,
    CHANCERY_OUTBOUND_ALLOW: '127.0.0.0/8',
    ...env,
  };
}

export function accountAt(pebble: Pebble, more: object = {}): object {
  return {
    name: 'pebble',
    directory: pebble.directory,
    ca_certificate: pebble.roots,
    agree_terms_of_service: true,
    ...more,
  };
}

export const http = (...identifiers: string[]) => ({
  account: 'pebble',
  identifiers,
  challenge: 'http-01',
  wait: 30,
});

/** Asks again until it is as it should be. */
export async function until<Answer>(ask: () => Promise<Answer>, isSo: (answer: Answer) => boolean): Promise<Answer> {
  const deadline = Date.now() + 120_000;
  for (;;) {
    const answer = await ask();
    if (isSo(answer)) return answer;
    if (Date.now() > deadline) throw new Error(`not so in 120 s: ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
