import { toRfc3339 } from '#core/clock.ts';
import { formatDuration } from '#core/duration.ts';
import { AppError } from '#core/errors.ts';
import type { Limits } from '#core/grant.ts';
import { defaultTtl, type Role } from './role-schema.ts';

/** How long a lease may live: what is asked beyond a cap is refused, the role's default is cut to fit, and that is told. */

export type TermsRule =
  | 'max_ttl'
  | 'policy.max_ttl'
  | 'policy.not_after'
  | 'max_leases'
  | 'connection.max_leases'
  | 'max_leases_per_principal'
  | 'certificate_role';

export interface Refusal {
  readonly rule: TermsRule;
  /** Which part of the request, as a JSON pointer. */
  readonly at: string;
  readonly message: string;
}

/** Seconds. */
export interface Terms {
  readonly ttl: number;
  readonly maxTtl: number;
  readonly adjustments: readonly string[];
}

export type Ruling =
  | { readonly allowed: true; readonly terms: Terms }
  | {
      readonly allowed: false;
      readonly refusals: readonly Refusal[];
      /** The longest life that would pass, in seconds; undefined when none would. */
      readonly nearestTtl: number | undefined;
    };

interface Cap {
  readonly rule: TermsRule;
  readonly seconds: number;
  readonly says: string;
}

export function decideTerms(role: Role, ttl: number | undefined, limits: Limits, now: number): Ruling {
  const caps = capsOf(role, limits, now);
  const longest = Math.min(...caps.map(({ seconds }) => seconds));
  const wanted = ttl ?? Math.min(defaultTtl(role), Math.max(longest, 1));
  const refusing = caps.filter(({ seconds }) => wanted > seconds);
  if (refusing.length > 0) {
    const refusals = refusing.map(({ rule, says }) => ({
      rule,
      at: '/ttl',
      message: `${formatDuration(wanted)}: ${says}`,
    }));
    return { allowed: false, refusals, nearestTtl: longest >= 1 ? longest : undefined };
  }
  const cut = ttl === undefined && wanted < defaultTtl(role);
  const reason = caps.find(({ seconds }) => seconds === longest)?.says;
  const adjustments = cut ? [`The default life of ${formatDuration(defaultTtl(role))} was cut: ${reason}.`] : [];
  return { allowed: true, terms: { ttl: wanted, maxTtl: longest, adjustments } };
}

function capsOf(role: Role, { maxTtl, notAfter }: Limits, now: number): Cap[] {
  const caps: Cap[] = [
    { rule: 'max_ttl', seconds: role.max_ttl, says: `the role allows at most ${formatDuration(role.max_ttl)}` },
  ];
  if (maxTtl !== undefined)
    caps.push({ rule: 'policy.max_ttl', seconds: maxTtl, says: `the policy allows at most ${formatDuration(maxTtl)}` });
  if (notAfter !== undefined) {
    const seconds = Math.floor((notAfter - now) / 1000);
    caps.push({ rule: 'policy.not_after', seconds, says: `the policy allows nothing after ${toRfc3339(notAfter)}` });
  }
  return caps;
}

/** One sentence that leads to a request that passes. */
export function adviseTtl(nearestTtl: number | undefined): string {
  return nearestTtl === undefined
    ? 'No life would pass now.'
    : `Ask for a ttl of at most ${formatDuration(nearestTtl)}, or leave it out.`;
}

/** `refused`, with every rule and the nearest request that would pass. */
export function refusalError(role: Role, { refusals, nearestTtl }: Extract<Ruling, { allowed: false }>): AppError {
  return new AppError('refused', `Role ${role.name} refuses this: ${refusals[0]?.message}.`, {
    details: refusals.map(({ rule, message }) => ({ at: rule, message })),
    hint: adviseTtl(nearestTtl),
    members: {
      nearest_request: nearestTtl === undefined ? null : { role: role.name, ttl: formatDuration(nearestTtl) },
    },
  });
}
