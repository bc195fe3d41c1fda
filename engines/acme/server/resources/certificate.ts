import { createHash, X509Certificate } from 'node:crypto';
import type { PublicRequest } from '#core/engine.ts';
import { toRfc3339 } from '#core/clock.ts';
import { decodeBase64url } from '#acme/jose/base64url.ts';
import { subscriberReasons } from '#acme/server/acts/revocation.ts';
import type { Directory } from '#acme/server/directories.ts';
import { authorizedName } from '#acme/server/identifiers.ts';
import { type AccountPost, assertPostAsGet, objectIn, type Post } from '#acme/server/post.ts';
import { AcmeError, malformed } from '#acme/server/problem.ts';
import { identifiersOf, requireIssued } from '#acme/server/records.ts';
import type { AccountRow, CertificateRow } from '#acme/server/tables.ts';
import { type Answer, contextOf, link, type ResourceParts } from './parts.ts';

/** Certificates: fetched (RFC 8555 §7.4.2), revoked (§7.6), and when to renew them (RFC 9773). */

export async function certificateResource(parts: ResourceParts, post: AccountPost): Promise<Answer> {
  assertPostAsGet(post);
  const row = await requireIssued(parts.store, post.account, post.params['id'] ?? '');
  const [leaf = '', ...chain] = JSON.parse(row.chain) as string[];
  const alternates = await parts.issuer.alternateChains(row.namespace, chain);
  const chains = [chain, ...alternates];
  const { alternate = '0' } = post.params;
  const chosen = /^(?:0|[1-9]\d?)$/.test(alternate) ? chains[Number(alternate)] : undefined;
  if (chosen === undefined) throw malformed('There is no such chain for this certificate.', 404);
  const url = (index: number) => post.directory.url(`certificate/${row.id}${index === 0 ? '' : `/${index}`}`);
  const others = chains.map((_, index) => index).filter((index) => String(index) !== alternate);
  return {
    status: 200,
    body: [leaf, ...presented(chosen)].join(''),
    headers: { 'content-type': 'application/pem-certificate-chain' },
    links: others.map((index) => link(url(index), 'alternate')),
  };
}

/**
 * RFC 8555 §7.4.2: who trusts a root has it. What a root issued itself comes with it all the same: certbot and others
 * take a chain of one certificate for an error.
 */
function presented(chain: readonly string[]): readonly string[] {
  const between = chain.filter((pem) => !isRoot(pem));
  return between.length > 0 ? between : chain;
}

function isRoot(pem: string): boolean {
  const certificate = new X509Certificate(pem);
  return certificate.subject === certificate.issuer && certificate.checkIssued(certificate);
}

export async function revokeCertificate(parts: ResourceParts, post: Post): Promise<Answer> {
  const payload = objectIn(post);
  if (typeof payload['certificate'] !== 'string') throw malformed('The request has no certificate.');
  const der = decodeBase64url(payload['certificate'], 'The certificate');
  const row = await parts.store.first<CertificateRow>(
    'SELECT * FROM acme_server_certificates WHERE fingerprint = ? AND namespace = ?',
    [createHash('sha256').update(der).digest('hex'), post.directory.namespace],
  );
  if (row === undefined || row.role !== post.directory.role)
    throw malformed('This is no certificate that was issued by this directory.', 404);
  await assertMayRevoke(parts, post, row, der);
  if (row.not_after <= parts.clock.now()) throw malformed('The certificate has expired.');
  const reason = readReason(payload['reason']);
  if ((await parts.issuer.statusOf(row.namespace, row.serial_number)) === 'revoked')
    throw new AcmeError('alreadyRevoked', 'The certificate is revoked already.');
  const input = { serial_number: row.serial_number, reason, account_id: post.account?.id ?? null };
  await parts.perform('acme.accept_revocation', input, contextOf(post));
  return { status: 200 };
}

function readReason(value: unknown): string {
  if (value === undefined) return subscriberReasons[0];
  const known =
    typeof value === 'number' && Object.hasOwn(subscriberReasons, value)
      ? subscriberReasons[value as keyof typeof subscriberReasons]
      : undefined;
  if (known !== undefined) return known;
  const allowed = Object.keys(subscriberReasons).join(', ');
  throw new AcmeError('badRevocationReason', `The reason is none that a subscriber may give; those are ${allowed}.`);
}

async function assertMayRevoke(parts: ResourceParts, post: Post, row: CertificateRow, der: Buffer): Promise<void> {
  if (post.account === undefined) {
    const shown = post.key.key.export({ type: 'spki', format: 'der' });
    const held = new X509Certificate(der).publicKey.export({ type: 'spki', format: 'der' });
    if (shown.equals(held)) return;
    throw new AcmeError('unauthorized', 'The request is not signed with the key of the certificate.');
  }
  if (row.account_id === post.account.id || (await holdsAll(parts, post.account, row))) return;
  throw new AcmeError(
    'unauthorized',
    'The account neither ordered the certificate nor holds authorizations for all of its names.',
  );
}

async function holdsAll({ store, clock }: ResourceParts, account: AccountRow, row: CertificateRow): Promise<boolean> {
  for (const name of identifiersOf(row)) {
    const { identifier, wildcard } = authorizedName(name);
    const held = await store.first(
      `SELECT id FROM acme_server_authorizations
       WHERE account_id = ? AND identifier = ? AND status = 'valid' AND expires_at > ? AND identifier_type = ?
         AND wildcard = ? LIMIT 1`,
      [account.id, identifier.value, clock.now(), identifier.type, wildcard ? 1 : 0],
    );
    if (held === undefined) return false;
  }
  return true;
}

const hour = 3_600_000;
const tenDays = 240 * hour;
const certIdForm = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/** RFC 9773 §4.2: the middle third goes by; of short lives the first half. */
export async function renewalInfo(
  parts: ResourceParts,
  directory: Directory,
  { params }: Pick<PublicRequest, 'params'>,
): Promise<Answer> {
  const { certid = '' } = params;
  if (certid.length > 200 || !certIdForm.test(certid))
    throw malformed(
      'A certificate identifier is two texts in base64url without padding, with a dot between (RFC 9773 section 4.1).',
    );
  for (const part of certid.split('.')) decodeBase64url(part, 'The certificate identifier');
  const row = await parts.store.first<CertificateRow>(
    'SELECT * FROM acme_server_certificates WHERE namespace = ? AND cert_id = ?',
    [directory.namespace, certid],
  );
  if (row === undefined || row.role !== directory.role)
    throw malformed('No certificate with this identifier was issued by this directory.', 404);
  const status = await parts.issuer.statusOf(row.namespace, row.serial_number);
  const { start, end } = renewalWindow(row, status === 'revoked', parts.clock.now());
  return {
    status: 200,
    body: { suggestedWindow: { start: toRfc3339(start), end: toRfc3339(end) } },
    headers: { 'retry-after': String(askAgain(row)) },
  };
}

function renewalWindow(
  { not_before: begin, not_after: end }: CertificateRow,
  revoked: boolean,
  now: number,
): { readonly start: number; readonly end: number } {
  if (revoked) return { start: now - hour, end: now - hour / 2 };
  const life = end - begin;
  const middle = begin + life * (life < tenDays ? 1 / 2 : 2 / 3);
  const spread = Math.max(1000, life / 100);
  return { start: middle - spread, end: middle + spread };
}

/** Seconds: six hours, or a fiftieth of a short life, so that a revocation is heard of in time. */
function askAgain({ not_before: begin, not_after: end }: CertificateRow): number {
  return Math.max(60, Math.min(21_600, Math.round((end - begin) / 50_000)));
}
