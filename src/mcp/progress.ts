import type { ServerContext } from '@modelcontextprotocol/server';
import type { ProgressReport } from './backend.ts';

/** Milliseconds between two signs of life. Clients give up on calls that say nothing for a minute or so. */
const interval = 2000;

export interface Progress {
  /** Absent when the client did not ask. */
  readonly report: ((report: ProgressReport) => void) | undefined;
  stop(): void;
}

const silent: Progress = { report: undefined, stop: () => undefined };

/** Tells the client that the call goes on, if it sent a token for that; until then, the seconds that it took so far. */
export function reportProgress({ mcpReq }: ServerContext): Progress {
  const token = mcpReq._meta?.progressToken;
  if (token === undefined) return silent;
  const started = performance.now();
  let last = 0;
  let told = false;
  const send = (progress: number, total: number | undefined, message: string | undefined): void => {
    // The protocol wants it to grow (basic/utilities/progress).
    if (progress <= last) return;
    last = progress;
    const params = {
      progressToken: token,
      progress,
      ...(total === undefined ? {} : { total }),
      ...(message === undefined ? {} : { message }),
    };
    mcpReq.notify({ method: 'notifications/progress', params }).catch(() => undefined);
  };
  const timer = setInterval(() => {
    const seconds = Math.round((performance.now() - started) / 1000);
    if (!told) send(seconds, undefined, `still at work after ${seconds} s`);
  }, interval);
  return {
    report: ({ done, total, message }) => {
      told = true;
      send(done, total, message);
    },
    stop: () => clearInterval(timer),
  };
}
