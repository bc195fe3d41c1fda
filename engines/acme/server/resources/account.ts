import { parseJwk } from '#acme/jose/jwk.ts';
import { payloadObject, readJws } from '#acme/jose/jws.ts';
import { verifyJws } from '#acme/jose/verify.ts';
import { assertAccountRate } from '#acme/server/acts/accounts.ts';
import { type Binding, readBinding } from '#acme/server/external-binding.ts';
import { AcmeError, malformed } from '#acme/server/problem.ts';
import { type AccountPost, assertPostAsGet, objectIn, type Post } from '#acme/server/post.ts';
import {
  assertOfRole,
  assertUsable,
  authorizationsOf,
  findAccount,
  findAccountByKey,
  orderStatus,
  requireAccount,
  viewAccount,
} from '#acme/server/records.ts';
import type { AccountRow, OrderRow } from '#acme/server/tables.ts';
import { type Answer, contextOf, link, type ResourceParts } from './parts.ts';

/** Accounts (RFC 8555 §7.3). */

type Payload = Readonly<Record<string, unknown>>;

export async function newAccount(parts: ResourceParts, post: Post): Promise<Answer> {
  const payload = objectIn(post);
  const known = await findAccountByKey(parts.store, post.directory, post.key.thumbprint);
  // Before anything else is asked of it: clients come here on every run, and without a binding (RFC 8555 §7.3.1).
  if (known !== undefined) return existing(post, known);
  if (payload['onlyReturnExisting'] === true)
    throw new AcmeError('accountDoesNotExist', 'There is no account for this key in this directory.');
  const contact = readContact(payload['contact']) ?? [];
  const terms = readTerms(post, payload);
  const binding = await readRequiredBinding(parts, post, payload);
  // Here as well, before anything is written: whoever has no account yet is nobody whose refusals fill the audit.
  await assertAccountRate(parts, post.directory, post.sourceAddress, 0, parts.clock.now());
  const input = {
    role: post.directory.role,
    jwk: JSON.stringify(post.key.jwk),
    thumbprint: post.key.thumbprint,
    contact,
    terms,
    external_key_id: binding?.keyId ?? null,
    external_binding: binding?.shown ?? null,
    source_address: post.sourceAddress,
  };
  const made = await parts.perform<{ account_id: string; created: boolean }>(
    'acme.accept_account',
    input,
    contextOf(post),
  );
  const account = await requireAccount(parts.store, post.directory.namespace, made.account_id);
  return made.created ? { ...view(post, account), status: 201 } : existing(post, account);
}

function existing(post: Post, account: AccountRow): Answer {
  assertUsable(account);
  assertOfRole(account, post.directory);
  return view(post, account);
}

function view({ directory }: Post, account: AccountRow): Answer {
  return {
    status: 200,
    body: viewAccount(directory, account),
    headers: { location: directory.url(`account/${account.id}`) },
  };
}

function readTerms({ directory }: Post, payload: Payload): string | null {
  const { terms_of_service: terms } = directory.settings;
  if (terms === null || payload['termsOfServiceAgreed'] === true) return terms;
  throw new AcmeError('userActionRequired', `The terms of service must be agreed to: ${terms}`);
}

/** RFC 8555 §7.3.3: what was agreed to before the terms changed counts no more. */
export function assertTerms({ directory, account }: AccountPost): void {
  const { terms_of_service: terms } = directory.settings;
  if (terms === null || account.terms === terms) return;
  throw new AcmeError(
    'userActionRequired',
    'The terms of service have changed, and the account has not agreed to them.',
    {
      document: { instance: terms },
      headers: { link: link(terms, 'terms-of-service') },
    },
  );
}

async function readRequiredBinding(parts: ResourceParts, post: Post, payload: Payload): Promise<Binding | undefined> {
  const member = payload['externalAccountBinding'];
  if (member !== undefined) return readBinding(parts, post.directory, member, post, parts.clock.now());
  if (!post.directory.settings.external_account_required) return undefined;
  throw new AcmeError(
    'externalAccountRequired',
    'This directory takes new accounts with an external account binding only; ask its operator for a key.',
  );
}

const mostContacts = 10;
const longestContact = 320;

/**
 * RFC 8555 §7.3: mail addresses, each one address and nothing else (RFC 6068 header fields are refused). getssl writes a
 * space before the address.
 */
