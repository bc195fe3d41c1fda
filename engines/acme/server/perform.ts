import type { Clock } from '#core/clock.ts';
import type { Dispatch } from '#core/dispatch.ts';
import { newId } from '#core/ids.ts';
import type { BoundAct } from '#core/operation.ts';

/** For whom an act is done: what of a request the audit keeps. */
export interface Context {
  readonly namespace: string;
  readonly sourceAddress: string | null;
  /** Undefined: nobody asked. */
  readonly requestId: string | undefined;
}

/** Does an act, through dispatch like everybody, as the job that serves ACME. */
export type Perform = <Output>(id: string, input: object, context: Context) => Promise<Output>;

/** Who acts, in the audit; for whom, the facts of each event say (`account`, `account_principal`). */
export const serveJob = 'acme.serve';

export function createPerform(dispatch: Dispatch, acts: readonly BoundAct[], clock: Clock): Perform {
  const byId = new Map(acts.map((act) => [act.id, act]));
  return async <Output>(id: string, input: object, { namespace, sourceAddress, requestId }: Context) => {
    const operation = byId.get(id);
    if (operation === undefined) throw new Error(`there is no act ${id}`);
    const reply = await dispatch({
      operation,
      input,
      credentials: { kind: 'system', job: serveJob, namespace },
      transport: requestId === undefined ? 'system' : 'acme',
      sourceAddress,
      requestId: requestId ?? newId('req', clock.now()),
    });
    return reply.output as Output;
  };
}

/** For what nobody asked for. */
export function backgroundOf(namespace: string): Context {
  return { namespace, sourceAddress: null, requestId: undefined };
}
