import { decodeBase64url } from '#acme/jose/base64url.ts';
import { newClaim } from '#acme/server/claims.ts';
import { readIdentifiers, readOneIdentifier } from '#acme/server/identifiers.ts';
import { type AccountPost, assertPostAsGet, objectIn } from '#acme/server/post.ts';
import { malformed } from '#acme/server/problem.ts';
import {
  authorizationStatus,
  authorizationsOf,
  challengesOf,
  requireAuthorization,
  requireChallenge,
  requireOrder,
  viewAuthorization,
  viewChallenge,
  viewOrder,
} from '#acme/server/records.ts';
import type { OrderRow } from '#acme/server/tables.ts';
import { assertTerms } from './account.ts';
import { type Answer, contextOf, link, type ResourceParts } from './parts.ts';

/** Orders, authorizations and challenges (RFC 8555 §7.4, §7.5). */

interface Processing {
  readonly status: string;
  readonly claim: string | null;
  readonly next_attempt_at: number | null;
}

/** Seconds: a pause may be longer, but what it waits for may pass before its end. */
const longestWait = 60;

/**
 * When a client should look again (RFC 8555 §8.2). What is worked on may be done any moment; before the next try nothing
 * changes. Clients that give up after a number of polls, as certbot does after 30, would end before the last try and not
 * learn what failed.
 */
function lookAgain(rows: readonly Processing[], now: number): Record<string, string> {
  const waits = rows
    .filter(({ status }) => status === 'processing')
    .map(({ claim, next_attempt_at: next }) => (claim === null && next !== null ? Math.ceil((next - now) / 1000) : 1));
  if (waits.length === 0) return {};
  return { 'retry-after': String(Math.max(1, Math.min(longestWait, ...waits))) };
}

export async function newOrder(parts: ResourceParts, post: AccountPost): Promise<Answer> {
  const payload = objectIn(post);
  const identifiers = readIdentifiers(payload['identifiers']);
  assertTerms(post);
  if (payload['notBefore'] !== undefined)
    throw malformed('A notBefore cannot be chosen: certificates begin when they are issued.');
  const input = {
    account_id: post.account.id,
    identifiers,
    not_after: readTime(payload['notAfter'], parts.clock.now()),
    profile: readText(payload, 'profile', 64),
    replaces: readText(payload, 'replaces', 200),
    source_address: post.sourceAddress,
  };
  const { order_id: id } = await parts.perform<{ order_id: string }>('acme.accept_order', input, contextOf(post));
  const answer = await viewed(parts, post, await requireOrder(parts.store, post.account, id));
  return { ...answer, status: 201, headers: { ...answer.headers, location: post.directory.url(`order/${id}`) } };
}

function readText(payload: Readonly<Record<string, unknown>>, member: string, longest: number): string | null {
  const value = payload[member];
  if (value === undefined || value === '') return null;
  if (typeof value === 'string' && value.length <= longest) return value;
  throw malformed(`The ${member} is no text of at most ${longest} characters.`);
}

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/i;

function readTime(value: unknown, now: number): number | null {
  if (value === undefined) return null;
  const time = typeof value === 'string' && value.length <= 40 && rfc3339.test(value) ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(time)) throw malformed('The notAfter is no time in the form of RFC 3339.');
  if (time <= now) throw malformed('The notAfter lies in the past.');
  return Math.floor(time / 1000) * 1000;
}

async function viewed(parts: ResourceParts, { directory }: AccountPost, row: OrderRow): Promise<Answer> {
  const authorizations = await authorizationsOf(parts.store, row.id);
  const now = parts.clock.now();
  const body = viewOrder(directory, row, authorizations, now);
  return { status: 200, body, headers: body['status'] === 'processing' ? lookAgain([row], now) : {} };
}

export async function orderResource(parts: ResourceParts, post: AccountPost): Promise<Answer> {
  assertPostAsGet(post);
  return viewed(parts, post, await requireOrder(parts.store, post.account, post.params['id'] ?? ''));
}

export async function finalize(parts: ResourceParts, post: AccountPost): Promise<Answer> {
  const payload = objectIn(post);
  const { csr } = payload;
  if (typeof csr !== 'string') throw malformed('The request has no csr.');
  const der = decodeBase64url(csr, 'The csr');
  const location = { location: post.directory.url(`order/${post.params['id'] ?? ''}`) };
  const answer = (await finalized(parts, post, der)) ?? (await issue(parts, post, csr, der));
  return { ...answer, headers: { ...answer.headers, ...location } };
}

