import type { CallToolResult } from '@modelcontextprotocol/server';
import { BackendError } from './backend.ts';

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
  /** Seconds. */
  readonly retry_after?: number | undefined;
  readonly request_id?: string | undefined;
}

/** At most this many findings: a model reads no more either. */
const maxDetails = 20;

/** Characters of JSON that further facts may have; a refusal of a thousand names repeats itself. */
const longestMembers = 16_384;

export function viewFailure(error: BackendError, next: string | undefined): FailureView {
  const { code, message, hint, details, members, retryAfter, requestId } = error;
  return {
    ...(JSON.stringify(members).length <= longestMembers ? members : {}),
    code,
    message,
    ...(hint === undefined ? {} : { hint }),
    ...(next === undefined ? {} : { next }),
    ...(details.length === 0 ? {} : { details: details.slice(0, maxDetails) }),
    ...(retryAfter === undefined ? {} : { retry_after: Math.max(1, Math.ceil(retryAfter)) }),
    ...(requestId === undefined ? {} : { request_id: requestId }),
  };
}

/** No structured content: a client checks that against the output schema, which an error does not fit. */
export function failureResult(view: unknown): CallToolResult {
  return { isError: true, content: [{ type: 'text', text: JSON.stringify({ error: view }) }] };
}

/** The tool or argument that gets the caller on, where the code alone says it. */
export function nextStep(code: string, operation: string | undefined): string | undefined {
  const described = operation === undefined ? '' : ` {"operation":"${operation}"}`;
  switch (code) {
    case 'invalid_request':
      return `describe_operation${described} shows every field and what it takes.`;
    case 'unauthenticated':
      return 'Ask the user for a valid token; nothing can be done without one.';
    case 'denied':
      return 'auth_whoami shows what this token may do; policy_test_policy explains a decision. Do not try other spellings.';
    case 'approval_required':
      return (
        'Tell the user that somebody else must approve it; policy.get_approval shows its state. Then make exactly the ' +
        'same call by run_operation with this approval_id.'
      );
    case 'not_found':
      return 'List what there is, and use a name or id from the list.';
    case 'already_exists':
    case 'wrong_state':
    case 'conflict':
      return 'Read the present state, then decide.';
    case 'rate_limited':
      return 'Wait retry_after seconds, then make the same call.';
    case 'unavailable':
      return 'Make the same call later; with an idempotency_key nothing is done twice.';
    case 'too_large':
      return 'Ask for less: a smaller limit, or narrower filters.';
    default:
      return undefined;
  }
}
