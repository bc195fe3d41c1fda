import {
  BackendError,
  type CallContext,
  type DeliveryFacts,
  type OfferedOperation,
  type SecretDelivery,
  secretFieldsOf,
  type ToolBackend,
} from './backend.ts';
import { type FaultLog, toBackendError } from './failure.ts';
import { closedByOperator } from './next-step.ts';
import { maskSecrets } from './mask.ts';
import { mapStrings, safeText } from './untrusted-text.ts';

/**
 * The one way from a tool, a resource or a prompt to an operation: guards, call, delivery of secrets, masking, escaping.
 * What comes out may be shown to a model.
 */
export interface Caller {
  /** Throws BackendError, with texts that are safe to show. */
  call(operation: OfferedOperation, input: unknown, context: CallContext): Promise<Performed>;
  readonly operations: readonly OfferedOperation[];
  readonly readOnly: boolean;
}

export interface Performed {
  /** Safe to show: without secret fields, masked, escaped, cut. */
  readonly output: Readonly<Record<string, unknown>>;
  readonly delivery: DeliveryFacts | undefined;
  readonly replayed: boolean;
}

export interface CallerOptions {
  readonly backend: ToolBackend;
  readonly delivery: SecretDelivery;
  /** Only operations that read. */
  readonly readOnly: boolean;
  /** Replace what looks like a secret. */
  readonly mask: boolean;
  /** Takes one call out of the session's allowance: 0, or the seconds until there is one. */
  readonly takeTurn: () => number;
  /** What the caller and the log call a call, when the backend has no name for it. */
  readonly newRequestId: () => string;
  readonly log: FaultLog;
}

export function createCaller(options: CallerOptions): Caller {
  const { backend, readOnly } = options;
  const clean = options.mask ? (text: string) => safeText(maskSecrets(text)) : safeText;
  return {
    operations: backend.operations,
    readOnly,
    async call(operation, input, context) {
      try {
        admit(options, operation);
        const { output, replayed } = await untilAborted(backend.call(operation, input, context), context.signal);
        const shown = await shape(options, operation, output, clean);
        return {
          output: shown.output,
          delivery: shown.delivery ?? (replayed ? earlier(operation, input, output) : undefined),
          replayed,
        };
      } catch (thrown) {
        throw cleaned(toBackendError(thrown, operation.id, options.newRequestId(), options.log), clean);
      }
    },
  };
}

function admit({ readOnly, takeTurn }: CallerOptions, operation: OfferedOperation): void {
  const seconds = takeTurn();
  if (seconds > 0)
    throw new BackendError('Too many calls in this session.', {
      code: 'rate_limited',
      retryAfter: seconds,
      hint: `Try again in ${Math.ceil(seconds)} s.`,
    });
  if (readOnly && operation.effect !== 'read')
    throw new BackendError(`${operation.id} changes something, and this server is read-only.`, {
      code: 'denied',
      members: closedByOperator,
    });
}

/** Waits no longer than the client does. What was begun goes on, is committed and is in the audit. */
async function untilAborted<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  const aborted = Promise.withResolvers<never>();
  const abort = (): void =>
    aborted.reject(
      new BackendError('The call was cancelled; what was begun may have been done.', { code: 'cancelled' }),
    );
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

type Shown = Omit<Performed, 'replayed'>;
type Fields = Readonly<Record<string, unknown>>;
type Clean = (text: string) => string;

async function shape(
  options: CallerOptions,
  operation: OfferedOperation,
  output: unknown,
  clean: Clean,
): Promise<Shown> {
  const values = (typeof output === 'object' && output !== null ? output : {}) as Fields;
  const held = secretFieldsOf(operation, values);
  if (held.length === 0) return bounded(operation, { output: promised(operation, values, clean), delivery: undefined });
  try {
    const { output: rest, delivery } = await options.delivery.deliver(operation, values);
    if (delivery === undefined) return { output: revealed(operation, rest, clean), delivery };
    return { output: promised(operation, rest, clean), delivery };
  } catch (thrown) {
    options.log(options.newRequestId(), operation.id, thrown);
    return { output: promised(operation, values, clean), delivery: withheld(held) };
  }
}

/** The fields that the schema promises and that are not secret: whatever else came, goes no further. */
function promised({ output, sensitive }: OfferedOperation, values: Fields, clean: Clean): Record<string, unknown> {
  const told = Object.entries(values).filter(
    ([field]) => Object.hasOwn(output.properties, field) && !sensitive.includes(field),
  );
  return mapStrings(Object.fromEntries(told), clean) as Record<string, unknown>;
}

/** The operator wants the secrets shown (CHANCERY_MCP_REVEAL): they come as they are, or they would be of no use. */
function revealed(operation: OfferedOperation, values: Fields, clean: Clean): Record<string, unknown> {
  const secrets = operation.sensitive.flatMap((field) => (field in values ? [[field, values[field]] as const] : []));
  return { ...promised(operation, values, clean), ...Object.fromEntries(secrets) };
}

/** What was made exists, and the result says so; only its secrets are gone. */
function withheld(fields: readonly string[]): DeliveryFacts {
  return {
    method: 'withheld',
    fields,
    next: 'The secrets could not be delivered and are gone. Revoke what was made, tell the user, and ask again.',
  };
}

/** What holds the key of a certificate; who brings a CSR has it already. */
const heldByRequester = ['private_key', 'bundle', 'pkcs12'];

/**
 * The kept answer of a call that made secrets has none, and no handle of them either: a handle opens them with the
 * principal's token, and the store, which is backed up, must not hold what opens what it holds (src/claim/content.ts). So
 * what is left is to say that there were some, and what to do without them. Where every secret field may be absent, an
 * answer that had none is not told from one that had.
 */
function earlier({ sensitive }: OfferedOperation, input: unknown, output: unknown): DeliveryFacts | undefined {
  const [asked, values] = [(input ?? {}) as Fields, (output ?? {}) as Fields];
  const elsewhere = asked['csr'] === undefined ? [] : heldByRequester;
  const fields = sensitive.filter((field) => (values[field] ?? null) === null && !elsewhere.includes(field));
  if (fields.length === 0) return undefined;
  return {
    method: 'earlier',
    fields,
    next: 'This is the kept answer of an earlier call with the same idempotency_key. If it made secrets, delivery of the first answer said where they went; that is not told twice. claim.list_claims {"mine":true,"state":"open"} shows claims that still wait. Without that first answer: revoke what was made, then call again with a new idempotency_key.',
  };
}

/** Bytes of a result, about 60,000 tokens; clients cut earlier, and say nothing of it. */
const largestResult = 262_144;

/** A page that is too large is refused with advice; the answer of a deed is told in any case. */
function bounded(operation: OfferedOperation, shown: Shown): Shown {
  if (operation.effect !== 'read' || JSON.stringify(shown.output).length <= largestResult) return shown;
  throw new BackendError('The answer is larger than 256 KiB.', {
    code: 'too_large',
    hint: 'Ask for less: a smaller limit, or narrower filters.',
  });
}

function cleaned(error: BackendError, clean: Clean): BackendError {
  return new BackendError(clean(error.message), {
    code: clean(error.code),
    hint: error.hint === undefined ? undefined : clean(error.hint),
    details: error.details.map(({ at, message }) => ({ at: clean(at), message: clean(message) })),
    members: mapStrings(error.members, clean) as Record<string, unknown>,
    retryAfter: error.retryAfter,
    requestId: error.requestId,
  });
}
