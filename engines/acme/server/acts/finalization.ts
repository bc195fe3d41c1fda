import { createPublicKey } from 'node:crypto';
import { z } from 'zod';
import { type Change, update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import type { CertificatePlan, CertificateRequestFacts } from '#core/issuer.ts';
import { defineAct } from '#core/operation.ts';
import type { Identifier } from '#acme/challenge/contract.ts';
import { decodeBase64url } from '#acme/jose/base64url.ts';
import { jwkOf } from '#acme/jose/jwk.ts';
import { assertCaa } from '#acme/server/caa.ts';
import { issuanceClaim } from '#acme/server/claims.ts';
import type { ServerDeps } from '#acme/server/deps.ts';
import { sameIdentifiers } from '#acme/server/identifiers.ts';
import { orderOf, type Subscriber } from '#acme/server/certificate-order.ts';
import { issueFor } from '#acme/server/issuance.ts';
import { limitedEnd, mayIssue } from '#acme/server/permission.ts';
import { AcmeError } from '#acme/server/problem.ts';
import {
  authorizationsOf,
  identifiersOf,
  type LinkedAuthorization,
  orderStatus,
  requireAccount,
  requireOrder,
} from '#acme/server/records.ts';
import type { OrderRow } from '#acme/server/tables.ts';
import { accountId, claim, orderId, requireDirectory, sourceAddress } from './fields.ts';
import { issuingRoleOf } from './orders.ts';

/** Finalizing an order (RFC 8555 §7.4): first it is on record what will be issued, then it is issued. */

const outcome = z.strictObject({ status: z.enum(['valid', 'invalid', 'processing', 'gone']) });

export const acceptFinalization = defineAct({
  id: 'acme.accept_finalization',
  title: 'Finalize an ACME order',
  summary: 'Takes the CSR of an order that is ready, and issues its certificate by the role of the PKI.',
  input: z.strictObject({
    account_id: accountId,
    order_id: orderId,
    csr: z.string().max(65_536).describe('PKCS#10, DER in base64url'),
    claim,
    source_address: sourceAddress,
  }),
  output: outcome,
  effect: 'additive',
  openWorld: true,
  resource: ({ order_id }) => `acme/subscriber-orders/${order_id}`,
  async intend(grant, input, deps: ServerDeps) {
    const { now } = grant;
    const account = await requireAccount(deps.store, grant.namespace, input.account_id);
    const order = await requireOrder(deps.store, account, input.order_id);
    const authorizations = await authorizationsOf(deps.store, order.id);
    assertReady(order, authorizations, now);
    const csr = decodeBase64url(input.csr, 'The csr');
    const request = readCsr(deps, csr);
    assertSameNames(identifiersOf(order), request);
    await assertNoAccountKey(deps, grant.namespace, request);
    const directory = await requireDirectory(deps, account.namespace, account.role);
    if (issuingRoleOf(directory, order.profile) !== order.issuing_role)
      throw new AcmeError('invalidProfile', 'The profile of the order means another role by now: order again.');
    const limits = await mayIssue(deps, directory, account, order.issuing_role, input.source_address, now);
    await assertCaa(deps, directory, order, now);
    const asked: OrderRow = { ...order, csr, end_at: order.not_after };
    const planned = await planWithName(deps, asked, account, request);
    const capped = limitedEnd(planned.notAfter, limits, now);
    const set = {
      status: 'processing' as const,
      csr,
      end_at: capped ?? order.not_after,
      common_name: planned.commonName,
      claim: input.claim,
      next_attempt_at: now + issuanceClaim,
      finalized_at: now,
      finalized_from: input.source_address,
    };
    return {
      plan: { ...order, ...set },
      changes: [
        update('acme_server_orders', set, { id: order.id, status: 'open' }, { expect: 1, otherwise: notReady }),
        stillAuthorized(authorizations, now),
      ],
      audit: { account: account.id, account_principal: account.principal, order: order.id },
    };
  },
  async run(grant, _input, deps: ServerDeps, plan: OrderRow) {
    const { status, changes, audit } = await issueFor(deps, plan, grant.now);
    return { output: { status }, changes, audit: { account: plan.account_id, order: plan.id, ...audit } };
  },
});

function assertReady(order: OrderRow, authorizations: readonly LinkedAuthorization[], now: number): void {
  const status = orderStatus(order, authorizations, now);
  if (status !== 'ready') throw new AcmeError('orderNotReady', `The order is ${status}, and not ready.`);
}

function notReady(): AcmeError {
  return new AcmeError('orderNotReady', 'The order was finalized by another request just now.');
}

/** An authorization that was deactivated between reading and committing holds the order up. */
function stillAuthorized(authorizations: readonly LinkedAuthorization[], now: number): Change {
  const where = { id: authorizations.map(({ id }) => id), status: 'valid', expires_at: { gt: now } };
  return update('acme_server_authorizations', { status: 'valid' }, where, {
    expect: authorizations.length,
    otherwise: () => new AcmeError('orderNotReady', 'An authorization of the order has ended.'),
  });
}

/** Extensions that a CSR may ask for although the role alone says what the certificate has: tools write them unasked. */
const tolerated: ReadonlySet<string> = new Set([
  'basicConstraints',
  'keyUsage',
  'extendedKeyUsage',
  'subjectKeyIdentifier',
]);

function readCsr({ issuer }: ServerDeps, der: Uint8Array): CertificateRequestFacts {
  try {
    const request = issuer.readRequest(der);
    const other = request.otherExtensions.find((extension) => !tolerated.has(extension));
    if (other !== undefined) throw badCsr(`The CSR asks for the extension ${other}, which is not issued by ACME here.`);
    return request;
  } catch (error) {
    if (error instanceof AcmeError || !(error instanceof AppError) || error.status >= 500) throw error;
    throw badCsr(error.message);
  }
}

/** RFC 8555 §7.4: exactly the names of the order, each as alternative name or common name. */
function assertSameNames(ordered: readonly Identifier[], request: CertificateRequestFacts): void {
  if (request.otherNames > 0) throw badCsr('The CSR asks for names that are neither DNS names nor addresses.');
  const dns = request.dnsNames.map((value): Identifier => ({ type: 'dns', value: value.toLowerCase() }));
  const addresses = request.ipAddresses.map((value): Identifier => ({ type: 'ip', value }));
  const common = request.commonNames.map((text): Identifier => {
    const isAddress = ordered.some(({ type, value }) => type === 'ip' && value === text);
    return isAddress ? { type: 'ip', value: text } : { type: 'dns', value: text.toLowerCase() };
  });
  if (sameIdentifiers(ordered, [...dns, ...addresses, ...common])) return;
  throw badCsr('The CSR does not hold exactly the names of the order.');
}

/** RFC 8555 §11.1: the key of an account is used for nothing else. */
async function assertNoAccountKey(
  { store }: ServerDeps,
  namespace: string,
  { spki }: CertificateRequestFacts,
): Promise<void> {
  const thumbprint = thumbprintOfSpki(spki);
  if (thumbprint === undefined) return;
  const account = await store.first(
    'SELECT id FROM acme_server_accounts WHERE namespace = ? AND thumbprint = ? LIMIT 1',
    [namespace, thumbprint],
  );
  if (account !== undefined) throw badCsr('The key of the CSR is the key of an account.');
}

/** Undefined for a key that no account can have. */
function thumbprintOfSpki(spki: Uint8Array): string | undefined {
  try {
    return jwkOf(createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })).thumbprint;
  } catch {
    return undefined;
  }
}

