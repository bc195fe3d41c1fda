import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { type Change, insert, update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { newId } from '#core/ids.ts';
import { defineOperation } from '#core/operation.ts';
import { cutPage, decodeCursor, nextCursor, pageInput } from '#core/page.ts';
import { assertAllowed } from '#acme/client/allowed-names.ts';
import { assertUsable, requireAccount } from '#acme/client/account.ts';
import { orderResource } from '#acme/client/acts/advance-order.ts';
import type { ClientDeps } from '#acme/client/deps.ts';
import { sameNames } from '#acme/client/identifiers.ts';
import {
  type CreateOrderInput,
  createOrderInput,
  definitionOf,
  type OrderDefinition,
  parseDefinition,
  waitSeconds,
} from '#acme/client/order/definition.ts';
import { newOrder } from '#acme/client/order/new-order.ts';
import { reachOrdered } from '#acme/client/certificate-view.ts';
import { ended } from '#acme/client/order/outcome.ts';
import { orderOutput, viewOrder } from '#acme/client/order/view.ts';
import { providerResource, requireProvider } from '#acme/client/dns-provider.ts';
import {
  type AccountRow,
  type AcmeClientTables,
  type CertificateRow,
  finalStates,
  openStates,
  type OrderRow,
} from '#acme/client/tables.ts';
import { type ReadRequest, readRequest } from '#acme/client/x509/request.ts';

/** Orders at outside authorities. The request only puts one on record; a worker takes it through its steps. */

const id = z
  .string()
  .max(64)
  .regex(/^aco_[0-9a-z]+$/, 'is not the id of an order')
  .describe('Id of the order');
const named = z.strictObject({ id });

export const createOrder = defineOperation({
  id: 'acme.create_order',
  title: 'Order a certificate',
  summary:
    'Orders a certificate from an outside authority by ACME, and renews it from then on. It answers at once with the state and, in next, what waits for whom; with wait it answers when the order has ended.',
  input: createOrderInput,
  output: orderOutput.extend({
    hook_secret: z.string().optional().describe('Key of the signatures of the hook; shown this once'),
  }),
  http: { method: 'POST', path: '/acme/orders', status: 201 },
  cli: { arguments: ['account'] },
  effect: 'additive',
  openWorld: true,
  sensitive: ['hook_secret'],
  // What an order may cost or bring is that of its account, so a policy names accounts.
  resource: (input) => `acme/accounts/${input.account}`,
  facts: (input) => ({ purpose: input.purpose }),
  async intend(grant, input, deps: ClientDeps) {
    const account = await requireAccount(deps.store, grant.namespace, input.account);
    assertUsable(account);
    await assertRoom(deps, account);
    const definition = await assertProvable(deps, grant, definitionOf(input));
    assertAllowed(account, definition.identifiers);
    const csr = requestOf(input, definition);
    const certificateId = newId('acc', grant.now);
    const made = await newOrder(deps, grant, { account, certificateId, definition, csr: csr?.der });
    return {
      plan: made,
      changes: [insert('acme_client_orders', { ...made.row })],
      audit: {
        account: account.name,
        directory: account.directory,
        identifiers: definition.identifiers
          .map(({ value }) => value)
          .join(' ')
          .slice(0, 500),
        challenge: definition.challenge,
        renew: definition.renew,
      },
    };
  },
  async run(grant, input, deps, { row, hookSecret }) {
    deps.wake();
    const now = await waitForEnd(deps, grant, row, input.wait);
    return {
      output: { ...viewOrder(now), ...(hookSecret === undefined ? {} : { hook_secret: hookSecret }) },
      audit: { order: row.id, certificate: row.certificate_id, state: now.state },
    };
  },
});

/** Orders of one account that may be under way at once. */
const mostOpen = 300;

async function assertRoom({ store }: ClientDeps, account: AccountRow): Promise<void> {
  const row = await store.first<{ count: number }>(
    'SELECT COUNT(*) AS count FROM acme_client_orders WHERE account_id = ? AND ended_at IS NULL',
    [account.id],
  );
  if ((row?.count ?? 0) < mostOpen) return;
  throw new AppError(
    'rate_limited',
    `${mostOpen} orders of the account ${account.name} are under way, which is the most.`,
    {
      hint: 'Wait for them, or cancel those that are not wanted.',
      retryAfter: 60,
    },
  );
}

/** A provider that leaves the publishing to people is none. */
async function assertProvable(deps: ClientDeps, grant: Grant, definition: OrderDefinition): Promise<OrderDefinition> {
  if (definition.challenge === 'tls-alpn-01' && !deps.answersTlsAlpn)
    throw new AppError('wrong_state', 'This server does not answer tls-alpn-01.', {
      hint: 'Set CHANCERY_ACME_TLS_ALPN_LISTEN to where port 443 of these names leads, or use another challenge.',
    });
  const { dns_provider: provider, ...others } = definition;
  if (provider === undefined) return definition;
  grant.reach(providerResource({ name: provider }));
  const { kind } = await requireProvider(deps.store, grant.namespace, provider);
  return kind === 'manual' ? others : definition;
}

function requestOf(input: CreateOrderInput, { identifiers }: OrderDefinition): ReadRequest | undefined {
  if (input.csr === undefined) return undefined;
  let request: ReadRequest;
  try {
    request = readRequest(input.csr);
  } catch {
    throw new AppError('invalid_request', 'The CSR is not a PKCS #10 request in PEM with DNS names and IP addresses.', {
      details: [{ at: '/csr', message: 'cannot be read' }],
      hint: 'Make one with openssl req -new -key KEY -subj / -addext subjectAltName=DNS:NAME.',
    });
  }
  if (sameNames(request.identifiers, identifiers)) return request;
  throw new AppError('invalid_request', 'The CSR is for other names than the order (RFC 8555 section 7.4).', {
    details: [
      {
        at: '/csr',
        message: `holds ${request.identifiers
          .map(({ value }) => value)
          .join(', ')
          .slice(0, 200)}`,
      },
    ],
  });
}

const pollEvery = 100;

/** Until it has ended, waits for somebody, or the time is over. */
export async function waitForEnd(deps: ClientDeps, grant: Grant, row: OrderRow, seconds: number): Promise<OrderRow> {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const now = await requireOrder(deps, grant, row.id);
    if (now.ended_at !== null || now.state === 'operator' || performance.now() >= deadline) return now;
    // Nobody waits any more; the work goes on.
    if (grant.signal?.aborted === true) return now;
    await sleep(pollEvery);
  }
}

