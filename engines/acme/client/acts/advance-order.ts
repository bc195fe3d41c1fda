import { z } from 'zod';
import { AppError } from '#core/errors.ts';
import { defineAct } from '#core/operation.ts';
import { assertUsable, openAccount, register } from '#acme/client/account.ts';
import { TooLate, withDeadline } from '#acme/client/deadline.ts';
import type { ClientDeps } from '#acme/client/deps.ts';
import type { StepContext } from '#acme/client/order/context.ts';
import { type OrderDefinition, parseDefinition, parseProgress } from '#acme/client/order/definition.ts';
import { type StepOutcome, write } from '#acme/client/order/outcome.ts';
import { cleanUp, lookAgain, reRegistered, restart, stepOf } from '#acme/client/order/steps.ts';
import { type AccountRow, type CertificateRow, finalStates, type OrderRow } from '#acme/client/tables.ts';
import { DnsProviderError } from '#acme/dns/contract.ts';
import { clamp } from '#acme/client/wire/headers.ts';
import { AcmeProblem, explain, isTemporary } from '#acme/client/wire/problem.ts';

export const orderResource = ({ id }: { readonly id: string }) => `acme/orders/${id}`;

/** One step of one claimed order. What goes wrong at the authority is an outcome like others, written in the row. */
export const advanceOrder = defineAct({
  id: 'acme.advance_order',
  title: 'Advance an order',
  summary: 'Does the next step of an order at its authority.',
  input: z.strictObject({ id: z.string().max(64), claim: z.string().max(64) }),
  output: z.strictObject({
    state: z.string(),
    again: z.boolean().describe('Whether the next step can be done at once, by the same claim'),
  }),
  resource: orderResource,
  effect: 'mutating',
  openWorld: true,
  async run(_grant, input, deps: ClientDeps) {
    const row = await deps.store.first<OrderRow>('SELECT * FROM acme_client_orders WHERE id = ? AND claim = ?', [
      input.id,
      input.claim,
    ]);
    if (row === undefined) throw new AppError('conflict', 'The order was taken over or ended meanwhile.');
    const certificate =
      row.renewal === 0
        ? undefined
        : await deps.store.first<CertificateRow>('SELECT * FROM acme_certificates WHERE id = ?', [row.certificate_id]);
    const outcome = await step(deps, row);
    const written = write(row, certificate, outcome, deps.clock.now());
    return {
      output: { state: written.state, again: written.again },
      changes: written.changes,
      audit: {
        account: row.account,
        certificate: row.certificate_id,
        before: row.state,
        state: written.state,
        outcome: outcome.kind,
        ...('reason' in outcome ? { reason: outcome.reason.slice(0, 300) } : {}),
        ...('note' in outcome ? { note: outcome.note } : {}),
        ...(outcome.kind === 'repeat' ? { order: outcome.order } : {}),
      },
    };
  },
});

/** Milliseconds for all that a step asks of others; each exchange has its own bound as well. */
const longestStep = 60_000;

async function step(deps: ClientDeps, row: OrderRow): Promise<StepOutcome> {
  try {
    return await withDeadline(longestStep, (signal) => attempt(deps, row, signal));
  } catch (error) {
    if (!(error instanceof TooLate)) throw error;
    return isOver(row) ? retryCleaning(deps, row, error) : tryLater(deps, row, error);
  }
}

function isOver({ state }: OrderRow): boolean {
  return (finalStates as readonly string[]).includes(state);
}

async function attempt(deps: ClientDeps, row: OrderRow, signal: AbortSignal): Promise<StepOutcome> {
  const definition = parseDefinition(row);
  let context: StepContext | undefined;
  try {
    if (isOver(row)) return await cleanUp(deps, row, definition, signal);
    if (deps.clock.now() >= row.give_up_at) return { kind: 'fail', reason: givenUp(row, definition) };
    context = await contextOf(deps, row, definition, signal);
    return await stepOf[row.state as keyof typeof stepOf](context);
  } catch (error) {
    return isOver(row) ? retryCleaning(deps, row, error) : afterError(deps, row, context, error);
  }
}

