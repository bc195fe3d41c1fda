import { toRfc3339 } from '#core/clock.ts';
import { formatDuration } from '#core/duration.ts';
import type { Limits } from '#core/grant.ts';
import type { CompiledAuthority, CompiledRole } from './role-compile.ts';
import type { Adjustment, IssuanceRequest, Refusal, Rule } from './ruling.ts';

/** The rules about time. What is asked beyond a cap is refused; the role's default is cut to fit, and that is told. */

export interface Validity {
  /** Milliseconds, whole seconds. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** One bound on the end of validity. */
export interface Cap {
  readonly rule: Rule;
  /** Milliseconds; the last moment that this bound allows. */
  readonly end: number;
  /** Seconds from now, for bounds that are a duration; absent for those that are a moment. */
  readonly ttl?: number;
  /** Who sets it: `role web`. */
  readonly by: string;
}

/** Whole seconds: X.509 has no smaller unit (RFC 5280 §4.1.2.5). */
function wholeSeconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000) * 1000;
}

/** Decides the validity; what is wrong is added to `refusals`, what was cut to `adjustments`. */
export function judgeValidity(
  role: CompiledRole,
  authority: CompiledAuthority,
  request: IssuanceRequest,
  limits: Limits,
  now: number,
  refusals: Refusal[],
  adjustments: Adjustment[],
): Validity {
  const start = wholeSeconds(now);
  const caps = validityCaps(role, authority, limits, now);
  const notBefore = beginning(role, authority, now);
  if (request.ttl !== undefined && request.notAfter !== undefined) {
    refusals.push({
      rule: 'not_after',
      at: '/not_after',
      found: 'both ttl and not_after',
      allowed: 'one of the two',
      message: 'The request has both ttl and not_after; give one of the two.',
    });
  }
  const asked = askedEnd(request, start);
  const at = request.notAfter === undefined ? '/ttl' : '/not_after';
  if (asked === undefined) {
    const end = defaultEnd(role, caps, start, refusals, adjustments);
    return { notBefore, notAfter: shortEnd(role, notBefore, start, end, at, adjustments) };
  }
  if (!(asked > start)) refusals.push(inThePast(asked, start, at));
  for (const cap of caps) if (asked > cap.end) refusals.push(beyond(cap, request, asked, at));
  return { notBefore, notAfter: shortEnd(role, notBefore, start, asked, at, adjustments) };
}

/** Milliseconds. The Baseline Requirements call certificates of up to seven days short-lived (§1.6.1). */
const shortLife = 7 * 86_400_000;

/** Both the first and the last second count (RFC 5280 §4.1.2.5). */
export function isShort({ notBefore, notAfter }: Validity): boolean {
  return notAfter - notBefore + 1000 <= shortLife;
}

/** Whoever asks a role for short lives for seven days from now means a short-lived certificate: what it is backdated by goes. */
function shortEnd(
  role: CompiledRole,
  notBefore: number,
  start: number,
  end: number,
  at: string,
  adjustments: Adjustment[],
): number {
  if (!role.role.short_lived || end > start + shortLife || isShort({ notBefore, notAfter: end })) return end;
  const latest = notBefore + shortLife - 1000;
  const message = `The certificate ends at ${time(latest)}, 7d after its notBefore, ${time(notBefore)}: so it counts as short-lived (short_lived of role ${role.role.name}).`;
  adjustments.push({ rule: 'short_lived', at, message });
  return latest;
}

/** Backdated for clocks that are late, but not before the authority itself is valid. */
function beginning(role: CompiledRole, authority: CompiledAuthority, now: number): number {
  const backdated = wholeSeconds(now) - role.role.not_before_backdate * 1000;
  return Math.min(wholeSeconds(now), Math.max(backdated, wholeSeconds(authority.facts.notBefore + 999)));
}

function askedEnd(request: IssuanceRequest, start: number): number | undefined {
  if (request.notAfter !== undefined) return wholeSeconds(request.notAfter);
  return request.ttl === undefined ? undefined : start + request.ttl * 1000;
}

