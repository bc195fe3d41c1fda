import type { Identifier } from '#acme/challenge/contract.ts';
import { toRfc3339 } from '#core/clock.ts';
import type { Store } from '#storage/store.ts';
import type { Directory } from './directories.ts';
import { AcmeError, notYours } from './problem.ts';
import type { AccountRow, AuthorizationRow, CertificateRow, ChallengeRow, OrderRow } from './tables.ts';

/** Reading the objects of the protocol, and showing them as RFC 8555 §7.1 says. */

export type Place = Pick<Directory, 'namespace' | 'role'>;

export function findAccount(store: Store, { namespace, role }: Place, id: string): Promise<AccountRow | undefined> {
  return store.first<AccountRow>('SELECT * FROM acme_server_accounts WHERE id = ? AND namespace = ? AND role = ?', [
    id,
    namespace,
    role,
  ]);
}

export function findAccountByKey(store: Store, place: Place, thumbprint: string): Promise<AccountRow | undefined> {
  return store.first<AccountRow>(
    'SELECT * FROM acme_server_accounts WHERE namespace = ? AND thumbprint = ? AND role = ?',
    [place.namespace, thumbprint, place.role],
  );
}

/** RFC 8555 §7.3.6: an account that was deactivated does nothing any more. Throws `unauthorized` with status 401. */
export function assertUsable(account: AccountRow): void {
  if (account.status === 'valid') return;
  throw new AcmeError('unauthorized', `The account is ${account.status}.`, { status: 401 });
}

/** An account was let in for the role as it was then; one that was deleted and made anew is another. */
export function assertOfRole({ created_at: made }: AccountRow, { since }: { readonly since: number }): void {
  if (made >= since) return;
  throw new AcmeError('unauthorized', 'The account is of an earlier role of this name. Register with another key.', {
    status: 401,
  });
}

/** An account as it is now, and may act. Throws `accountDoesNotExist` or `unauthorized`. */
export async function requireAccount(store: Store, namespace: string, id: string): Promise<AccountRow> {
  const row = await store.first<AccountRow>('SELECT * FROM acme_server_accounts WHERE id = ? AND namespace = ?', [
    id,
    namespace,
  ]);
  if (row === undefined) throw new AcmeError('accountDoesNotExist', 'There is no account of this URL.');
  assertUsable(row);
  return row;
}

type Owner = Pick<AccountRow, 'id' | 'namespace'>;

/** Throws `unauthorized` for one of another account, as for none. */
export async function requireOrder(store: Store, owner: Owner, id: string): Promise<OrderRow> {
  const row = await store.first<OrderRow>(
    'SELECT * FROM acme_server_orders WHERE id = ? AND account_id = ? AND namespace = ?',
    [id, owner.id, owner.namespace],
  );
  if (row === undefined) throw notYours('order');
  return row;
}

export async function requireAuthorization(store: Store, owner: Owner, id: string): Promise<AuthorizationRow> {
  const row = await store.first<AuthorizationRow>(
    'SELECT * FROM acme_server_authorizations WHERE id = ? AND account_id = ? AND namespace = ?',
    [id, owner.id, owner.namespace],
  );
  if (row === undefined) throw notYours('authorization');
  return row;
}

export async function requireChallenge(
  store: Store,
  owner: Owner,
  id: string,
): Promise<{ readonly challenge: ChallengeRow; readonly authorization: AuthorizationRow }> {
  const challenge = await store.first<ChallengeRow>(
    'SELECT * FROM acme_server_challenges WHERE id = ? AND namespace = ?',
    [id, owner.namespace],
  );
  if (challenge === undefined) throw notYours('challenge');
  const authorization = await store.first<AuthorizationRow>(
    'SELECT * FROM acme_server_authorizations WHERE id = ? AND account_id = ? AND namespace = ?',
    [challenge.authorization_id, owner.id, owner.namespace],
  );
  if (authorization === undefined) throw notYours('challenge');
  return { challenge, authorization };
}

export async function requireIssued(store: Store, owner: Owner, id: string): Promise<CertificateRow> {
  const row = await store.first<CertificateRow>(
    'SELECT * FROM acme_server_certificates WHERE id = ? AND account_id = ? AND namespace = ?',
    [id, owner.id, owner.namespace],
  );
  if (row === undefined) throw notYours('certificate');
  return row;
}

export type LinkedAuthorization = Pick<AuthorizationRow, 'id' | 'status' | 'expires_at'>;

