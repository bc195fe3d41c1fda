import type { ServerContext } from '@modelcontextprotocol/server';

/** Milliseconds between two signs of life. Clients give up on calls that say nothing for a minute or so. */
const interval = 2000;

/**
 * Tells the client that the call goes on, if it sent a token for that: seconds, and no share of the work. What an operation
 * does is decided and committed at once, so there is no half of it to tell of. Returns what ends it.
 */
export function startHeartbeat({ mcpReq }: ServerContext, tool: string): () => void {
  const progressToken = mcpReq._meta?.progressToken;
  if (progressToken === undefined) return () => undefined;
  const started = performance.now();
  let last = 0;
  const timer = setInterval(() => {
    const progress = Math.round((performance.now() - started) / 1000);
    // The protocol wants it to grow (basic/utilities/progress).
    if (progress <= last) return;
    last = progress;
    const message = `${tool} is under way for ${progress} s`;
    mcpReq
      .notify({ method: 'notifications/progress', params: { progressToken, progress, message } })
      .catch(() => undefined);
  }, interval);
  return () => clearInterval(timer);
}
