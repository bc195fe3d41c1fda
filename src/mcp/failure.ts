import type { CallToolResult } from '@modelcontextprotocol/server';
import { BackendError } from './backend.ts';
import { type FieldHelp, hintForModel, textForModel } from './next-step.ts';

/** How refusals are told to a model: a result with `isError` and one JSON object that says what to do next. */

/** Tells the log of what nobody outside hears about. `id` is what the caller was told. */
export type FaultLog = (id: string, operation: string, error: unknown) => void;

/** What was thrown, as something that may be shown. Texts of unknown errors stay here: they may hold anything. */
export function toBackendError(thrown: unknown, operation: string, faultId: string, log: FaultLog): BackendError {
  if (thrown instanceof BackendError) return thrown;
  log(faultId, operation, thrown);
  return new BackendError('An internal error occurred; the log has the details under this request id.', {
    code: 'internal',
    requestId: faultId,
  });
}

export interface FailureView {
  readonly code: string;
  readonly message: string;
  readonly hint?: string | undefined;
  /** Which tool or argument would help. */
  readonly next?: string | undefined;
  readonly details?: readonly { readonly at: string; readonly message: string }[] | undefined;
  /** What the operation takes, where it was given something else. */
  readonly fields?: FieldHelp | undefined;
  /** Seconds. */
  readonly retry_after?: number | undefined;
  readonly request_id?: string | undefined;
}

/** At most this many findings: a model reads no more either. */
const maxDetails = 20;

/** Characters of JSON that further facts may have; a refusal of a thousand names repeats itself. */
const longestMembers = 16_384;

export function viewFailure(error: BackendError, next: string | undefined, fields?: FieldHelp): FailureView {
  const { code, details, members, retryAfter, requestId } = error;
  const [message, hint] = [textForModel(error.message), hintForModel(error.hint)];
  return {
    ...(JSON.stringify(members).length <= longestMembers ? members : {}),
    code,
    message,
    ...(hint === undefined ? {} : { hint }),
    ...(next === undefined ? {} : { next }),
    ...(details.length === 0 ? {} : { details: details.slice(0, maxDetails) }),
    ...(fields === undefined ? {} : { fields }),
    ...(retryAfter === undefined ? {} : { retry_after: Math.max(1, Math.ceil(retryAfter)) }),
    ...(requestId === undefined ? {} : { request_id: requestId }),
  };
}

/** No structured content: a client checks that against the output schema, which an error does not fit. */
export function failureResult(view: unknown): CallToolResult {
  return { isError: true, content: [{ type: 'text', text: JSON.stringify({ error: view }) }] };
}
