import { type Change, insert, remove, update } from '#core/change.ts';
import { newId } from '#core/ids.ts';
import { ask, type OpenAccount } from '#acme/client/account.ts';
import type { ClientDeps } from '#acme/client/deps.ts';
import { dnsDigestOf, keyAuthorizationOf } from '#acme/jose/key-authorization.ts';
import type { ChallengeRow, OrderRow } from '#acme/client/tables.ts';
import { clamp } from '#acme/client/wire/headers.ts';
import {
  type AuthorizationObject,
  authorizationSchema,
  type OrderObject,
  orderSchema,
  readObject,
} from '#acme/client/wire/objects.ts';
import { AcmeProblem, MalformedAnswer, plainText } from '#acme/client/wire/problem.ts';
import { readIdentifier, sameNames } from '#acme/client/identifiers.ts';
import type { OrderDefinition, OrderProgress } from './definition.ts';
import type { StepContext } from './context.ts';
import { deliver } from './delivery.ts';
import { endOfPatience } from './new-order.ts';
import type { StepOutcome } from './outcome.ts';
import { recordName } from './records.ts';
import { failedAuthorization, failedOrder, repeatOrFail } from './repeat.ts';

/**
 * The steps of an order (RFC 8555 §7.1.6). Each asks the authority for one thing, can be done again when its outcome was
 * not written, and leaves everything that the next one needs in the row.
 */

type Step = (context: StepContext) => Promise<StepOutcome>;

const second = 1000;

/** RFC 8555 §7.4. When the answer is lost, the next one is another order, or the same: authorities reuse those that are open. */
const begin: Step = async ({ deps, row, definition, steps, account }) => {
  const { newOrder, meta } = await account.connection.directory();
  const unknown = unknownProfile(definition, Object.keys(meta?.profiles ?? {}));
  if (unknown !== undefined) return { kind: 'fail', reason: unknown };
  const answer = await ask(account, newOrder, {
    identifiers: definition.identifiers,
    ...(definition.profile === undefined ? {} : { profile: definition.profile }),
    ...(row.replaces === null ? {} : { replaces: row.replaces }),
  });
  if (answer.location === undefined) throw new MalformedAnswer('The authority does not say what the order is called.');
  const order = readObject(orderSchema, answer.body, 'order');
  if (!isFor(order, definition)) return { kind: 'fail', reason: 'The authority made an order for other names.' };
  // Each costs a request, and may take as long as the authority likes, in a slot that others wait for.
  if (order.authorizations.length > definition.identifiers.length)
    return { kind: 'fail', reason: 'The authority asks for more proofs than names were ordered.' };
  const progress = { ...throughout(steps), finalize: order.finalize, authorizations: order.authorizations };
  return {
    kind: 'go',
    set: {
      state: order.status === 'pending' ? 'authorizing' : 'finalizing',
      url: answer.location,
      steps: progress,
      give_up_at: Math.min(endOfPatience(row), endOf(order, deps.clock.now()) ?? Infinity),
    },
  };
};

/** What stays when the authority is asked for another order. */
function throughout({ restarts = 0, failed }: OrderProgress): OrderProgress {
  return { restarts, ...(failed === undefined ? {} : { failed }) };
}

/** draft-ietf-acme-profiles §4: none is asked for that is not advertised. Some authorities would take it, and ignore it. */
function unknownProfile({ profile }: OrderDefinition, offered: readonly string[]): string | undefined {
  if (profile === undefined || offered.includes(profile)) return undefined;
  const names = plainText(offered.slice(0, 20).join(', '));
  return `The authority offers no profile ${profile}, but ${names === '' ? 'none at all' : names}.`;
}

/** RFC 8555 §7.1.3: the order holds the identifiers that were sent. */
function isFor({ identifiers }: OrderObject, definition: OrderDefinition): boolean {
  const made = identifiers.map(({ value }) => readIdentifier(value));
  return made.every((each) => each !== undefined) && sameNames(made, definition.identifiers);
}

