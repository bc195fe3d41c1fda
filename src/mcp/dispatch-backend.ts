import type { Credentials, Dispatch } from '#core/dispatch.ts';
import { AppError } from '#core/errors.ts';
import type { Guard } from '#core/grant.ts';
import type { BoundOperation } from '#core/operation.ts';
import {
  BackendError,
  type BackendReply,
  type CallContext,
  type OfferedOperation,
  type ToolBackend,
} from './backend.ts';

/** Tools that run in this process: every call goes to dispatch, like those of every other face. */

export interface DispatchBackendOptions {
  readonly dispatch: Dispatch;
  readonly operations: readonly BoundOperation[];
  /** What the operator lets MCP touch; undefined: everything. It goes with each call, into whatever that asks for. */
  readonly guard: Guard | undefined;
}

/** Who calls, and from where. */
export interface DispatchCaller {
  readonly credentials: Credentials;
  readonly sourceAddress: string | null;
  readonly requestId: string;
  /** What the caller could ever be allowed. */
  readonly operations: readonly OfferedOperation[];
}

export type DispatchBackend = (caller: DispatchCaller) => ToolBackend;

export function createDispatchBackend({ dispatch, operations, guard }: DispatchBackendOptions): DispatchBackend {
  const byId = new Map(operations.map((operation) => [operation.id, operation]));
  return ({ credentials, sourceAddress, requestId, operations: offered }) => ({
    operations: offered,
    async call({ id }: OfferedOperation, input: unknown, context: CallContext): Promise<BackendReply> {
      const operation = byId.get(id);
      if (operation === undefined) throw new Error(`${id} is offered and does not exist`);
      const { idempotencyKey, approvalId, signal } = context;
      try {
        return await dispatch({
          operation,
          input,
          credentials,
          transport: 'mcp',
          sourceAddress,
          requestId,
          idempotencyKey,
          approvalId,
          signal,
          guard,
        });
      } catch (thrown) {
        throw fromAppError(thrown, requestId);
      }
    },
  });
}

/** What is no AppError goes on as it is: the caller makes a constant sentence of it. */
function fromAppError(thrown: unknown, requestId: string): unknown {
  if (!(thrown instanceof AppError) || thrown.code === 'internal') return thrown;
  const { code, message, hint, details, members, retryAfter } = thrown;
  return new BackendError(message, { code, hint, details, members, retryAfter, requestId });
}
