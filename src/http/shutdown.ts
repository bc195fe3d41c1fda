import type { ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';

export interface DrainTimes {
  /** Milliseconds of service with `connection: close` before the port is closed. */
  readonly lameDuck: number;
  /** Milliseconds after which connections are cut, answered or not. */
  readonly shutdownTimeout: number;
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
  const lameUntil = performance.now() + times.lameDuck;
  while (performance.now() < lameUntil && (await connectionsOf(app)) > 0) await pause(20);
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