/** Throws `not_found`, for an order of another namespace as for none. */
async function requireOrder({ store }: ClientDeps, grant: Grant, orderId: string): Promise<OrderRow> {
  const row = await store.first<OrderRow>('SELECT * FROM acme_client_orders WHERE id = ? AND namespace = ?', [
    orderId,
    grant.namespace,
  ]);
  if (row !== undefined) {
    reachOrdered(grant, row);
    return row;
  }
  throw new AppError('not_found', 'There is no such ACME order in this namespace.', {
    hint: 'acme.list_orders lists them; those that ended are kept for 30 days.',
  });
}

async function ownerOf(namespace: string, input: { readonly id: string }, deps: ClientDeps) {
  const row = await deps.store.first<{ principal: string }>(
    'SELECT principal FROM acme_client_orders WHERE id = ? AND namespace = ?',
    [input.id, namespace],
  );
  return row?.principal;
}

export const getOrder = defineOperation({
  id: 'acme.get_order',
  title: 'Get an order',
  summary: 'Shows an order: its state, and in next what waits for whom, what to do, and until when.',
  input: named.extend({ wait: waitSeconds }),
  output: orderOutput,
  http: { method: 'GET', path: '/acme/orders/{id}' },
  effect: 'read',
  owner: ownerOf,
  resource: orderResource,
  async run(grant, input, deps: ClientDeps) {
    const row = await requireOrder(deps, grant, input.id);
    return { output: viewOrder(await waitForEnd(deps, grant, row, input.wait)) };
  },
});