async function contextOf(
  deps: ClientDeps,
  row: OrderRow,
  definition: OrderDefinition,
  signal: AbortSignal,
): Promise<StepContext> {
  const account = await deps.store.first<AccountRow>('SELECT * FROM acme_accounts WHERE id = ?', [row.account_id]);
  if (account === undefined) throw new AppError('not_found', `The ACME account ${row.account} is gone.`);
  assertUsable(account);
  return {
    deps,
    row,
    definition,
    steps: parseProgress(row),
    account: await openAccount(deps, account, signal),
    signal,
  };
}

function givenUp({ state, last_error: error }: OrderRow, { challenge }: OrderDefinition): string {
  if (state === 'operator') return `Nobody completed the ${challenge} challenge in time.`;
  return `The order was given up${error === null ? '' : `; at last: ${error}`}`;
}

async function afterError(
  deps: ClientDeps,
  row: OrderRow,
  context: StepContext | undefined,
  error: unknown,
): Promise<StepOutcome> {
  const reason = reasonOf(error);
  if (context !== undefined && error instanceof AcmeProblem) {
    const special = await knownProblem(context, error);
    if (special !== undefined) return special;
  }
  if (error instanceof AppError && (error.code === 'not_found' || error.code === 'wrong_state'))
    return { kind: 'fail', reason };
  if (error instanceof DnsProviderError && !error.isTemporary) return { kind: 'fail', reason };
  if (explain(error) !== undefined && !isTemporary(error)) return { kind: 'fail', reason };
  return tryLater(deps, row, error);
}

function tryLater(deps: ClientDeps, row: OrderRow, error: unknown): StepOutcome {
  return { kind: 'retry', reason: reasonOf(error), until: deps.clock.now() + pauseAfter(row.attempts + 1, error) };
}

/** Refusals that another request can answer. */
async function knownProblem(context: StepContext, error: AcmeProblem): Promise<StepOutcome | undefined> {
  const { row, account } = context;
  const { type, status } = error.facts;
  if (type === 'accountDoesNotExist' && account.definition.re_register) {
    const url = await register(account.connection, account.signer.key, account.definition).catch(() => undefined);
    return url === undefined ? undefined : reRegistered(context, url);
  }
  if (isTemporary(error)) return undefined;
  // RFC 9773 §5: a refusal because of it must not stand in the way of the renewal.
  if (row.state === 'created' && row.replaces !== null) return { kind: 'go', set: { replaces: null } };
  // The answer to the finalization before was lost: the order says how far it is.
  if (type === 'orderNotReady' && row.state === 'finalizing') return lookAgain(context);
  return status === 404 && row.state !== 'created' ? restart(context, error.message) : undefined;
}

function retryCleaning(deps: ClientDeps, row: OrderRow, error: unknown): StepOutcome {
  const attempts = row.attempts + 1;
  const reason = `A TXT record of this order could not be taken away: ${reasonOf(error)}`;
  if (attempts >= mostCleanings) return { kind: 'cleaned' };
  return { kind: 'retry', reason, until: deps.clock.now() + pauseAfter(attempts, error) };
}

/** One sentence, which may be shown. */
function reasonOf(error: unknown): string {
  if (error instanceof AppError || error instanceof DnsProviderError) return error.message;
  return explain(error) ?? 'An internal error stopped this step; the log has the details.';
}

const second = 1000;
const minute = 60 * second;
const pauses = [2 * second, 5 * second, 15 * second, minute, 5 * minute, 15 * minute];
const longestPause = 60 * minute;
const mostCleanings = 50;

/** Milliseconds: an authority that says when is heard, within a minute and a day. */
function pauseAfter(attempts: number, error: unknown): number {
  const pause = Math.round((pauses[attempts - 1] ?? longestPause) * (0.8 + 0.4 * Math.random()));
  if (!(error instanceof AcmeProblem)) return pause;
  const { retryAfter, type, status } = error.facts;
  const limited = type === 'rateLimited' || status === 429;
  const asked = retryAfter === undefined ? (limited ? minute : 0) : retryAfter * second;
  return asked === 0 ? pause : Math.max(pause, clamp(asked, limited ? minute : second, 1440 * minute));
}
