import { hash } from 'node:crypto';
import type { AuditEvent, Transport } from './audit-event.ts';
import type { Change } from './change.ts';
import type { Clock } from './clock.ts';
import type { KeepSecrets, Keeping, KeptSecrets } from './delivery.ts';
import { AppError, toAppError } from './errors.ts';
import type { Grant, Guard } from './grant.ts';
import { newId } from './ids.ts';
import type { BoundAct, Outcome, RequestFacts } from './operation.ts';
import { parseInput, shapeOutput } from './parse.ts';
import type { Principal } from './principal.ts';

/**
 * The one door. REST, MCP, ACME, renewal and background work come through here, and all of them take the same steps
 * in the same order: authenticate, validate, authorize, run, shape, commit with the audit record.
 */

/** What a caller shows. Only main.ts can make `system` credentials; no transport ever does. */
export type Credentials =
  | { readonly kind: 'bearer'; readonly token: string }
  | { readonly kind: 'none' }
  | SystemCredentials;

export interface SystemCredentials {
  readonly kind: 'system';
  /** Which background job acts, for the audit: `crl-rebuild`. */
  readonly job: string;
  readonly namespace: string;
  /** For whom it acts; what is issued is theirs. */
  readonly onBehalfOf?: string | undefined;
}

export interface Call {
  readonly operation: BoundAct;
  /** As it came, not yet validated. */
  readonly input: unknown;
  readonly credentials: Credentials;
  readonly transport: Transport;
  readonly sourceAddress: string | null;
  readonly requestId: string;
  readonly idempotencyKey?: string | undefined;
  /** An approval that somebody gave for exactly this request. */
  readonly approvalId?: string | undefined;
  /** Keeps the secret fields of the answer for another way to the caller, in the commit of the effect. */
  readonly keepSecrets?: KeepSecrets | undefined;
  /** Aborted when the caller does not wait any more; what can stop early does. */
  readonly signal?: AbortSignal | undefined;
  /** Narrows the call, beside policies and token, for as long as it runs. */
  readonly guard?: Guard | undefined;
}

/** Everything `authorize` may look at. */
export interface AccessRequest {
  readonly principal: Principal;
  readonly operation: BoundAct;
  readonly resource: string;
  readonly input: unknown;
  readonly facts: RequestFacts;
  /** The principal is the owner of what is touched. */
  readonly owned: boolean;
  readonly sourceAddress: string | null;
  readonly requestId: string;
  readonly approvalId: string | undefined;
  /** Whether this principal's answer to this very request is kept. Throws `conflict` as `find` of the ledger does. */
  readonly answered: () => Promise<boolean>;
  readonly now: number;
  readonly signal?: AbortSignal | undefined;
  readonly guard?: Guard | undefined;
}

/** A grant, and what granting it uses up (a single-use approval), committed with the effect. */
export interface Authorization {
  readonly grant: Grant;
  readonly changes: readonly Change[];
  /** Nothing but the kept answer may be given: what would be done again is not authorized. */
  readonly replayOnly?: true;
}

/** Whose answer is kept, and to what. */
export type AnswerOwner = Pick<Grant, 'namespace' | 'principal' | 'operation'>;

/** Answers kept so that a repeat with the same Idempotency-Key does nothing again. Secret fields are never kept. */
export interface IdempotencyLedger {
  /** The kept answer, or undefined. Throws `conflict` when the key was used for another request. */
  find(owner: AnswerOwner, key: string, input: unknown): Promise<{ output: unknown } | undefined>;
  /** The change that keeps an answer; it fails with `conflict` when a concurrent twin came first. */
  keep(grant: Grant, key: string, input: unknown, output: unknown): Change;
}

export interface DispatchDeps {
  readonly clock: Clock;
  /** Throws `unauthenticated`. */
  readonly authenticate: (credentials: Credentials, now: number) => Promise<Principal>;
  /** Throws `denied` or `approval_required`, with the rule that decided. Any other exception denies as well. */
  readonly authorize: (request: AccessRequest) => Promise<Authorization>;
  /** Commits changes and audit events together, durably, or throws and leaves nothing. */
  readonly commit: (changes: readonly Change[], events: readonly AuditEvent[]) => Promise<void>;
  readonly idempotency: IdempotencyLedger;
  /** Told of every call when it ends; for metrics and the log. */
  readonly observe?: (call: Call, principal: Principal | undefined, error: AppError | undefined) => void;
}

export interface Reply {
  readonly output: unknown;
  /** True when the answer is the kept one of an earlier call with the same Idempotency-Key. */
  readonly replayed: boolean;
  /** Where its secret fields were kept, which are in the output all the same. */
  readonly kept?: KeptSecrets | undefined;
}

