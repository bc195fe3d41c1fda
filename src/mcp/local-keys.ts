import {
  BackendError,
  type BackendReply,
  type CallContext,
  type OfferedOperation,
  type ToolBackend,
} from './backend.ts';
import { type KeptKeys, nameOfRequest } from './kept-keys.ts';

/**
 * Keys made on the machine of the client: `chancery mcp` sends a request that holds the public key, so that the private
 * key crosses no network. It is put into the answer as if the server had made it, and is delivered like any other secret.
 */

export interface KeyRequest {
  /** PKCS#8, PEM. */
  readonly privateKey: string;
  /** PKCS#10, PEM, without names. */
  readonly csr: string;
}

/** Undefined for types of keys that it does not make: the server makes those. */
export type MakeKeyRequest = (keyType: string) => Promise<KeyRequest | undefined>;

const issue = 'pki.issue_certificate';
const plan = 'pki.plan_certificate';

/**
 * A repeat with the same Idempotency-Key must send the same request, and so must one with an approval, which was given for
 * that request and no other. As many are remembered; what waits for an approval is kept beyond this process (kept-keys.ts), so
 * that asking again finds the approval that waits, and does not ask for another.
 */
const mostRemembered = 64;

type Fields = Readonly<Record<string, unknown>>;

export interface LocalKeyOptions {
  readonly make: MakeKeyRequest;
  readonly kept: KeptKeys;
  /** Address of the server: its keys are no other's. */
  readonly server: string;
}

export function withLocalKeys(backend: ToolBackend, { make, kept, server }: LocalKeyOptions): ToolBackend {
  const remembered = new Map<string, Promise<KeyRequest | undefined>>();
  const remember = (key: string, request: Promise<KeyRequest | undefined>): void => {
    remembered.set(key, request);
    request.catch(() => remembered.delete(key));
    const [oldest] = remembered.keys();
    if (remembered.size > mostRemembered && oldest !== undefined) remembered.delete(oldest);
  };
  const requestFor = (input: Fields, context: CallContext, pending: string): Promise<KeyRequest | undefined> => {
    const approval = context.approvalId === undefined ? undefined : `approval ${context.approvalId}`;
    const key = context.idempotencyKey === undefined ? undefined : `key ${context.idempotencyKey}`;
    const known = [approval, key].map((name) => name && remembered.get(name)).find((request) => request !== undefined);
    const request =
      known || kept.find(pending).then((found) => found ?? keyTypeFor(backend, input, context).then(make));
    if (key !== undefined) remember(key, request);
    return request;
  };
  return {
    operations: backend.operations,
    async call(operation, input, context) {
      if (!needsKey(operation, input)) return backend.call(operation, input, context);
      const fields = input as Fields;
      const name = nameOfRequest(server, input);
      const request = await requestFor(fields, context, name);
      if (request === undefined) return backend.call(operation, input, context);
      const { key_type: _made, ...rest } = fields;
      try {
        const reply = withKey(await backend.call(operation, { ...rest, csr: request.csr }, context), request);
        await kept.drop(name);
        return reply;
      } catch (thrown) {
        const approval = approvalAsked(thrown);
        if (approval !== undefined) {
          remember(`approval ${approval}`, Promise.resolve(request));
          await kept.keep(name, request);
        }
        throw withoutRequest(thrown, request, fields);
      }
    },
  };
}

/**
 * The request that would pass is told as the caller would make it. With our CSR in it, it would be made without our key:
 * a certificate would be issued whose key nobody has.
 */
function withoutRequest(thrown: unknown, { csr }: KeyRequest, asked: Fields): unknown {
  if (!(thrown instanceof BackendError)) return thrown;
  const { nearest_request: nearest, ...members } = thrown.members as { readonly nearest_request?: Fields };
  if (nearest?.['csr'] !== csr) return thrown;
  const { csr: _ours, ...rest } = nearest;
  const keyType = asked['key_type'];
  return new BackendError(thrown.message, {
    code: thrown.code,
    hint: thrown.hint,
    details: thrown.details,
    members: { ...members, nearest_request: keyType === undefined ? rest : { ...rest, key_type: keyType } },
    retryAfter: thrown.retryAfter,
    requestId: thrown.requestId,
    cause: thrown,
  });
}

/** The approval that a refusal waits for. */
function approvalAsked(thrown: unknown): string | undefined {
  if (!(thrown instanceof BackendError) || thrown.code !== 'approval_required') return undefined;
  const { approval_id: id } = thrown.members;
  return typeof id === 'string' ? id : undefined;
}

/** Formats that hold the key are made where the key is: on the server. */
function needsKey({ id }: OfferedOperation, input: unknown): boolean {
  if (id !== issue || typeof input !== 'object' || input === null) return false;
  const { csr, format = 'pem' } = input as Fields;
  return csr === undefined && (format === 'pem' || format === 'der');
}

function withKey(reply: BackendReply, { privateKey }: KeyRequest): BackendReply {
  return { ...reply, output: { ...(reply.output as Fields), private_key: privateKey } };
}

/** Whether planning would itself ask somebody: nobody should be asked twice for one certificate. */
async function needsApproval(backend: ToolBackend, { role }: Fields, context: CallContext): Promise<boolean> {
  const question = { operation: plan, resource: `pki/roles/${String(role)}` };
  try {
    const { output } = await backend.call({ id: 'policy.test_policy' } as OfferedOperation, question, {
      signal: context.signal,
    });
    return (output as { decision?: unknown }).decision === 'approval_required';
  } catch {
    // Who may not ask, or asks for what is none, is told by planning itself.
    return false;
  }
}

/** That of the request, else what the role would have: its plan says so, where the token may ask for one. */
async function keyTypeFor(backend: ToolBackend, input: Fields, context: CallContext): Promise<string> {
  const { key_type: given, format: _format, password: _password, ...request } = input;
  if (typeof given === 'string') return given;
  const planning = backend.operations.find(({ id }) => id === plan);
  const usual = 'ec-p256';
  if (planning === undefined || (await needsApproval(backend, request, context))) return usual;
  try {
    const { output } = await backend.call(planning, request, { signal: context.signal });
    const { certificate } = output as { certificate?: { key_type?: string } | null };
    return certificate?.key_type ?? usual;
  } catch {
    // Then the request itself is refused, and its refusal says why.
    return usual;
  }
}