/** What has ended by our clock already is no end: the two clocks differ. */
function endOf({ expires }: OrderObject, now: number): number | undefined {
  const at = expires === undefined ? Number.NaN : Date.parse(expires);
  return at > now ? at : undefined;
}

async function readAuthorization(account: OpenAccount, url: string): Promise<AuthorizationObject> {
  return readObject(authorizationSchema, (await ask(account, url)).body, 'authorization');
}

/** Reads the authorizations, and makes ready what answers the challenges of those that are not valid yet. */
const authorize: Step = async (context) => {
  const { row, definition, steps, account, deps } = context;
  const challenges = [...(steps.challenges ?? [])];
  const changes: Change[] = [];
  const { part, done, isLast } = portionOf(steps.authorizations, steps);
  for (const url of part) {
    const authorization = await readAuthorization(account, url);
    if (authorization.status === 'valid') continue;
    if (authorization.status !== 'pending') return afterAuthorization(context, authorization);
    const challenge = authorization.challenges.find(({ type }) => type === definition.challenge);
    const identifier = authorization.identifier.value.toLowerCase();
    if (challenge?.url === undefined || challenge.token === undefined)
      return { kind: 'fail', reason: notOffered(definition.challenge, authorization) };
    if (!definition.identifiers.some(({ value }) => value === identifier || value === `*.${identifier}`))
      return { kind: 'fail', reason: 'The authority asks for a proof of a name that was not ordered.' };
    const keyAuthorization = keyAuthorizationOf(challenge.token, account.signer.key.thumbprint);
    const record =
      definition.challenge === 'dns-01'
        ? { record: { name: recordName(identifier), value: dnsDigestOf(keyAuthorization) } }
        : {};
    challenges.push({ authorization: url, url: challenge.url, identifier, ...record });
    const answer: ChallengeRow = {
      id: newId('ach', deps.clock.now()),
      namespace: row.namespace,
      order_id: row.id,
      type: definition.challenge,
      identifier,
      token: challenge.token,
      key_authorization: keyAuthorization,
      published: definition.dns_provider === undefined ? 0 : 1,
      created_at: deps.clock.now(),
    };
    changes.push(insert('acme_client_challenges', { ...answer }));
  }
  if (!isLast) return { kind: 'go', set: { steps: { ...steps, challenges, done } }, changes };
  const state = challenges.length === 0 ? 'finalizing' : stateOfChallenge(definition);
  return { kind: 'go', set: { state, steps: { ...steps, challenges, done: 0 } }, changes };
};

/** A step has its time, and an authority may be slow: what a hundred names ask for is done in parts, each on record. */
const portion = 10;

function portionOf<Item>(items: readonly Item[] = [], { done: before = 0 }: OrderProgress) {
  const done = Math.min(before + portion, items.length);
  return { part: items.slice(before, done), done, isLast: done === items.length };
}

function stateOfChallenge({ challenge, dns_provider: provider }: OrderDefinition): OrderRow['state'] {
  if (challenge !== 'dns-01') return 'responding';
  return provider === undefined ? 'operator' : 'publishing';
}

function notOffered(challenge: string, { challenges, identifier }: AuthorizationObject): string {
  const offered = challenges.map(({ type }) => type).slice(0, 10);
  return `The authority does not offer ${challenge} for ${identifier.value}, but ${offered.join(', ') || 'nothing'}.`;
}

/** One that nobody found wrong, but that has ended or was withdrawn, is had anew. */
function afterAuthorization(context: StepContext, authorization: AuthorizationObject): StepOutcome {
  const failure = failedAuthorization(authorization, context.definition);
  return authorization.status === 'invalid' ? repeatOrFail(context, failure) : restart(context, failure.reason);
}