/** The authorizations of an order, in the order of its identifiers. */
export function authorizationsOf(store: Store, orderId: string): Promise<LinkedAuthorization[]> {
  return store.all<LinkedAuthorization>(
    `SELECT l.authorization_id AS id, COALESCE(a.status, 'deactivated') AS status, COALESCE(a.expires_at, 0) AS expires_at
     FROM acme_server_order_authorizations l LEFT JOIN acme_server_authorizations a ON a.id = l.authorization_id
     WHERE l.order_id = ? ORDER BY l.position`,
    [orderId],
  );
}

export function challengesOf(store: Store, authorizationId: string): Promise<ChallengeRow[]> {
  return store.all<ChallengeRow>('SELECT * FROM acme_server_challenges WHERE authorization_id = ? ORDER BY position', [
    authorizationId,
  ]);
}

export type OrderStatus = 'pending' | 'ready' | 'processing' | 'valid' | 'invalid';

/** RFC 8555 §7.1.6. */
export function orderStatus(
  order: Pick<OrderRow, 'status' | 'expires_at'>,
  authorizations: readonly LinkedAuthorization[],
  now: number,
): OrderStatus {
  if (order.status !== 'open') return order.status;
  if (order.expires_at <= now) return 'invalid';
  const states = authorizations.map((each) => authorizationStatus(each, now));
  if (states.some((state) => state !== 'valid' && state !== 'pending')) return 'invalid';
  return states.every((state) => state === 'valid') ? 'ready' : 'pending';
}

export type AuthorizationStatus = AuthorizationRow['status'] | 'expired';

/** What was never fulfilled in time is invalid; what was valid is expired (RFC 8555 §7.1.6). */
export function authorizationStatus(
  { status, expires_at }: Pick<AuthorizationRow, 'status' | 'expires_at'>,
  now: number,
): AuthorizationStatus {
  if (expires_at > now) return status;
  if (status === 'valid') return 'expired';
  return status === 'pending' ? 'invalid' : status;
}

export function identifiersOf(row: Pick<OrderRow | CertificateRow, 'identifiers'>): readonly Identifier[] {
  return JSON.parse(row.identifiers) as Identifier[];
}

export function viewAccount(directory: Directory, row: AccountRow): Record<string, unknown> {
  const contact = JSON.parse(row.contact) as string[];
  return {
    status: row.status,
    ...(contact.length === 0 ? {} : { contact }),
    ...(row.terms === null ? {} : { termsOfServiceAgreed: true }),
    ...(row.external_binding === null
      ? {}
      : { externalAccountBinding: JSON.parse(row.external_binding) as Record<string, unknown> }),
    orders: directory.url(`account/${row.id}/orders`),
  };
}

export function viewOrder(
  directory: Directory,
  row: OrderRow,
  authorizations: readonly LinkedAuthorization[],
  now: number,
): Record<string, unknown> {
  return {
    status: orderStatus(row, authorizations, now),
    expires: toRfc3339(row.expires_at),
    identifiers: identifiersOf(row),
    ...(row.not_after === null ? {} : { notAfter: toRfc3339(row.not_after) }),
    ...(row.profile === null ? {} : { profile: row.profile }),
    ...(row.replaces === null ? {} : { replaces: row.replaces }),
    ...(row.error === null ? {} : { error: JSON.parse(row.error) as unknown }),
    authorizations: authorizations.map(({ id }) => directory.url(`authz/${id}`)),
    finalize: directory.url(`order/${row.id}/finalize`),
    ...(row.certificate_id === null ? {} : { certificate: directory.url(`certificate/${row.certificate_id}`) }),
  };
}

export function viewAuthorization(
  directory: Directory,
  row: AuthorizationRow,
  challenges: readonly ChallengeRow[],
  now: number,
): Record<string, unknown> {
  const status = authorizationStatus(row, now);
  // RFC 8555 §7.1.4: of a final authorization the challenge that decided is shown.
  const deciding = status === 'invalid' ? 'invalid' : 'valid';
  const shown = status === 'pending' ? challenges : challenges.filter((each) => each.status === deciding);
  return {
    identifier: { type: row.identifier_type, value: row.identifier },
    status,
    expires: toRfc3339(row.expires_at),
    challenges: shown.map((each) => viewChallenge(directory, each)),
    ...(row.wildcard === 1 ? { wildcard: true } : {}),
  };
}

export function viewChallenge(directory: Directory, row: ChallengeRow): Record<string, unknown> {
  return {
    type: row.type,
    url: directory.url(`challenge/${row.id}`),
    status: row.status,
    token: row.token,
    ...(row.validated_at === null ? {} : { validated: toRfc3339(row.validated_at) }),
    ...(row.error === null ? {} : { error: JSON.parse(row.error) as unknown }),
  };
}
