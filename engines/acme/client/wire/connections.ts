import { createHash } from 'node:crypto';
import type { Clock } from '#core/clock.ts';
import { createGuardedFetch } from '#outbound/guarded-fetch.ts';
import { type Connection, createConnection } from './connection.ts';

/** One connection for each authority and the roots that it is trusted by, so that nonces and directories are shared. */
export interface Connections {
  to(directoryUrl: string, caCertificate: string | undefined): Connection;
}

/** Milliseconds for one exchange: authorities take their time to sign. */
const exchangeTimeout = 20_000;
const mostBytes = 1_048_576;
const mostConnections = 256;

export interface ConnectionsParts {
  readonly clock: Clock;
  /** Addresses beside the public ones that may be connected to. */
  readonly allowPrivate: readonly string[];
}

export function createConnections({ clock, allowPrivate }: ConnectionsParts): Connections {
  const known = new Map<string, Connection>();
  return {
    to(directoryUrl, caCertificate) {
      const roots = createHash('sha256')
        .update(caCertificate ?? '')
        .digest('hex');
      const key = `${roots} ${directoryUrl}`;
      const existing = known.get(key);
      if (existing !== undefined) return existing;
      if (known.size >= mostConnections) known.clear();
      const connection = createConnection({
        directoryUrl,
        fetch: createGuardedFetch({ allowPrivate, timeoutMs: exchangeTimeout, maxBytes: mostBytes, ca: caCertificate }),
        monotonic: () => performance.now(),
        now: () => clock.now(),
      });
      known.set(key, connection);
      return connection;
    },
  };
}