/** The same request again: it was done, or is being done, and nothing is done twice. */
async function finalized(parts: ResourceParts, post: AccountPost, csr: Buffer): Promise<Answer | undefined> {
  const row = await requireOrder(parts.store, post.account, post.params['id'] ?? '');
  const isSame = row.status !== 'open' && row.csr !== null && csr.equals(row.csr);
  return isSame ? viewed(parts, post, row) : undefined;
}

async function issue(parts: ResourceParts, post: AccountPost, csr: string, der: Buffer): Promise<Answer> {
  const id = post.params['id'] ?? '';
  const input = {
    account_id: post.account.id,
    order_id: id,
    csr,
    claim: newClaim(),
    source_address: post.sourceAddress,
  };
  try {
    await parts.perform('acme.accept_finalization', input, contextOf(post));
  } catch (error) {
    // What failed after the order was processing goes on by itself.
    const answer = await finalized(parts, post, der);
    if (answer !== undefined) return answer;
    throw error;
  }
  return viewed(parts, post, await requireOrder(parts.store, post.account, id));
}

/** RFC 8555 §7.4.1 */
export async function newAuthorization(parts: ResourceParts, post: AccountPost): Promise<Answer> {
  const identifier = readOneIdentifier(objectIn(post)['identifier']);
  if (identifier.value.startsWith('*.')) throw malformed('Wildcards are authorized by an order only.');
  assertTerms(post);
  const input = { account_id: post.account.id, identifier, source_address: post.sourceAddress };
  const { authorization_id: id } = await parts.perform<{ authorization_id: string }>(
    'acme.accept_authorization',
    input,
    contextOf(post),
  );
  const answer = await viewedAuthorization(parts, post, id);
  return { ...answer, status: 201, headers: { location: post.directory.url(`authz/${id}`) } };
}

export async function authorizationResource(parts: ResourceParts, post: AccountPost): Promise<Answer> {
  const id = post.params['id'] ?? '';
  if (post.payload.length > 0) {
    await requireAuthorization(parts.store, post.account, id);
    if (objectIn(post)['status'] !== 'deactivated')
      throw malformed('An authorization can be deactivated, and nothing else: {"status": "deactivated"}.');
    const input = { account_id: post.account.id, authorization_id: id };
    await parts.perform('acme.accept_authorization_change', input, contextOf(post));
  }
  return viewedAuthorization(parts, post, id);
}

async function viewedAuthorization(parts: ResourceParts, post: AccountPost, id: string): Promise<Answer> {
  const row = await requireAuthorization(parts.store, post.account, id);
  const challenges = await challengesOf(parts.store, row.id);
  const now = parts.clock.now();
  const isPending = authorizationStatus(row, now) === 'pending';
  const body = viewAuthorization(post.directory, row, challenges, now);
  return { status: 200, body, headers: isPending ? lookAgain(challenges, now) : {} };
}

export async function challengeResource(parts: ResourceParts, post: AccountPost): Promise<Answer> {
  const id = post.params['id'] ?? '';
  const found = await requireChallenge(parts.store, post.account, id);
  if (post.payload.length > 0) {
    objectIn(post);
    const isOpen = found.challenge.status === 'pending' || found.challenge.status === 'processing';
    if (isOpen) await take(parts, post, id);
  }
  const { challenge, authorization } = await requireChallenge(parts.store, post.account, id);
  return {
    status: 200,
    body: viewChallenge(post.directory, challenge),
    headers: lookAgain([challenge], parts.clock.now()),
    links: [link(post.directory.url(`authz/${authorization.id}`), 'up')],
  };
}

async function take(parts: ResourceParts, post: AccountPost, id: string): Promise<void> {
  const { namespace, role, id: account } = post.account;
  const asker = { namespace, role, account };
  const claim = parts.work.takePlace(asker);
  const input = { account_id: post.account.id, challenge_id: id, claim };
  let isOurs = false;
  try {
    const taken = await parts.perform<{ claimed: boolean }>('acme.accept_challenge', input, contextOf(post));
    isOurs = taken.claimed;
  } finally {
    if (claim !== null && !isOurs) parts.work.releasePlace(asker);
  }
  if (claim !== null && isOurs) parts.work.validate(asker, id, claim);
  if (claim === null) void parts.work.sweep();
}
