import type { Grant } from '#core/grant.ts';
import type { DatabaseDeps } from './deps.ts';
import { connectionResource } from './directory.ts';
import type { Role } from './role-schema.ts';

/**
 * What a role gives away beyond its own name, so that the policies can say who may.
 *
 * Groups and statements of a role run with the power of the connection's administrator, and another's password is set
 * with it: whoever saves a role must be allowed the same operation on the connection. A certificate role lets its users
 * have certificates of the PKI: whoever saves it must be allowed to issue such a one, for as long. Throws `denied`.
 */
export async function requireEntitled(
  deps: Pick<DatabaseDeps, 'recheck' | 'issuer'>,
  grant: Grant,
  role: Pick<Role, 'connection' | 'certificate_role' | 'max_ttl'>,
): Promise<void> {
  await reachBehind(deps, grant, role);
  await requireConnection(deps, grant, role.connection);
  if (role.certificate_role === undefined) return;
  const resource = `pki/roles/${role.certificate_role}`;
  await deps.recheck(grant, { operation: 'pki.issue_certificate', resource, ttl: role.max_ttl });
}

/** Asks for what a role leads to. Every operation on a role does this before it uses, changes or shows it. */
export async function reachBehind(
  { issuer }: Pick<DatabaseDeps, 'issuer'>,
  grant: Grant,
  { connection, certificate_role: issuing }: Pick<Role, 'connection' | 'certificate_role'>,
): Promise<void> {
  grant.reach(connectionResource(connection));
  if (issuing === undefined) return;
  grant.reach(`pki/roles/${issuing}`);
  const authority = await issuer.authorityOf(grant.namespace, issuing);
  if (authority !== undefined) grant.reach(`pki/authorities/${authority}`);
}

/** Throws `denied` unless the operation of the grant is allowed on the connection too. */
export async function requireConnection(
  { recheck }: Pick<DatabaseDeps, 'recheck'>,
  grant: Grant,
  connection: string,
): Promise<void> {
  await recheck(grant, { operation: grant.operation, resource: connectionResource(connection) });
}
