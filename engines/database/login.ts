import { AppError } from '#core/errors.ts';
import type { CertificateOrder, IssuedCertificate } from '#core/issuer.ts';
import type { LeaseRow } from '#lease/tables.ts';
import type { DatabaseDeps } from './deps.ts';
import { type Connection, connectionResource } from './directory.ts';
import { generatePassword } from './password.ts';
import { contradiction, type Role } from './role-schema.ts';
import type { ClientCertificate, Credential } from './target.ts';
import { usernamePrefix } from './username.ts';

/**
 * With what a leased user logs in: a password, or a client certificate from an authority of our own. The common name is
 * the user name, and the certificate ends with the lease.
 */
export type Login =
  | { readonly kind: 'password'; readonly password: string }
  | { readonly kind: 'certificate'; readonly issued: IssuedCertificate };

/** What the server is told. */
export function credentialOf(login: Login): Credential {
  if (login.kind === 'password') return { kind: 'password', password: login.password };
  const { subject, issuer } = login.issued;
  return { kind: 'certificate', subject, issuer };
}

/** What a login by it is tried with; undefined where the key is not ours. */
export function proofOf(login: Login): string | ClientCertificate | undefined {
  if (login.kind === 'password') return login.password;
  const { certificate, chain, privateKey } = login.issued;
  return privateKey === undefined ? undefined : { certificate: [certificate, ...chain].join(''), key: privateKey };
}

/** Milliseconds for the certificate, so that there is time for the user before the lease counts as abandoned. */
const longestIssuance = 10_000;

/**
 * Makes a new one; the caller is the only one that ever sees it. When it fails the lease is given up, and what was
 * issued all the same is revoked with it. Throws `refused` when the PKI refuses the certificate.
 */
export async function makeLogin(deps: DatabaseDeps, role: Role, lease: LeaseRow, csr?: string): Promise<Login> {
  if (role.certificate_role === undefined)
    return { kind: 'password', password: generatePassword(role.password_policy) };
  const started = performance.now();
  try {
    const issued = await deps.issuer.issue(orderFor(lease, role.certificate_role, csr));
    if (performance.now() - started < longestIssuance) return { kind: 'certificate', issued };
    // The sweeper may have been here already, so that it would come too late for this one.
    const late = { serialNumber: issued.serialNumber };
    await deps.issuer.revoke(lease.namespace, late, 'cessation_of_operation');
    throw new AppError('unavailable', 'The certificate was not made in time.', { hint: 'Ask again.' });
  } catch (error) {
    await deps.leases.abandon(lease, 0);
    throw explainRefusal(error);
  }
}

function orderFor(lease: LeaseRow, role: string, csr: string | undefined): CertificateOrder {
  return {
    namespace: lease.namespace,
    role,
    commonName: lease.subject,
    notAfter: lease.expires_at,
    csr,
    principal: lease.principal,
    purpose: `lease ${lease.id} of ${lease.principal}`,
  };
}

/** What is wrong with the CSR is the requester's to mend; everything else is between two roles. */
function explainRefusal(error: unknown): unknown {
  if (!(error instanceof AppError) || error.code === 'invalid_request' || error.status >= 500) return error;
  if (error.details.some(({ at }) => at === '/csr') || error.code === 'rate_limited') return error;
  return new AppError('refused', `The certificate is refused: ${error.message}`, {
    cause: error,
    details: error.details,
    hint: 'The certificate_role of the database role names a role of the PKI that does not allow it; an operator must look at both.',
  });
}

export function noCertificate(role: Role): AppError {
  return new AppError('invalid_request', `Users of role ${role.name} log in by password, so that no CSR is needed.`, {
    details: [{ at: '/csr', message: 'must be left out' }],
    hint: 'Leave csr out, or ask for a role whose users log in by certificate.',
  });
}

/** Revokes what was issued for a lease, known or not. What has ended with the lease needs no entry on a CRL. */
export async function revokeCertificates(
  { issuer, clock }: Pick<DatabaseDeps, 'issuer' | 'clock'>,
  lease: LeaseRow,
  role: string,
): Promise<void> {
  if (lease.expires_at <= clock.now()) return;
  await issuer.revoke(lease.namespace, { role, commonName: lease.subject }, 'cessation_of_operation');
}

/** Before a role is saved: whether the PKI would issue for its users. Throws `invalid_request` or `refused`. */
export async function checkLogin(
  { issuer }: Pick<DatabaseDeps, 'issuer'>,
  role: Role,
  { row, definition }: Connection,
  now: number,
): Promise<void> {
  if (role.certificate_role === undefined) return;
  const message = `needs TLS, and ${connectionResource(row.name)} does without`;
  if (definition.tls === 'disable') throw contradiction([{ at: '/certificate_role', message }]);
  const prefix = usernamePrefix(row.tag);
  try {
    await issuer.check({
      namespace: row.namespace,
      role: role.certificate_role,
      commonName: `${prefix}name`,
      notAfter: now + role.max_ttl * 1000,
      purpose: `role ${role.name}`,
    });
  } catch (error) {
    if (!(error instanceof AppError) || error.status >= 500) throw error;
    throw new AppError('refused', `Role ${role.name} is refused, since no certificate is issued: ${error.message}`, {
      cause: error,
      details: error.details,
      hint: `Let the role of the PKI have allowed_common_names ["${prefix}*"], extended_key_usages ["client_auth"], and a max_ttl no shorter than that of this role.`,
    });
  }
}

/** What the PKI would say to a request for credentials; undefined: nothing against it. */
export async function certificateRefusal(
  { issuer }: Pick<DatabaseDeps, 'issuer'>,
  role: Role,
  { row }: Connection,
  notAfter: number,
): Promise<string | undefined> {
  if (role.certificate_role === undefined) return undefined;
  const commonName = `${usernamePrefix(row.tag)}name`;
  const order = { namespace: row.namespace, role: role.certificate_role, commonName, notAfter, purpose: 'a plan' };
  try {
    await issuer.check(order);
    return undefined;
  } catch (error) {
    if (error instanceof AppError && error.status < 500) return error.message;
    throw error;
  }
}
