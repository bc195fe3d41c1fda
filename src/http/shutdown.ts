import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';

export interface DrainTimes {
  /** Milliseconds in which everything is served as before, so that load balancers see `/readyz` and turn away. */
  readonly shutdownDelay: number;
  /** Milliseconds without a request after which a kept connection is closed. */
  readonly drainIdle: number;
  /** Milliseconds, once the port is closed, after which connections are cut, answered or not. */
  readonly shutdownTimeout: number;
}

/** Turns of the event loop without anything new after which nobody is just about to be accepted. */
const quietTurns = 3;
/** Milliseconds after which the port is closed although it is never quiet. */
const longestWait = 1000;
/** How often connections are looked at while they drain, in milliseconds. */
const sweepInterval = 25;

export interface Connections {
  /** Every connection that the kernel gave us. */
  readonly all: ReadonlySet<Socket>;
  /** Those on which HTTP is spoken: with TLS, once the handshake is done. */
  readonly speaking: ReadonlySet<Socket>;
}

/** Prepares an app to be drained, by keeping its connections. Call it before the app is ready. */
export function trackConnections(app: FastifyInstance, tls: boolean): Connections {
  const all = collect(app, 'connection');
  const speaking = tls ? collect(app, 'secureConnection') : all;
  app.addHook('preClose', () => quietMoment(app));
  return { all, speaking };
}

function collect(app: FastifyInstance, event: 'connection' | 'secureConnection'): Set<Socket> {
  const sockets = new Set<Socket>();
  app.server.on(event, (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return sockets;
}

/**
 * Closes a server so that no request is lost. The port is closed first. Clients on kept connections get one more answer,
 * with `connection: close`; connections without requests are closed after a while and not at once, since a request may
 * be on its way. What is left at the deadline is cut.
 *
 * Ending connections before the port is closed would be worse: their clients would come back with new ones, faster
 * than they can be accepted (libuv accepts one per turn of the loop), and those would be reset with the port.
 */
export async function drain(app: FastifyInstance, connections: Connections, times: DrainTimes): Promise<void> {
  const { server } = app;
  if (connections.all.size > 0) await pause(times.shutdownDelay);
  // Node's own sweep takes a connection whose first bytes have not been read yet for idle, and resets it.
  server.closeIdleConnections = () => undefined;
  const sweep = setInterval(sweeper(connections.speaking, times.drainIdle), sweepInterval);
  const deadline = setTimeout(() => {
    for (const socket of connections.all) socket.destroy();
  }, times.shutdownTimeout);
  try {
    // From here on Fastify itself puts `connection: close` on every answer.
    await app.close();
  } finally {
    clearInterval(sweep);
    clearTimeout(deadline);
  }
}

/**
 * Closing the port resets the connections that the kernel has accepted and we have not. So it is closed in a moment in
 * which nothing comes in, if there is one.
 */
async function quietMoment(app: FastifyInstance): Promise<void> {
  let arrivals = 0;
  const arrived = (): void => void (arrivals += 1);
  app.server.on('connection', arrived).on('request', arrived);
  const until = performance.now() + longestWait;
  for (let quiet = 0; quiet < quietTurns && performance.now() < until; ) {
    const before = arrivals;
    await new Promise(setImmediate);
    quiet = arrivals === before ? quiet + 1 : 0;
  }
}

/** Ends, on each call, the connections on which nothing has come in for `idle` milliseconds and nothing is owed. */
function sweeper(sockets: ReadonlySet<Socket>, idle: number): () => void {
  const seen = new WeakMap<Socket, { bytes: number; since: number }>();
  const sweep = (): void => {
    const now = performance.now();
    for (const socket of sockets) {
      const last = seen.get(socket);
      if (last?.bytes !== socket.bytesRead || isAnswering(socket))
        seen.set(socket, { bytes: socket.bytesRead, since: now });
      else if (now - last.since >= idle) socket.destroy();
    }
  };
  sweep();
  return sweep;
}

/** Whether a response on this connection is not finished: the mark that Node's own idle sweep looks at. */
function isAnswering(socket: Socket): boolean {
  const { _httpMessage: response } = socket as Socket & { readonly _httpMessage?: ServerResponse | null };
  return response !== undefined && response !== null;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}
