import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

/** A message to a server that changes something there. */
export interface Step {
  /** What it does: `DROP ROLE`. */
  readonly name: string;
  /** To whom: a user name, as far as the messages of its connection say. */
  readonly subject: string | undefined;
}

/**
 * Where a message is stopped. `lost`: it never reaches the server. `done`: it does and is carried out, and the answer
 * never comes back. Nothing else passes on its connection from then on.
 */
export type Moment = 'lost' | 'done';

export interface Wire {
  readonly port: number;
  /** Decides about each step from now on; undefined lets it pass. */
  judge(verdict: (step: Step) => Moment | undefined): void;
  /** Messages that were stopped since `judge`, and, of those that were let through, answered. */
  stopped(): number;
}

export interface Language {
  /** What a message does, if it changes anything. */
  readonly name: (message: string) => string | undefined;
  readonly subject: (message: string) => string | undefined;
}

/** A wire to a server on this machine. Ends with the test. */
export async function openWire(context: TestContext, port: number, language: Language): Promise<Wire> {
  const sockets = new Set<Socket>();
  let verdict: (step: Step) => Moment | undefined = () => undefined;
  let stopped = 0;
  const join = (client: Socket): void => {
    const server = connect(port, '127.0.0.1');
    pair(client, server, sockets);
    let subject: string | undefined;
    let moment: Moment | undefined;
    client.on('data', (chunk: Buffer) => {
      if (moment !== undefined) return;
      const message = chunk.toString('latin1');
      subject = language.subject(message) ?? subject;
      const name = language.name(message);
      moment = name === undefined ? undefined : verdict({ name, subject });
      if (moment === 'lost') stopped++;
      else server.write(chunk);
    });
    let answered = false;
    server.on('data', (chunk) => {
      if (moment === undefined) return void client.write(chunk);
      if (moment === 'done' && !answered) stopped++;
      answered = true;
    });
  };
  const listener = createServer(join).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  context.after(() => {
    for (const socket of sockets) socket.destroy();
    listener.close();
  });
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return {
    port: address.port,
    judge(next) {
      stopped = 0;
      verdict = next;
    },
    stopped: () => stopped,
  };
}

/** Where one ends the other does. */
function pair(client: Socket, server: Socket, sockets: Set<Socket>): void {
  for (const [socket, other] of [
    [client, server],
    [server, client],
  ] as const) {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      sockets.delete(socket);
      other.destroy();
    });
  }
}
