import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

/** A wire to a server that can be held at a moment: what is sent waits, or what comes back does. */
export interface Wire {
  readonly port: number;
  /**
   * Holds the wire at the next chunk from a client that `seen` is true for, before it reaches the server or after.
   * Resolves when it has been seen. From then on nothing passes, in either direction, until `release`.
   */
  hold(seen: (chunk: Buffer) => boolean, moment: 'before' | 'after'): Promise<void>;
  /** Ends all connections, and lets new ones through. */
  release(): void;
}

export async function openWire(context: TestContext, port: number): Promise<Wire> {
  const sockets = new Set<Socket>();
  let trap: { seen: (chunk: Buffer) => boolean; moment: 'before' | 'after'; sprung: () => void } | undefined;
  let held = false;
  const server = createServer((client) => {
    const target = connect(port, '127.0.0.1');
    for (const socket of [client, target]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
    }
    client.on('data', (chunk: Buffer) => {
      if (held) return;
      if (trap?.seen(chunk)) {
        held = true;
        if (trap.moment === 'after') target.write(chunk);
        trap.sprung();
        trap = undefined;
        return;
      }
      target.write(chunk);
    });
    target.on('data', (chunk) => {
      if (!held) client.write(chunk);
    });
    client.on('close', () => target.destroy());
    target.on('close', () => client.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const release = () => {
    held = false;
    for (const socket of sockets) socket.destroy();
  };
  context.after(() => {
    release();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return {
    port: address.port,
    hold: (seen, moment) => new Promise((sprung) => (trap = { seen, moment, sprung })),
    release,
  };
}
