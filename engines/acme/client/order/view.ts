import { z } from 'zod';
import { toRfc3339 } from '#core/clock.ts';
import { finalStates, openStates, type OrderRow } from '#acme/client/tables.ts';
import { type ChallengeType, type OrderProgress, parseDefinition, parseProgress } from './definition.ts';
import { mostOrders } from './repeat.ts';

/** An order as it is shown: what it is, and what waits for whom. */

const record = z.strictObject({
  type: z.literal('TXT'),
  name: z.string().describe('Owner name of the record, without a dot at the end'),
  value: z.string(),
});

const next = z.strictObject({
  waiting_for: z
    .enum(['chancery', 'authority', 'dns', 'operator', 'nobody'])
    .describe('Who must do something now; operator: you'),
  action: z.string().describe('What is done next, or what you are to do'),
  until: z.string().nullable().describe('When this server looks again, or when it gives up waiting for you'),
  records: z
    .array(record)
    .describe('TXT records that you are to publish, or have, all of them, beside what stands there already'),
});

export const orderOutput = z.strictObject({
  id: z.string(),
  account: z.string(),
  certificate_id: z.string().describe('The certificate, which exists as soon as the state is issued'),
  state: z.enum([...openStates, ...finalStates]),
  identifiers: z.array(z.string()),
  challenge: z.string(),
  dns_provider: z.string().nullable(),
  profile: z.string().nullable(),
  renewal: z.boolean().describe('Whether it renews a certificate that is there'),
  url: z.string().nullable().describe('What the authority calls the order'),
  next,
  error: z.string().nullable().describe('What went wrong last'),
  attempts: z
    .int()
    .describe('Failures so far: those in a row of what is done now, and orders that the authority made invalid'),
  give_up_at: z.string().nullable().describe('When it fails if it has not ended by then; null: it has'),
  created_at: z.string(),
  updated_at: z.string(),
  ended_at: z.string().nullable(),
});
export type OrderView = z.output<typeof orderOutput>;

export function viewOrder(row: OrderRow): OrderView {
  const definition = parseDefinition(row);
  const progress = parseProgress(row);
  const { failed } = progress;
  const error = row.last_error ?? (row.ended_at === null ? (failed?.reason ?? null) : null);
  return {
    id: row.id,
    account: row.account,
    certificate_id: row.certificate_id,
    state: row.state,
    identifiers: definition.identifiers.map(({ value }) => value),
    challenge: definition.challenge,
    dns_provider: definition.dns_provider ?? null,
    profile: definition.profile ?? null,
    renewal: row.renewal === 1,
    url: row.url,
    next: nextOf(row, progress, definition.challenge),
    error,
    attempts: row.attempts + (failed?.orders ?? 0),
    give_up_at: row.ended_at === null ? toRfc3339(row.give_up_at) : null,
    created_at: toRfc3339(row.created_at),
    updated_at: toRfc3339(row.updated_at),
    ended_at: row.ended_at === null ? null : toRfc3339(row.ended_at),
  };
}

type Next = z.output<typeof next>;
type Waiting = Pick<Next, 'waiting_for' | 'action'>;

const waiting: Readonly<Record<OrderRow['state'], Waiting>> = {
  created: { waiting_for: 'chancery', action: 'The order is sent to the authority.' },
  authorizing: { waiting_for: 'chancery', action: 'The authority is asked what proof it wants.' },
  publishing: { waiting_for: 'chancery', action: 'TXT records are published by the DNS provider.' },
  operator: {
    waiting_for: 'operator',
    action: 'Publish these TXT records, wait until they are visible, and then call acme.complete_order.',
  },
  propagating: {
    waiting_for: 'dns',
    action:
      'The resolvers of this server do not show the TXT records yet; acme.complete_order has the authority look all the same.',
  },
  responding: { waiting_for: 'chancery', action: 'The authority is told that it may validate the challenges.' },
  validating: { waiting_for: 'authority', action: 'The authority validates the challenges.' },
  finalizing: { waiting_for: 'authority', action: 'The authority issues the certificate.' },
  downloading: { waiting_for: 'chancery', action: 'The certificate is fetched and checked.' },
  issued: { waiting_for: 'nobody', action: 'Fetch the certificate, and its key once, with acme.download_certificate.' },
  failed: { waiting_for: 'nobody', action: 'Put right what error says, and order again.' },
  cancelled: { waiting_for: 'nobody', action: 'Order again if the certificate is wanted after all.' },
};

function nextOf(row: OrderRow, { challenges = [], failed }: OrderProgress, challenge: ChallengeType): Next {
  const isOver = row.ended_at !== null;
  const shown = row.state === 'operator' || (row.state === 'propagating' && row.dns_provider === null);
  const records = shown ? challenges.flatMap(({ record: each }) => (each ? [each] : [])) : [];
  const stalled = row.attempts > 0 && !isOver;
  const { waiting_for: whom, action } = stalled ? retrying(waiting[row.state]) : waiting[row.state];
  const more = [isOver ? undefined : countOf(failed), notProved(row, challenge) ? needs[challenge] : undefined];
  return {
    waiting_for: whom,
    action: [action, ...more.filter((each) => each !== undefined)].join(' '),
    until: isOver || row.next_action_at === null ? null : toRfc3339(row.next_action_at),
    records: records.map((each) => ({ type: 'TXT', ...each })),
  };
}

function retrying({ waiting_for: whom, action }: Waiting): Waiting {
  return { waiting_for: whom, action: `${action} That failed, and is tried again.` };
}

/** RFC 8555 §7.1.6: what the authority made invalid is ordered anew. */
function countOf(failed: OrderProgress['failed']): string | undefined {
  if (failed === undefined) return undefined;
  return `The authority made the order before invalid; this one is ${failed.orders + 1} of at most ${mostOrders}.`;
}

/** What must be so for a proof, which is what is wrong most often. */
const needs: Readonly<Record<ChallengeType, string>> = {
  'http-01': 'Port 80 of every name must lead to this server, or to its CHANCERY_PUBLIC_LISTEN.',
  'tls-alpn-01': 'Port 443 of every name must lead to CHANCERY_ACME_TLS_ALPN_LISTEN of this server.',
  'dns-01': 'Every server of the zone must show the TXT records.',
};

function notProved({ last_error: error, state }: OrderRow, challenge: ChallengeType): boolean {
  return (state === 'failed' || state === 'created') && (error?.includes(` is invalid: ${challenge}: `) ?? false);
}