export type Dispatch = (call: Call) => Promise<Reply>;

/** A conflict means that somebody changed what was read; reading again is right, for ever is not. */
const maxTries = 4;

export function createDispatch(deps: DispatchDeps): Dispatch {
  return async (call) => {
    const trail: Trail = { now: deps.clock.now(), principal: undefined, resource: null, purpose: null, closed: false };
    try {
      const reply = await walk(deps, call, trail);
      deps.observe?.(call, trail.principal, undefined);
      return reply;
    } catch (thrown) {
      const error = toAppError(thrown);
      deps.observe?.(call, trail.principal, error);
      if (!trail.closed) await recordFailure(deps, call, trail, error);
      throw error;
    }
  };
}

/**
 * What is not recorded is answered as unavailable, and no other way. Where the call itself failed for that reason its
 * own error is the better one: it alone knows whether a commit may have been stored.
 */
async function recordFailure(deps: DispatchDeps, call: Call, trail: Trail, error: AppError): Promise<void> {
  const outcome = error.status === 401 || error.status === 403 ? 'denied' : 'failed';
  try {
    await deps.commit([], [trailEvent(trail, call, outcome, error.code)]);
  } catch (thrown) {
    throw error.code === 'unavailable' ? error : thrown;
  }
}

/** What is known of a call while it runs: the material of its audit event. */
interface Trail {
  readonly now: number;
  principal: Principal | undefined;
  resource: string | null;
  purpose: string | null;
  closed: boolean;
}

async function walk(deps: DispatchDeps, call: Call, trail: Trail): Promise<Reply> {
  const { operation } = call;
  trail.principal = await deps.authenticate(call.credentials, trail.now);
  const input = parseInput(operation, call.input);
  trail.resource = operation.resource(input);
  const facts = operation.facts?.(input) ?? {};
  trail.purpose = facts.purpose ?? trail.principal.purpose ?? null;
  const authorization = await authorizeOrDeny(deps, call, trail, input, facts);
  return runOrReplay(deps, call, trail, authorization, input);
}

/** An exception inside authorization is a denial, whatever it was: the error path must never mean "allow". */
async function authorizeOrDeny(
  deps: DispatchDeps,
  call: Call,
  trail: Trail,
  input: unknown,
  facts: RequestFacts,
): Promise<Authorization> {
  const { principal, resource } = trail;
  if (principal === undefined || resource === null) throw new AppError('denied', 'Nobody is authenticated.');
  try {
    call.guard?.touch(resource);
    const owner = await call.operation.owner?.(principal.namespace, input);
    return await deps.authorize({
      principal,
      operation: call.operation,
      resource,
      input,
      facts,
      owned: owner === principal.name,
      sourceAddress: call.sourceAddress,
      requestId: call.requestId,
      approvalId: call.approvalId,
      answered: async () => {
        const asker = { namespace: principal.namespace, principal, operation: call.operation.id };
        return (await findAnswer(deps, call, asker, input)) !== undefined;
      },
      now: trail.now,
      signal: call.signal,
      guard: call.guard,
    });
  } catch (thrown) {
    if (thrown instanceof AppError) throw thrown;
    throw new AppError('denied', 'The authorization could not be decided, so the request is denied.', {
      cause: thrown,
    });
  }
}

/** Runs until it is committed. Before each try it looks for the kept answer: a concurrent twin may have left it. */
async function runOrReplay(
  deps: DispatchDeps,
  call: Call,
  trail: Trail,
  { grant, changes: spent, replayOnly }: Authorization,
  input: unknown,
): Promise<Reply> {
  for (let attempt = 1; ; attempt++) {
    const kept = await findAnswer(deps, call, grant, input);
    if (kept) {
      await close(deps, call, trail, [], { replayed: true });
      return { output: kept.output, replayed: true };
    }
    if (replayOnly) throw answerGone();
    if (call.operation.intend) return runOnce(deps, call, trail, grant, input, spent);
    const outcome = await call.operation.run(grant, input);
    const output = shapeOutput(call.operation, outcome.output);
    const keeping = call.keepSecrets?.(grant, call.operation, output);
    const changes = [...spent, ...changesOf(outcome, keeping), ...keepAnswer(deps, call, grant, input, output)];
    try {
      await close(deps, call, trail, changes, factsOf(outcome, keeping));
      return { output, replayed: false, kept: keeping?.kept };
    } catch (thrown) {
      if (call.operation.openWorld || !isConflict(thrown) || attempt === maxTries) throw thrown;
    }
  }
}

