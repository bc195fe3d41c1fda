import type { Credentials, Dispatch } from '#core/dispatch.ts';
import { AppError } from '#core/errors.ts';
import type { BoundOperation } from '#core/operation.ts';
import { alsoTouched } from './also-touched.ts';
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
  /** Whether the operator lets MCP touch this resource, in its normal form. */
  readonly mayTouch: (resource: string) => boolean;
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

export function createDispatchBackend({ dispatch, operations, mayTouch }: DispatchBackendOptions): DispatchBackend {
  const guarded = new Map(operations.map((operation) => [operation.id, guardPaths(operation, mayTouch)]));
  return ({ credentials, sourceAddress, requestId, operations: offered }) => ({
    operations: offered,
    async call({ id }: OfferedOperation, input: unknown, context: CallContext): Promise<BackendReply> {
      const operation = guarded.get(id);
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
        });
      } catch (thrown) {
        throw fromAppError(thrown, requestId);
      }
    },
  });
}

/**
 * The operator's guard, inside dispatch: it looks at the very resource that the policy is asked about, made from the
 * validated input, so that no spelling passes here and means something else there; and a refusal is in the audit.
 */
function guardPaths(operation: BoundOperation, mayTouch: (resource: string) => boolean): BoundOperation {
  return {
    ...operation,
    owner: async (namespace, input) => {
      refusePaths(operation.resource(input), input, mayTouch);
      return operation.owner?.(namespace, input);
    },
  };
}

/** Throws `denied` for what may not be touched, be it the resource or what the operation reaches by it. */
export function refusePaths(resource: string, input: unknown, mayTouch: (resource: string) => boolean): void {
  for (const path of [resource, ...alsoTouched(resource, input)]) if (!mayTouch(path)) throw pathRefusal(path);
}

function pathRefusal(resource: string): AppError {
  return new AppError('denied', `The operator of this MCP server does not let it touch ${resource.slice(0, 200)}.`, {
    hint: 'Tell the user; CHANCERY_MCP_ALLOWED_PATHS and CHANCERY_MCP_DENIED_PATHS say what may be touched.',
  });
}

/** What is no AppError goes on as it is: the caller makes a constant sentence of it. */
function fromAppError(thrown: unknown, requestId: string): unknown {
  if (!(thrown instanceof AppError) || thrown.code === 'internal') return thrown;
  const { code, message, hint, details, members, retryAfter } = thrown;
  return new BackendError(message, { code, hint, details, members, retryAfter, requestId });
}
