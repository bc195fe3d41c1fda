import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** A way to a server that can go silent: what is sent is swallowed, and no connection ends. */
export interface BlackHole {
  readonly port: number;
  /** From now on nothing passes in this direction: `answers` lets requests arrive and loses what comes back. */
  swallow(what: 'answers' | 'everything'): void;
  /** The connections there are go silent; new ones work. */
  forget(): void;
  close(): Promise<void>;
}

export async function blackHole(target: number): Promise<BlackHole> {
  let lost: 'nothing' | 'answers' | 'everything' = 'nothing';
  const sockets = new Set<Socket>();
  const forgotten = new WeakSet<Socket>();
  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        if (lost === 'nothing') for (const each of [client, upstream]) each.destroy();
      });
    }
    client.on('data', (chunk) => lost !== 'everything' && !forgotten.has(client) && upstream.write(chunk));
    upstream.on('data', (chunk) => lost === 'nothing' && !forgotten.has(upstream) && client.write(chunk));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return {
    port: address.port,
    swallow(what) {
      lost = what;
    },
    forget() {
      for (const socket of sockets) forgotten.add(socket);
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