/** What reaches outside the store: the intent is durable before the effect, and the effect happens once. */
async function runOnce(
  deps: DispatchDeps,
  call: Call,
  trail: Trail,
  grant: Grant,
  input: unknown,
  spent: readonly Change[],
): Promise<Reply> {
  const plan = await recordIntent(deps, call, trail, grant, input, spent);
  const outcome = await call.operation.run(grant, input, plan);
  try {
    const output = shapeOutput(call.operation, outcome.output);
    const keeping = call.keepSecrets?.(grant, call.operation, output);
    const changes = [...changesOf(outcome, keeping), ...keepAnswer(deps, call, grant, input, output)];
    await close(deps, call, trail, changes, factsOf(outcome, keeping));
    return { output, replayed: false, kept: keeping?.kept };
  } catch (thrown) {
    await outcome.undone?.().catch(() => undefined);
    throw thrown;
  }
}

/** Nothing has happened outside yet, so a conflict means reading again. */
async function recordIntent(
  deps: DispatchDeps,
  call: Call,
  trail: Trail,
  grant: Grant,
  input: unknown,
  spent: readonly Change[],
): Promise<unknown> {
  for (let attempt = 1; ; attempt++) {
    const intent = await call.operation.intend?.(grant, input);
    if (!intent) return undefined;
    try {
      await deps.commit([...spent, ...intent.changes], [trailEvent(trail, call, 'intent', null, intent.audit)]);
      return intent.plan;
    } catch (thrown) {
      if (!isConflict(thrown) || attempt === maxTries) throw thrown;
    }
  }
}

function isConflict(thrown: unknown): boolean {
  return thrown instanceof AppError && thrown.code === 'conflict';
}

function answerGone(): AppError {
  return new AppError('conflict', 'The answer that was kept for this Idempotency-Key has just expired.', {
    hint: 'Make the request again; it will be a new one.',
  });
}

function changesOf({ changes = [] }: Outcome<unknown>, keeping: Keeping | undefined): readonly Change[] {
  return keeping === undefined ? changes : [...changes, ...keeping.changes];
}

function factsOf({ audit }: Outcome<unknown>, keeping: Keeping | undefined): Outcome<unknown>['audit'] {
  return keeping === undefined ? audit : { ...audit, ...keeping.audit };
}

function findAnswer(deps: DispatchDeps, call: Call, owner: AnswerOwner, input: unknown) {
  const key = ledgerKey(call, owner);
  return key === undefined ? undefined : deps.idempotency.find(owner, key, input);
}

/**
 * What an answer is kept by. Whoever is denied some resources is told none that was kept for somebody who is not, since
 * an answer that is told again comes by no operation that would ask. Keys of callers have no space.
 */
function ledgerKey({ idempotencyKey: key, operation, guard }: Call, { principal }: AnswerOwner): string | undefined {
  if (key === undefined || operation.effect === 'read') return undefined;
  const denied = principal.narrowings.flatMap((narrowing) => narrowing.denied ?? []);
  if (guard === undefined && denied.length === 0) return key;
  return `${hash('sha256', JSON.stringify([guard?.id, denied]))} ${key}`;
}

function keepAnswer(deps: DispatchDeps, call: Call, grant: Grant, input: unknown, output: unknown): Change[] {
  const key = ledgerKey(call, grant);
  return key === undefined ? [] : [deps.idempotency.keep(grant, key, input, withoutSecrets(call.operation, output))];
}

async function close(
  deps: DispatchDeps,
  call: Call,
  trail: Trail,
  changes: readonly Change[],
  details: Outcome<unknown>['audit'],
): Promise<void> {
  await deps.commit(changes, [trailEvent(trail, call, 'ok', null, details)]);
  trail.closed = true;
}

function trailEvent(
  trail: Trail,
  call: Call,
  outcome: AuditEvent['outcome'],
  code: string | null,
  details: Outcome<unknown>['audit'] = {},
): AuditEvent {
  const { principal } = trail;
  return {
    id: newId('aud', trail.now),
    at: trail.now,
    namespace: principal?.namespace ?? 'root',
    requestId: call.requestId,
    principal: principal?.name ?? null,
    principalKind: principal?.kind ?? null,
    credentialId: principal?.credentialId ?? null,
    operation: call.operation.id,
    resource: trail.resource,
    outcome,
    code,
    transport: call.transport,
    sourceAddress: call.sourceAddress,
    purpose: trail.purpose,
    details: details ?? {},
  };
}

/** The output without its secret fields: what may be kept, logged or shown to a model. */
export function withoutSecrets(operation: Pick<BoundAct, 'sensitive'>, output: unknown): unknown {
  if (operation.sensitive === undefined || typeof output !== 'object' || output === null) return output;
  return Object.fromEntries(Object.entries(output).filter(([field]) => !operation.sensitive?.includes(field)));
}
