import type { Clock } from '#core/clock.ts';
import type { Job } from '#core/engine.ts';
import type { Store } from '#storage/store.ts';
import { authoritiesWithDueCrls } from './crl-shard-list.ts';
import type { SystemCall } from './system-call.ts';

/** Publishes CRLs without being asked: each minute whatever is due, and soon after a revocation. */
export interface CrlJob extends Job {
  close(): Promise<void>;
}

interface CrlJobParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly call: SystemCall;
}

/** Milliseconds between a revocation and its publication: several revocations make one CRL, and none waits a second. */
const debounce = 400;
export const crlJobName = 'pki.publish_crls';

export function crlJob({ store, clock, call }: CrlJobParts): CrlJob {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  const closing = new AbortController();
  const publishAll = async (): Promise<void> => {
    for (const { namespace, name } of await authoritiesWithDueCrls(store, clock.now())) {
      for (let cursor: string | null | undefined; cursor !== null && !closing.signal.aborted; ) {
        const input = { name, due_only: true, ...(cursor === undefined ? {} : { cursor }) };
        const output = await call(crlJobName, namespace, 'pki.rebuild_crls', input);
        cursor = (output as { next_cursor: string | null }).next_cursor;
      }
    }
  };
  const run = (): Promise<void> => (running ??= publishAll().finally(() => (running = undefined)));
  const soon = (): void => {
    if (timer !== undefined || closing.signal.aborted) return;
    timer = setTimeout(() => {
      timer = undefined;
      // A failure is logged by dispatch's observer, and the schedule comes back to it within a minute.
      run().catch(() => undefined);
    }, debounce);
    timer.unref();
  };
  const unwatch = store.watch(['pki_crl_states', 'pki_issuers'], soon);
  return {
    name: crlJobName,
    schedule: '* * * * *',
    run,
    async close() {
      closing.abort();
      unwatch();
      clearTimeout(timer);
      await running?.catch(() => undefined);
    },
  };
}