/** Everything that bounds the end of validity. */
export function validityCaps(
  role: CompiledRole,
  authority: CompiledAuthority,
  limits: Limits,
  now: number,
): readonly Cap[] {
  const start = wholeSeconds(now);
  const caps: Cap[] = [
    { rule: 'max_ttl', end: start + role.role.max_ttl * 1000, ttl: role.role.max_ttl, by: `role ${role.role.name}` },
    {
      rule: 'authority_not_after',
      end: wholeSeconds(authority.facts.notAfter),
      by: `authority ${authority.facts.name}`,
    },
  ];
  if (limits.maxTtl !== undefined) {
    caps.push({ rule: 'policy_max_ttl', end: start + limits.maxTtl * 1000, ttl: limits.maxTtl, by: 'the policy' });
  }
  if (limits.notAfter !== undefined) {
    caps.push({ rule: 'policy_not_after', end: wholeSeconds(limits.notAfter), by: 'the policy' });
  }
  if (role.role.web_pki) caps.push(webPkiCap(role, authority, now));
  return caps;
}

/** Baseline Requirements §6.3.2 (ballot SC-081v3): longest life in days by the day of issuance. */
const webPkiDays = [
  { from: Date.UTC(2029, 2, 15), days: 47 },
  { from: Date.UTC(2027, 2, 15), days: 100 },
  { from: 0, days: 200 },
] as const;

function webPkiCap(role: CompiledRole, authority: CompiledAuthority, now: number): Cap {
  const notBefore = beginning(role, authority, now);
  const days = webPkiDays.find(({ from }) => notBefore >= from)?.days ?? 47;
  // Validity counts both its first and its last second (RFC 5280 §4.1.2.5).
  const end = notBefore + days * 86_400_000 - 1000;
  return { rule: 'web_pki', end, ttl: (end - wholeSeconds(now)) / 1000, by: 'the Baseline Requirements' };
}

/** The cap that ends first. */
export function tightest(caps: readonly Cap[]): Cap | undefined {
  return caps.reduce<Cap | undefined>(
    (least, cap) => (least === undefined || cap.end < least.end ? cap : least),
    undefined,
  );
}

function defaultEnd(
  role: CompiledRole,
  caps: readonly Cap[],
  start: number,
  refusals: Refusal[],
  adjustments: Adjustment[],
): number {
  const end = start + role.defaultTtl * 1000;
  const cap = tightest(caps);
  if (cap === undefined || end <= cap.end) return end;
  if (cap.end <= start) refusals.push(beyond(cap, {}, end, '/ttl'));
  const message = `The certificate ends at ${toRfc3339(cap.end)} instead of after ${formatDuration(role.defaultTtl)}, because of ${describe(cap)}.`;
  adjustments.push({ rule: cap.rule, at: '/ttl', message });
  return cap.end;
}

/** `max_ttl 30d of role web`, `authority_not_after 2027-01-01T00:00:00Z of authority issuing`. */
function describe(cap: Cap): string {
  return `${cap.rule} ${cap.ttl === undefined ? toRfc3339(cap.end) : formatDuration(cap.ttl)} of ${cap.by}`;
}

function beyond(cap: Cap, request: Pick<IssuanceRequest, 'ttl' | 'notAfter'>, asked: number, at: string): Refusal {
  const found = request.notAfter === undefined && request.ttl !== undefined ? formatDuration(request.ttl) : time(asked);
  const allowed = cap.ttl === undefined ? `an end by ${toRfc3339(cap.end)}` : `at most ${formatDuration(cap.ttl)}`;
  const what = request.notAfter === undefined && request.ttl !== undefined ? `A ttl of ${found}` : `An end at ${found}`;
  return { rule: cap.rule, at, found, allowed, message: `${what} is beyond ${describe(cap)}.` };
}

function inThePast(asked: number, start: number, at: string): Refusal {
  const found = time(asked);
  const allowed = `a moment after ${toRfc3339(start)}`;
  return {
    rule: 'not_after',
    at,
    found,
    allowed,
    message: `An end at ${found} is not after now, ${toRfc3339(start)}.`,
  };
}

/** The end of ECMAScript time is far beyond 9999, so any finite number that the schema let in can be told. */
function time(milliseconds: number): string {
  return Math.abs(milliseconds) <= 8.64e15 ? toRfc3339(milliseconds) : 'a time beyond all calendars';
}
