import type { ServerResponse } from 'node:http';
import { AppError } from '#core/errors.ts';

/**
 * How many answers may be open at once. A rate bounds how often somebody asks, not how long what was asked stays: a call
 * may take minutes, and `subscriptions/listen` is the one answer that never ends.
 */
export interface StreamLimits {
  readonly perPrincipal: number;
  readonly overall: number;
}

export const openStreamLimits = {
  listeners: { perPrincipal: 8, overall: 128 },
  /** Listeners among them. */
  answers: { perPrincipal: 64, overall: 512 },
} as const satisfies Readonly<Record<string, StreamLimits>>;

/** Seconds after which a client is told to try again; what is open ends when it ends. */
const retryAfter = 10;

export interface OpenStreams {
  /** Counts an answer until its response is closed. Throws `rate_limited`, or `unavailable` while the server stops. */
  open(response: ServerResponse, principal: Opener, listens: boolean): void;
  /**
   * Lists do not change here, so nothing is ever said to listeners: when the server stops they are cut at once, while
   * every call under way is answered.
   */
  close(): void;
}

export interface Opener {
  readonly id: string;
  readonly name: string;
}

export function createOpenStreams(limits: Readonly<Record<'listeners' | 'answers', StreamLimits>>): OpenStreams {
  const listeners = countOpen(limits.listeners, 'open subscriptions');
  const answers = countOpen(limits.answers, 'open requests');
  const listening = new Set<ServerResponse>();
  let closed = false;
  return {
    open(response, principal, listens) {
      if (closed && listens) throw new AppError('unavailable', 'The server is stopping.', { retryAfter: 5 });
      const counts = listens ? [answers, listeners] : [answers];
      for (const count of counts) count.assertRoom(principal);
      for (const count of counts) count.add(principal.id);
      if (listens) listening.add(response);
      response.once('close', () => {
        for (const count of counts) count.remove(principal.id);
        listening.delete(response);
      });
    },
    close() {
      closed = true;
      for (const response of listening) response.destroy();
    },
  };
}

function countOpen({ perPrincipal, overall }: StreamLimits, what: string) {
  const byPrincipal = new Map<string, number>();
  let all = 0;
  return {
    assertRoom({ id, name }: Opener): void {
      if ((byPrincipal.get(id) ?? 0) >= perPrincipal)
        throw full(`${name} has ${perPrincipal} ${what}, which is the most.`, 'Close some of them first.');
      if (all >= overall)
        throw full(`This server has ${overall} ${what}, which is the most.`, `Try again in ${retryAfter} s.`);
    },
    add(id: string): void {
      byPrincipal.set(id, (byPrincipal.get(id) ?? 0) + 1);
      all += 1;
    },
    remove(id: string): void {
      const left = (byPrincipal.get(id) ?? 1) - 1;
      if (left === 0) byPrincipal.delete(id);
      else byPrincipal.set(id, left);
      all -= 1;
    },
  };
}

function full(message: string, hint: string): AppError {
  return new AppError('rate_limited', message, { hint, retryAfter });
}