const longestCommonName = 64;

/**
 * The end of the certificate as the role plans it. Throws `badCSR` for what it refuses. Most clients send no common name
 * any more: a role that wants one gets a name of the order.
 */
async function planWithName(
  { issuer }: ServerDeps,
  row: OrderRow,
  account: Subscriber,
  request: CertificateRequestFacts,
): Promise<{ readonly notAfter: number; readonly commonName: string | null }> {
  const first = await issuer.plan(orderOf(row, account));
  if (first.notAfter !== undefined) return { notAfter: first.notAfter, commonName: null };
  const lacking = first.refusals.every(({ rule }) => rule === 'require_common_name');
  const [name] = identifiersOf(row).filter(({ value }) => value.length <= longestCommonName);
  if (!lacking || name === undefined || request.commonNames.length > 0) throw refused(first);
  const second = await issuer.plan({ ...orderOf(row, account), commonName: name.value });
  if (second.notAfter === undefined) throw refused(second);
  return { notAfter: second.notAfter, commonName: name.value };
}

function refused({ refusals, advice }: CertificatePlan): AcmeError {
  return badCsr(refusals[0]?.message ?? advice);
}

function badCsr(detail: string): AcmeError {
  return new AcmeError('badCSR', detail);
}

export const resumeIssuance = defineAct({
  id: 'acme.resume_issuance',
  title: 'Go on with the issuance of an order',
  summary: 'Issues the certificate of an order that was finalized, where the node that began it did not end it.',
  input: z.strictObject({ order_id: orderId, claim }),
  output: outcome,
  effect: 'additive',
  openWorld: true,
  resource: ({ order_id }) => `acme/subscriber-orders/${order_id}`,
  async run(grant, input, deps: ServerDeps) {
    const row = await deps.store.first<OrderRow>(
      `SELECT * FROM acme_server_orders WHERE id = ? AND namespace = ? AND claim = ? AND status = 'processing'`,
      [input.order_id, grant.namespace, input.claim],
    );
    if (row === undefined) return { output: { status: 'gone' as const } };
    const { status, changes, audit } = await issueFor(deps, row, grant.now);
    return { output: { status }, changes, audit: { account: row.account_id, order: row.id, ...audit } };
  },
});
