import type { Clock } from '#core/clock.ts';
import type { Dispatch } from '#core/dispatch.ts';
import { newId } from '#core/ids.ts';
import type { BoundOperation } from '#core/operation.ts';

/** Runs an operation as a background job of a namespace: authorized, audited and committed like any other call. */
export type SystemCall = (job: string, namespace: string, id: string, input: object) => Promise<unknown>;

export interface SystemCallParts {
  readonly dispatch: Dispatch;
  readonly operations: readonly BoundOperation[];
  readonly clock: Clock;
}

export function createSystemCall({ dispatch, operations, clock }: SystemCallParts): SystemCall {
  const byId = new Map(operations.map((operation) => [operation.id, operation]));
  return async (job, namespace, id, input) => {
    const operation = byId.get(id);
    if (operation === undefined) throw new Error(`no operation ${id}`);
    const reply = await dispatch({
      operation,
      input,
      credentials: { kind: 'system', job, namespace },
      transport: 'system',
      sourceAddress: null,
      requestId: newId('req', clock.now()),
    });
    return reply.output;
  };
}