export const listOrders = defineOperation({
  id: 'acme.list_orders',
  title: 'List orders',
  summary: 'Lists orders at outside authorities, newest first.',
  input: z.strictObject({
    state: z
      .enum(['open', ...openStates, ...finalStates])
      .optional()
      .describe('Only those in this state; open: all that have not ended'),
    account: z.string().max(63).optional().describe('Only those of this account'),
    ...pageInput,
  }),
  output: z.strictObject({ orders: z.array(orderOutput), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/acme/orders' },
  cli: { columns: ['id', 'identifiers', 'account', 'challenge', 'state', 'error'] },
  effect: 'read',
  resource: () => 'acme/orders',
  async run(grant, input, deps: ClientDeps) {
    let query = deps.store
      .tables<AcmeClientTables>()
      .selectFrom('acme_client_orders')
      .selectAll()
      .where('namespace', '=', grant.namespace);
    if (input.state === 'open') query = query.where('ended_at', 'is', null);
    else if (input.state !== undefined) query = query.where('state', '=', input.state);
    if (input.account !== undefined) query = query.where('account', '=', input.account);
    if (input.cursor !== undefined) query = query.where('id', '<', decodeCursor(input.cursor, 'string'));
    const rows = await query
      .orderBy('id', 'desc')
      .limit(input.limit + 1)
      .execute();
    const page = cutPage(rows, input.limit, (row) => row.id);
    return { output: { orders: page.items.map(viewOrder), next_cursor: page.next_cursor } };
  },
});

/** Where nobody here can see the records, as with split DNS, to say it again has the authority look. */
const completed: Partial<Record<OrderRow['state'], OrderRow['state']>> = {
  operator: 'propagating',
  propagating: 'responding',
};

export const completeOrder = defineOperation({
  id: 'acme.complete_order',
  title: 'Go on with an order',
  summary:
    'Says that the TXT records of an order have been published; said again, the authority validates although this server cannot see them. With an order that waits to try again, it makes the next try now.',
  input: named.extend({ wait: waitSeconds }),
  output: orderOutput,
  http: { method: 'POST', path: '/acme/orders/{id}/complete' },
  effect: 'mutating',
  idempotent: true,
  openWorld: true,
  owner: ownerOf,
  resource: orderResource,
  async intend(grant, input, deps: ClientDeps) {
    const row = await requireOrder(deps, grant, input.id);
    if (row.ended_at !== null) throw hasEnded(row);
    const set = {
      ...(completed[row.state] === undefined ? {} : { state: completed[row.state] ?? row.state }),
      next_action_at: grant.now,
      updated_at: grant.now,
    };
    // One that is being worked on goes on by itself.
    const where = { id: row.id, state: row.state, claim: null };
    const changes: Change[] = row.claim === null ? [update('acme_client_orders', set, where, { expect: 1 })] : [];
    return { plan: row, changes };
  },
  async run(grant, input, deps, row) {
    deps.wake();
    return { output: viewOrder(await waitForEnd(deps, grant, row, input.wait)) };
  },
});

function hasEnded({ state }: OrderRow): AppError {
  return new AppError('wrong_state', `The order has ended already: it is ${state}.`, {
    hint:
      state === 'issued'
        ? 'acme.download_certificate fetches what was issued, acme.revoke_certificate revokes it.'
        : 'acme.create_order makes another.',
  });
}

export const cancelOrder = defineOperation({
  id: 'acme.cancel_order',
  title: 'Cancel an order',
  summary: 'Ends an order that is under way. A certificate that it was to renew stays, and is tried again later.',
  input: named,
  output: orderOutput,
  http: { method: 'POST', path: '/acme/orders/{id}/cancel' },
  effect: 'destructive',
  idempotent: true,
  owner: ownerOf,
  resource: orderResource,
  async run(grant, input, deps: ClientDeps) {
    const row = await requireOrder(deps, grant, input.id);
    if (row.state === 'cancelled') return { output: viewOrder(row) };
    if (row.ended_at !== null) throw hasEnded(row);
    const certificate =
      row.renewal === 0
        ? undefined
        : await deps.store.first<CertificateRow>('SELECT * FROM acme_certificates WHERE id = ?', [row.certificate_id]);
    const end = ended(row, certificate, 'cancelled', null, grant.now);
    const shown = { ...row, state: 'cancelled', ended_at: grant.now, last_error: null, attempts: 0 } as const;
    return {
      output: viewOrder({ ...shown, next_action_at: null }),
      changes: end.changes,
      audit: { before: row.state, identifiers: parseDefinition(row).identifiers.length },
    };
  },
});