function readContact(value: unknown): string[] | undefined {
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || value.length > mostContacts)
    throw malformed(`The contact is not a list of at most ${mostContacts} URLs.`);
  return value.map((url: unknown) => {
    if (typeof url !== 'string' || url.length > longestContact) throw malformed('A contact is not a URL.');
    if (!/^mailto:/i.test(url))
      throw new AcmeError('unsupportedContact', 'Contacts with the scheme mailto are supported, and no others.');
    const [, address] = /^mailto: *([^\s?,@%<>"]+@[A-Za-z0-9.-]+)$/i.exec(url) ?? [];
    if (address === undefined) throw new AcmeError('invalidContact', 'A contact is not exactly one mail address.');
    return `mailto:${address}`;
  });
}

export async function accountResource(parts: ResourceParts, post: AccountPost): Promise<Answer> {
  assertOwn(post);
  if (post.payload.length > 0) {
    const payload = objectIn(post);
    const deactivate = payload['status'] === 'deactivated';
    const contact = deactivate ? undefined : readContact(payload['contact']);
    const change = { account_id: post.account.id, deactivate, ...(contact === undefined ? {} : { contact }) };
    if (deactivate || contact !== undefined) await parts.perform('acme.accept_account_change', change, contextOf(post));
  }
  const row = await findAccount(parts.store, post.directory, post.account.id);
  return view(post, row ?? post.account);
}

function assertOwn({ account, params }: AccountPost): void {
  if (params['id'] !== account.id)
    throw new AcmeError('unauthorized', 'This is not the account that signs the request.');
}

const ordersPerPage = 100;

/** RFC 8555 §7.1.2.1: those that are not invalid, newest first. */
export async function accountOrders(parts: ResourceParts, post: AccountPost): Promise<Answer> {
  assertOwn(post);
  assertPostAsGet(post);
  const { directory, account } = post;
  const cursor = new URL(post.url).searchParams.get('cursor') ?? '~';
  const rows = await parts.store.all<OrderRow>(
    `SELECT * FROM acme_server_orders WHERE account_id = ? AND id < ? AND status <> 'invalid'
     ORDER BY id DESC LIMIT ${ordersPerPage + 1}`,
    [account.id, cursor],
  );
  const page = rows.slice(0, ordersPerPage);
  const orders: string[] = [];
  const now = parts.clock.now();
  for (const row of page) {
    const status =
      row.status === 'open' ? orderStatus(row, await authorizationsOf(parts.store, row.id), now) : row.status;
    if (status !== 'invalid') orders.push(directory.url(`order/${row.id}`));
  }
  const next = rows.length > ordersPerPage ? page.at(-1)?.id : undefined;
  const more = directory.url(`account/${account.id}/orders?cursor=${next ?? ''}`);
  return { status: 200, body: { orders }, links: next === undefined ? [] : [link(more, 'next')] };
}

/** RFC 8555 §7.3.5: the new key signs inside of what the old one signs. */
export async function keyChange(parts: ResourceParts, post: AccountPost): Promise<Answer> {
  const inner = readJws(objectIn(post));
  const { header } = inner;
  if (!Object.hasOwn(header, 'jwk')) throw malformed('The inner JWS of a key change shows the new key by jwk.');
  if (Object.hasOwn(header, 'kid')) throw malformed('The inner JWS of a key change has a kid.');
  if (Object.hasOwn(header, 'nonce')) throw malformed('The inner JWS of a key change has a nonce.');
  if (header['url'] !== post.url) throw malformed('The url of the inner JWS is not that of the outer one.');
  const key = parseJwk(header['jwk']);
  verifyJws(inner, key);
  const { account, oldKey } = payloadObject(inner.payload);
  if (account !== post.directory.url(`account/${post.account.id}`))
    throw malformed('The account of the inner JWS is not the one that signs the request.');
  if (parseJwk(oldKey).thumbprint !== post.account.thumbprint)
    throw malformed('The oldKey of the inner JWS is not the present key of the account.');
  const change = {
    account_id: post.account.id,
    old_thumbprint: post.account.thumbprint,
    jwk: JSON.stringify(key.jwk),
    thumbprint: key.thumbprint,
  };
  await parts.perform('acme.accept_key_change', change, contextOf(post));
  return view(post, await requireAccount(parts.store, post.directory.namespace, post.account.id));
}
