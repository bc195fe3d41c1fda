import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ListenOptions } from 'node:net';

/**
 * Below the ports that systems give to outgoing connections (32768 and up on Linux, 49152 elsewhere), above those of
 * well-known servers: one of the former may be taken between the look and its use, by any client on the machine.
 */
const range = { from: 15_000, below: 32_000 } as const;

/** A TCP port of the loopback interface on which nobody listens now, and that no other test is given while this one runs. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(range.from, range.below);
    if ((await reserve(port)) && (await isFree(port))) return port;
  }
}

/** A name in Linux's abstract namespace of sockets (unix(7)), which goes with this process, however it ends. */
async function reserve(port: number): Promise<boolean> {
  if (process.platform !== 'linux') return true;
  return (await tryToListen({ path: `\0chancery-test-port-${port}` })) !== undefined;
}

async function isFree(port: number): Promise<boolean> {
  const server = await tryToListen({ port, host: '127.0.0.1' });
  if (server !== undefined) await once(server.close(), 'close');
  return server !== undefined;
}

async function tryToListen(where: ListenOptions) {
  const server = createServer();
  try {
    await once(server.listen(where), 'listening');
    return server.unref();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return undefined;
    throw error;
  }
}
