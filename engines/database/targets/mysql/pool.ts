import { TargetError } from '#database/target.ts';
import { type MysqlSettings, openSession, type Session } from './session.ts';

/** Sessions for use by turns: at most `maxConnections` at a time, whoever comes first is served first. */
export interface Pool {
  readonly settings: MysqlSettings;
  /** Lends a session to `work`; waiting and connecting take at most `connectTimeout` together. Throws TargetError. */
  use<Result>(work: (session: Session) => Promise<Result>): Promise<Result>;
  /** A turn for work that opens a session of its own, within what is left of the time (ms). */
  turn<Result>(work: (timeout: number) => Promise<Result>): Promise<Result>;
  /** Ends the sessions when the work under way is done; later callers are refused. */
  close(): Promise<void>;
}

/** How many of its sessions one kind of work may hold, so that others find some as well. */
export function half({ settings }: Pool): number {
  return Math.max(1, Math.floor(settings.maxConnections / 2));
}

/** Shorter than any `wait_timeout` in use, so that the server does not end a session that we are about to use (ms). */
const idleTime = 20_000;

/** A session that was used so lately (ms) is not asked whether it is still there. */
const trustedFor = 2000;

export function createPool(settings: MysqlSettings): Pool {
  const idle: { readonly session: Session; readonly since: number }[] = [];
  const turns = createTurns(settings.maxConnections, settings);
  let closed = false;
  let sweeper: NodeJS.Timeout | undefined;

  const sweep = () => {
    const limit = performance.now() - idleTime;
    while (idle[0] && idle[0].since <= limit) void idle.shift()?.session.end();
    sweeper = idle.length > 0 ? setTimeout(sweep, idleTime / 2).unref() : undefined;
  };
  const take = async (timeout: number): Promise<Session> => {
    const begun = performance.now();
    for (let last = idle.pop(); last; last = idle.pop()) {
      if (!last.session.alive()) continue;
      if (begun - last.since < trustedFor || (await last.session.answers(timeout / 4))) return last.session;
      // The others have been idle for longer; what cut this one off has cut them off as well.
      for (const { session } of idle.splice(0)) void session.end();
    }
    return openSession(settings, { timeout: timeout - (performance.now() - begun) });
  };
  const giveBack = (session: Session) => {
    if (!session.alive()) return;
    if (closed) return void session.end();
    idle.push({ session, since: performance.now() });
    sweeper ??= setTimeout(sweep, idleTime / 2).unref();
  };

  const inTurn: Pool['turn'] = async (work) => {
    if (closed) throw new TargetError('unreachable', 'The pool of this connection is closed.');
    const begun = performance.now();
    const done = await turns.enter();
    try {
      return await work(Math.max(1, settings.connectTimeout - (performance.now() - begun)));
    } finally {
      done();
    }
  };

  return {
    settings,
    turn: (work) =>
      inTurn(async (timeout) => {
        const spare = turns.limit - turns.taken();
        await Promise.all(idle.splice(0, Math.max(0, idle.length - spare)).map(({ session }) => session.end()));
        return work(timeout);
      }),
    use: (work) =>
      inTurn(async (timeout) => {
        const session = await take(timeout);
        try {
          return await work(session);
        } finally {
          giveBack(session);
        }
      }),
    async close() {
      closed = true;
      await turns.drained();
      clearTimeout(sweeper);
      await Promise.all(idle.splice(0).map(({ session }) => session.end()));
    },
  };
}

interface Turns {
  readonly limit: number;
  taken(): number;
  /** Waits for a turn; the function that is returned ends it. */
  enter(): Promise<() => void>;
  drained(): Promise<void>;
}

function createTurns(limit: number, settings: MysqlSettings): Turns {
  const waiting = new Set<() => void>();
  let taken = 0;
  let onEmpty: (() => void)[] = [];
  const leave = () => {
    const [next] = waiting;
    if (next) return next();
    taken--;
    if (taken > 0) return;
    for (const each of onEmpty) each();
    onEmpty = [];
  };
  const wait = () =>
    new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.delete(served);
        reject(busy(limit, settings));
      }, settings.connectTimeout);
      const served = () => {
        clearTimeout(timer);
        waiting.delete(served);
        resolve();
      };
      waiting.add(served);
    });
  return {
    limit,
    taken: () => taken,
    async enter() {
      if (taken < limit) taken++;
      else await wait();
      return leave;
    },
    drained: () => (taken === 0 ? Promise.resolve() : new Promise((resolve) => onEmpty.push(resolve))),
  };
}

function busy(limit: number, { connectTimeout, host, port }: MysqlSettings): TargetError {
  return new TargetError('timeout', `All ${limit} connections to ${host}:${port} were busy for ${connectTimeout} ms.`, {
    hint: 'Raise max_connections of the connection, or ask for fewer credentials at a time.',
  });
}