const publish: Step = async ({ deps, row, definition, steps, signal }) => {
  const provider = definition.dns_provider ?? '';
  const { part, done, isLast } = portionOf(steps.challenges, steps);
  for (const { record } of part)
    if (record !== undefined) await deps.records.publish(row.namespace, provider, record, signal);
  if (!isLast) return { kind: 'go', set: { steps: { ...steps, done } } };
  return { kind: 'go', set: { state: 'propagating', steps: { ...steps, looks: 0, done: 0 } } };
};

/** Somebody must do something first; acme.complete_order says that it was done. */
const waitForOperator: Step = ({ row }) => Promise.resolve({ kind: 'wait', until: row.give_up_at });

/** Records that nobody sees would cost a failed validation; who cannot see them lets the authority look. */
const mostLooks = 60;

const propagate: Step = async ({ deps, steps }) => {
  const looks = (steps.looks ?? 0) + 1;
  const records = (steps.challenges ?? []).flatMap(({ record }) => (record === undefined ? [] : [record]));
  const seen = await Promise.all(records.map((record) => deps.records.isVisible(record)));
  if (!seen.includes(false) || looks > mostLooks)
    return { kind: 'go', set: { state: 'responding', steps: { ...steps, looks: 0 } } };
  const until = deps.clock.now() + clamp(looks * 500, 500, 20 * second);
  return { kind: 'wait', set: { steps: { ...steps, looks } }, until };
};

/** RFC 8555 §7.5.1. Only of those that wait for it: some authorities refuse to hear it twice. */
const respond: Step = async ({ account, steps }) => {
  const { part, done, isLast } = portionOf(steps.challenges, steps);
  for (const challenge of part) {
    if (!(await isPending(account, challenge))) continue;
    try {
      await ask(account, challenge.url, {});
    } catch (error) {
      // A try before this one may have been heard, its answer lost.
      if (!(error instanceof AcmeProblem) || (await isPending(account, challenge))) throw error;
    }
  }
  if (!isLast) return { kind: 'go', set: { steps: { ...steps, done } } };
  return { kind: 'go', set: { state: 'validating', steps: { ...steps, looks: 0, done: 0 } } };
};

async function isPending(
  account: OpenAccount,
  { authorization, url }: NonNullable<OrderProgress['challenges']>[number],
): Promise<boolean> {
  const { status, challenges } = await readAuthorization(account, authorization);
  const challenge = challenges.find((each) => each.url === url);
  return status === 'pending' && (challenge?.status ?? 'pending') === 'pending';
}

const validate: Step = async (context) => {
  const { deps, account, steps } = context;
  const looks = (steps.looks ?? 0) + 1;
  let retryAfter = 0;
  const { part, done, isLast } = portionOf(steps.challenges, steps);
  for (const { authorization: url } of part) {
    const answer = await ask(account, url);
    const authorization = readObject(authorizationSchema, answer.body, 'authorization');
    if (authorization.status === 'valid') continue;
    if (authorization.status !== 'pending') return afterAuthorization(context, authorization);
    retryAfter = Math.max(retryAfter, answer.retryAfter ?? 0);
    return { kind: 'wait', set: { steps: { ...steps, looks } }, until: nextLook(deps, looks, retryAfter) };
  }
  if (!isLast) return { kind: 'go', set: { steps: { ...steps, looks, done } } };
  return { kind: 'go', set: { state: 'finalizing', steps: { ...steps, looks: 0, done: 0 } } };
};

/** What the authority asks for, within bounds; else soon, and then less and less often. Seconds and milliseconds. */
export function nextLook(deps: ClientDeps, looks: number, retryAfter: number | undefined): number {
  const wanted = retryAfter === undefined || retryAfter === 0 ? 100 * 2 ** Math.min(looks, 10) : retryAfter * second;
  return deps.clock.now() + clamp(wanted, 100, 60 * second);
}

