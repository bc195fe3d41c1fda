import type { Clock } from './clock.ts';
import type { Dispatch } from './dispatch.ts';
import { newId } from './ids.ts';
import type { BoundAct } from './operation.ts';

export interface SystemCallerOptions {
  readonly dispatch: Dispatch;
  /** Among which the job finds those that it calls. */
  readonly operations: readonly BoundAct[];
  readonly clock: Clock;
  /** Who acts, in the audit; what it may do is in src/job-scopes.ts. */
  readonly job: string;
  /** Default `root`. */
  readonly namespace?: string;
  /** For whom the job acts, where it acts for somebody. */
  readonly onBehalfOf?: string | undefined;
}

/** Calls operations by id, as a background job: through dispatch like everybody, as its own principal. */
export type SystemCaller = <Output>(id: string, input: object, idempotencyKey?: string) => Promise<Output>;

export function createSystemCaller(options: SystemCallerOptions): SystemCaller {
  const { dispatch, operations, clock, job, namespace = 'root', onBehalfOf } = options;
  return async <Output>(id: string, input: object, idempotencyKey?: string) => {
    const operation = operations.find((candidate) => candidate.id === id);
    if (!operation) throw new Error(`the job ${job} calls ${id}, which does not exist`);
    const reply = await dispatch({
      operation,
      input,
      credentials: { kind: 'system', job, namespace, onBehalfOf },
      transport: 'system',
      sourceAddress: null,
      requestId: newId('req', clock.now()),
      idempotencyKey,
    });
    return reply.output as Output;
  };
}
