import type { ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';

export interface DrainTimes {
  /** Milliseconds of service with `connection: close` before the port is closed. */
  readonly lameDuck: number;
  /** Milliseconds after which connections are cut, answered or not. */
  readonly shutdownTimeout: number;
}

/** Turns of the event loop without anything new after which nobody is just about to be accepted. */
const quietTurns = 3;
/** Under full load no turn is quiet; then the port is closed after this many. */
const maxTurns = 200;

/**
 * Closing the port resets the connections that the kernel has accepted and we have not. So it is closed in a moment in
 * which nothing comes in. Call this before the app is ready.
 */
export function closeInQuietMoment(app: FastifyInstance): void {
  app.addHook('preClose', async () => {
    let arrivals = 0;
    const arrived = (): void => void (arrivals += 1);
    app.server.on('connection', arrived).on('request', arrived);
    let quiet = 0;
    for (let turn = 0; turn < maxTurns && quiet < quietTurns; turn++) {
      const before = arrivals;
      await new Promise(setImmediate);
      quiet = arrivals === before ? quiet + 1 : 0;
    }
  });
}

/**
 * Closes a server so that no request is lost. First it goes on serving and tells every client that this was the last
 * answer on its connection: closing an idle connection at once would meet requests already on their way. Then the port
 * is closed, answers under way are finished, and what is left at the deadline is cut.
 */
export async function drain(app: FastifyInstance, times: DrainTimes): Promise<void> {
  const { server } = app;
  server.prependListener('request', (_request, response: ServerResponse) => {
    response.setHeader('connection', 'close');
  });
  if ((await connectionsOf(app)) > 0) await pause(times.lameDuck);
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  const deadline = setTimeout(() => server.closeAllConnections(), times.shutdownTimeout);
  try {
    await app.close();
  } finally {
    clearInterval(sweep);
    clearTimeout(deadline);
  }
}

/** How many clients are connected. */
export function connectionsOf(app: FastifyInstance): Promise<number> {
  return new Promise((resolve, reject) => {
    app.server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}