const finalize: Step = async (context) => {
  const { deps, row, steps, account, definition } = context;
  const answer = await ask(account, row.url ?? '');
  const order = readObject(orderSchema, answer.body, 'order');
  const looks = (steps.looks ?? 0) + 1;
  const wait = (retryAfter: number | undefined): StepOutcome => ({
    kind: 'wait',
    set: { steps: { ...steps, looks } },
    until: nextLook(deps, looks, retryAfter),
  });
  switch (order.status) {
    case 'invalid':
      return repeatOrFail(context, failedOrder(order, definition));
    case 'pending':
      // An authorization that was valid has ended since.
      return restart(context, 'The authority wants the names to be proved again.');
    case 'processing':
      return wait(answer.retryAfter);
    case 'valid':
      return downloadable(steps, order);
    case 'ready': {
      const csr = Buffer.from(row.csr).toString('base64url');
      const finalized = await ask(account, order.finalize, { csr });
      const after = readObject(orderSchema, finalized.body, 'order');
      if (after.status === 'valid') return downloadable(steps, after);
      if (after.status === 'invalid') return repeatOrFail(context, failedOrder(after, definition));
      return wait(finalized.retryAfter);
    }
  }
};

function downloadable(steps: OrderProgress, { certificate }: OrderObject): StepOutcome {
  if (certificate === undefined) throw new MalformedAnswer('The authority’s order is valid and names no certificate.');
  return { kind: 'go', set: { state: 'downloading', steps: { ...steps, certificate } } };
}

/** Another look at what the authority is doing. */
export function lookAgain({ deps, steps }: StepContext): StepOutcome {
  const looks = (steps.looks ?? 0) + 1;
  return { kind: 'wait', set: { steps: { ...steps, looks } }, until: nextLook(deps, looks, undefined) };
}

const mostRestarts = 3;

/** Begins anew at the authority, as when it has forgotten the order. */
export function restart({ row, steps, deps }: StepContext, reason: string): StepOutcome {
  const restarts = (steps.restarts ?? 0) + 1;
  if (restarts > mostRestarts) return { kind: 'fail', reason };
  const until = deps.clock.now() + restarts * second;
  const begun = { ...throughout(steps), restarts };
  const set = { state: 'created', url: null, steps: begun, give_up_at: endOfPatience(row) } as const;
  return { kind: 'retry', reason, set, until };
}

/** Takes TXT records away that the order, now ended, may have left. */
export async function cleanUp(
  deps: ClientDeps,
  row: OrderRow,
  definition: OrderDefinition,
  signal: AbortSignal,
): Promise<StepOutcome> {
  const left = await deps.store.all<ChallengeRow>(
    'SELECT * FROM acme_client_challenges WHERE order_id = ? AND published = 1 ORDER BY id LIMIT ?',
    [row.id, portion],
  );
  for (const { identifier, key_authorization: answer } of left) {
    const record = { name: recordName(identifier), value: dnsDigestOf(answer) };
    await deps.records.withdraw(row.namespace, definition.dns_provider ?? '', record, signal);
  }
  if (left.length < portion) return { kind: 'cleaned' };
  const gone = left.map(({ id }) => id);
  return { kind: 'go', set: {}, changes: [remove('acme_client_challenges', { id: gone })] };
}

/** Registers the key again at an authority that forgot the account. */
export function reRegistered(context: StepContext, url: string): StepOutcome {
  const { account, deps, steps } = context;
  const set = { url, updated_at: deps.clock.now() };
  const restarts = (steps.restarts ?? 0) + 1;
  if (restarts > mostRestarts) return { kind: 'fail', reason: 'The authority forgets the account again and again.' };
  return {
    kind: 'go',
    set: { state: 'created', url: null, steps: { ...throughout(steps), restarts } },
    changes: [
      update('acme_accounts', set, { id: account.row.id, url: account.row.url }, { add: { version: 1 }, expect: 1 }),
    ],
  };
}

export const stepOf: Readonly<Record<Exclude<OrderRow['state'], 'issued' | 'failed' | 'cancelled'>, Step>> = {
  created: begin,
  authorizing: authorize,
  publishing: publish,
  operator: waitForOperator,
  propagating: propagate,
  responding: respond,
  validating: validate,
  finalizing: finalize,
  downloading: deliver,
};
