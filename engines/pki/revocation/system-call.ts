import { createSystemCaller, type SystemCallerOptions } from '#core/system-call.ts';

/** Runs an operation as a background job of a namespace: authorities of every namespace have CRLs and OCSP signers. */
export type SystemCall = (job: string, namespace: string, id: string, input: object) => Promise<unknown>;

export function createSystemCall(parts: Pick<SystemCallerOptions, 'dispatch' | 'operations' | 'clock'>): SystemCall {
  const { dispatch, operations, clock } = parts;
  return (job, namespace, id, input) =>
    createSystemCaller({ dispatch, operations, clock, job, namespace })<unknown>(id, input);
}
