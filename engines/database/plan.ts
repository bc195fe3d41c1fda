import { formatDuration } from '#core/duration.ts';
import type { Grant } from '#core/grant.ts';
import type { DatabaseDeps } from './deps.ts';
import { type Connection, connectionResource, roleResource } from './directory.ts';
import { certificateRefusal } from './login.ts';
import type { Role } from './role-schema.ts';
import { adviseTtl, decideTerms, type Refusal, type Terms } from './terms.ts';

/** What a request for credentials would meet, rules and caps alike. Nothing is made and nothing is counted. */
export interface CredentialsPlan {
  readonly refusals: readonly Refusal[];
  /** Undefined when refused. */
  readonly terms: Terms | undefined;
  readonly nearest: { readonly role: string; readonly ttl: string } | null;
  readonly advice: string;
}

export async function planCredentials(
  deps: DatabaseDeps,
  grant: Grant,
  role: Role,
  connection: Connection,
  ttl: number | undefined,
): Promise<CredentialsPlan> {
  const ruling = decideTerms(role, ttl, grant.limits, grant.now);
  const full = await reachedCaps(deps, grant, role, connection);
  if (ruling.allowed) full.push(...(await certificateRefusals(deps, grant, role, connection, ruling.terms)));
  const refusals = [...(ruling.allowed ? [] : ruling.refusals), ...full];
  if (ruling.allowed && full.length === 0)
    return { refusals, terms: ruling.terms, nearest: null, advice: 'The request would pass as it is.' };
  const nearestTtl = ruling.allowed ? undefined : ruling.nearestTtl;
  const passes = full.length === 0 && nearestTtl !== undefined;
  return {
    refusals,
    terms: undefined,
    nearest: passes ? { role: role.name, ttl: formatDuration(nearestTtl) } : null,
    advice: full.length > 0 ? adviseOperator(full) : adviseTtl(nearestTtl),
  };
}

function adviseOperator(refusals: readonly Refusal[]): string {
  return refusals.some(({ rule }) => rule === 'certificate_role')
    ? 'An operator must look at the role of the PKI that issues the certificates.'
    : 'Revoke a lease that is not needed any more, or wait until one ends.';
}

async function certificateRefusals(
  deps: DatabaseDeps,
  { now }: Grant,
  role: Role,
  connection: Connection,
  { ttl }: Terms,
): Promise<Refusal[]> {
  const message = await certificateRefusal(deps, role, connection, now + ttl * 1000);
  return message === undefined ? [] : [{ rule: 'certificate_role', at: '', message }];
}

async function reachedCaps(
  { leases }: DatabaseDeps,
  grant: Grant,
  role: Role,
  { row, definition }: Connection,
): Promise<Refusal[]> {
  const { namespace } = grant;
  const caps = [
    { rule: 'max_leases', most: role.max_leases, of: `role ${role.name}`, scope: { role: roleResource(role.name) } },
    {
      rule: 'connection.max_leases',
      most: definition.max_leases,
      of: `connection ${row.name}`,
      scope: { target: connectionResource(row.name) },
    },
    {
      rule: 'max_leases_per_principal',
      most: role.max_leases_per_principal,
      of: `principal ${grant.principal.name}`,
      scope: { principal: grant.principal.name },
    },
  ] as const;
  const found = await Promise.all(
    caps.map(async ({ rule, most, of, scope }): Promise<Refusal[]> => {
      if (most === undefined) return [];
      const live = await leases.count(namespace, scope);
      if (live < most) return [];
      return [{ rule, at: '', message: `${of} has ${live} live leases, and ${most} are allowed` }];
    }),
  );
  return found.flat();
}
