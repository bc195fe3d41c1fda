/** What the HTTP face needs to know of the configuration. Times are milliseconds, sizes bytes. */
export interface HttpSettings {
  readonly listen: ListenAddress;
  /** Where `/metrics` and the health routes are also served, without a token; null: nowhere else. */
  readonly adminListen: ListenAddress | null;
  /** Where the routes below `publicPaths` (server.ts) are also served, by plain HTTP; null: nowhere else. */
  readonly publicListen: ListenAddress | null;
  /** Origin under which clients reach the server, without a slash at the end; null: the listening address. */
  readonly publicUrl: string | null;
  readonly bodyLimit: number;
  /** Longest time from the first byte of a request to its last. */
  readonly requestTimeout: number;
  /** Longest time that an unfinished or unanswered exchange may be silent. */
  readonly silenceTimeout: number;
  readonly keepAliveTimeout: number;
  readonly maxConnections: number;
  /** How long `close()` goes on serving as before, with `/readyz` at 503, before the port is closed. */
  readonly shutdownDelay: number;
  /** How long a kept connection may be without a request while the server drains. */
  readonly drainIdle: number;
  /** How long `close()` waits for answers under way before it cuts connections. */
  readonly shutdownTimeout: number;
  /** Addresses and CIDR ranges whose X-Forwarded-For is believed. */
  readonly trustedProxies: readonly string[];
  readonly rates: RateSettings;
  /** One log line per request. Off by default: the audit log already has every operation. */
  readonly accessLog: boolean;
}

export interface ListenAddress {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

export interface RateSettings {
  /** Requests per address on routes that need no token. */
  readonly open: Rate | null;
  /** Failed authentications per address; beyond them, tokens not known to be good are refused unread. */
  readonly failedAuthentication: Rate | null;
  /** Addresses and CIDR ranges that `open` does not count. */
  readonly exempt: readonly string[];
}

/** A token bucket: `burst` at once, then `perSecond`. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

export const defaultHttpSettings: HttpSettings = Object.freeze({
  listen: { host: '127.0.0.1', port: 8420 },
  adminListen: null,
  publicListen: null,
  publicUrl: null,
  bodyLimit: 1_048_576,
  requestTimeout: 30_000,
  silenceTimeout: 120_000,
  // Longer than the idle time of the usual load balancers (60 s), so that they never send into a closing connection.
  keepAliveTimeout: 65_000,
  maxConnections: 16_384,
  shutdownDelay: 0,
  drainIdle: 300,
  shutdownTimeout: 10_000,
  trustedProxies: [],
  rates: {
    open: { perSecond: 500, burst: 2000 },
    failedAuthentication: { perSecond: 20, burst: 1000 },
    exempt: ['127.0.0.0/8', '::1'],
  },
  accessLog: false,
});
