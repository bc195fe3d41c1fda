import { toRfc3339 } from '#core/clock.ts';
import { formatDuration } from '#core/duration.ts';
import { AppError } from '#core/errors.ts';
import type { Limits } from '#core/grant.ts';
import { longestCommonName } from './common-names.ts';
import type { Identifier, IdentifierKind } from './identifier/identifier.ts';
import { shown } from './identifier/malformed.ts';
import {
  commonNamesOf,
  csrPasses,
  fieldOf,
  keyPasses,
  likelyCommonName,
  likelyName,
  type NameRules,
  repairCommonName,
  repairNames,
} from './nearest-names.ts';
import { decideProfile } from './role.ts';
import type { CompiledAuthority, CompiledRole } from './role-compile.ts';
import { countAsked, mostNames } from './role-names.ts';
import { tightest, validityCaps } from './role-validity.ts';
import type { Adjustment, AskedNames, CertificateProfile, CsrRequest, IssuanceRequest, Refusal } from './ruling.ts';

/** What to do about a refusal: the nearest request that would pass, and one sentence that leads there. */

export interface Nearest {
  /** Passes `decideProfile` with the same role, authority, limits and time. */
  readonly request: IssuanceRequest;
  /** Whether the key or the names in the CSR are at fault, so that another CSR must be made. */
  readonly needsNewCsr: boolean;
  /** Each a clause: `leave out "evil.example"`. */
  readonly steps: readonly string[];
}

export type Plan =
  | {
      readonly allowed: true;
      readonly profile: CertificateProfile;
      readonly adjustments: readonly Adjustment[];
      readonly advice: string;
    }
  | {
      readonly allowed: false;
      readonly refusals: readonly Refusal[];
      readonly nearest: Nearest | null;
      readonly advice: string;
    };

/** Decides a request and, when it is refused, looks for the nearest one that would not be. */
export function planIssuance(
  role: CompiledRole,
  request: IssuanceRequest,
  authority: CompiledAuthority,
  limits: Limits,
  now: number,
): Plan {
  const ruling = decideProfile(role, request, authority, limits, now);
  if (ruling.allowed) return { ...ruling, advice: 'The request would pass as it is.' };
  const nearest = nearestRequest(role, request, authority, limits, now);
  return { ...ruling, nearest, advice: advise(role, ruling.refusals, nearest) };
}

/**
 * The nearest request that passes: refused names are respelt or left out, the life is cut, the key type changed; when no
 * name is left, one that the role allows takes their place. Null when nothing that the requester could change would do.
 */
export function nearestRequest(
  role: CompiledRole,
  request: IssuanceRequest,
  authority: CompiledAuthority,
  limits: Limits,
  now: number,
): Nearest | null {
  const rules = { role, authority };
  const bounded = boundNames(role, request);
  const steps: string[] = [];
  const validity = nearestValidity(rules, bounded, limits, now, steps);
  const names = nearestNames(rules, bounded, steps);
  const key = nearestKey(role, bounded, names.csr, steps);
  const nearest: IssuanceRequest = { ...names.asked, ...validity, ...key };
  const needsNewCsr = nearest.csr !== undefined && nearest.csr !== bounded.csr;
  return decideProfile(role, nearest, authority, limits, now).allowed ? { request: nearest, needsNewCsr, steps } : null;
}

/** Of a request with too many names only as many of each source and kind as the role allows are looked at. */
function boundNames(role: CompiledRole, request: IssuanceRequest): IssuanceRequest {
  if (countAsked(request) <= mostNames(role)) return request;
  const cut = (texts: readonly string[]) => texts.slice(0, role.role.max_names);
  const cutNames = ({ dns, ip, uri, email }: AskedNames) => ({
    dns: cut(dns),
    ip: cut(ip),
    uri: cut(uri),
    email: cut(email),
  });
  const bounded = { ...request, ...cutNames(request) };
  const { csr } = request;
  if (csr === undefined || countAsked({ ...byKind([]), csr }) <= role.role.max_names) return bounded;
  // What was cut off makes another CSR necessary, like a name that is never issued.
  const unsupported = ['more names than the role allows'];
  return { ...bounded, csr: { ...csr, ...cutNames(csr), commonNames: cut(csr.commonNames), unsupported } };
}

function nearestValidity(
  { role, authority }: NameRules,
  request: IssuanceRequest,
  limits: Limits,
  now: number,
  steps: string[],
): Pick<IssuanceRequest, 'ttl' | 'notAfter'> {
  const start = Math.floor(now / 1000) * 1000;
  if (request.ttl !== undefined && request.notAfter !== undefined) steps.push('leave out not_after');
  const byTtl = request.ttl !== undefined;
  const end = request.ttl === undefined ? request.notAfter : start + request.ttl * 1000;
  if (end === undefined) return {};
  if (!(end >= start + 1000)) {
    steps.push(`leave out ${byTtl ? 'ttl' : 'not_after'} or choose one after now`);
    return {};
  }
  const cap = tightest(validityCaps(role, authority, limits, now));
  if (cap === undefined || Math.floor(end / 1000) * 1000 <= cap.end) {
    return byTtl ? { ttl: request.ttl } : { notAfter: request.notAfter };
  }
  if (cap.ttl !== undefined) {
    steps.push(`ask for a ttl of at most ${formatDuration(cap.ttl)}`);
    return { ttl: cap.ttl };
  }
  steps.push(`ask for a not_after of at most ${toRfc3339(cap.end)}`);
  return { notAfter: cap.end };
}

interface NearestNames {
  readonly asked: AskedNames & Pick<IssuanceRequest, 'commonName'>;
  /** The CSR as it was when it can stay, one without names when not; undefined when there was none. */
  readonly csr: CsrRequest | undefined;
}

function nearestNames(rules: NameRules, request: IssuanceRequest, steps: string[]): NearestNames {
  const { csr } = request;
  const own = repairNames(rules, request);
  const carried = csr === undefined ? { names: [], steps: [] } : repairNames(rules, csr);
  steps.push(...own.steps, ...carried.steps);
  const csrStays = csr !== undefined && csrPasses(rules, csr);
  const commonName = nearestCommonName(rules, request, csrStays, steps);
  const passing = hostsFirst([...own.names, ...carried.names, ...longCommonNames(rules, request)]);
  const names = lacksName(rules, passing, commonName) ? withLikelyName(rules, request, passing, steps) : passing;
  return fitNames(rules, csr, csrStays, names, settleCommonName(rules, request, names, commonName, steps), steps);
}

function withLikelyName(
  rules: NameRules,
  request: IssuanceRequest,
  names: readonly Identifier[],
  steps: string[],
): readonly Identifier[] {
  const longest = rules.role.role.require_common_name ? longestCommonName : Infinity;
  const name = likelyName(rules, request, longest);
  if (name === undefined) return names;
  steps.push(`ask for a name that the role allows, such as ${name.value}`);
  return hostsFirst([...names, name]);
}

/** The common name beside these names: the one that passed, or one that is needed, or none. */
function settleCommonName(
  rules: NameRules,
  request: IssuanceRequest,
  names: readonly Identifier[],
  passing: string | undefined,
  steps: string[],
): string | undefined {
  const { role, serverAuth, commonNames } = rules.role;
  // Where there is room for one name only, it must be that of a host.
  const crowded = serverAuth && role.max_names === 1 && passing?.includes('@') === true && !commonNames.has(passing);
  if (passing !== undefined && !crowded) return passing;
  if (crowded) steps.push(`leave out the common name ${shown(passing)}`);
  const lacking = names.length === 0 && !serverAuth;
  if (!role.require_common_name && !lacking) return undefined;
  const likely = likelyCommonName(rules, names) ?? likelyName(rules, request, longestCommonName)?.value;
  if (likely !== undefined) steps.push(`ask for the common name ${shown(likely)}`);
  return likely;
}

/** Cuts the names to the role's number, and spreads them over parameters and CSR. */
function fitNames(
  rules: NameRules,
  csr: CsrRequest | undefined,
  csrStays: boolean,
  names: readonly Identifier[],
  commonName: string | undefined,
  steps: string[],
): NearestNames {
  const { role } = rules;
  const listed = commonName !== undefined && role.commonNames.has(commonName);
  const others = names.filter((name) => listed || name.value !== commonName);
  const room = role.role.max_names - (commonName === undefined || listed ? 0 : 1);
  if (others.length > room) steps.push(`split the names over certificates of at most ${role.role.max_names}`);
  const kept = others.slice(0, room);
  const asked = { ...byKind(kept), commonName };
  if (csr === undefined) return { asked, csr };
  const left = new Set([...kept.map((name) => name.value), commonName]);
  if (csrStays && csrValues(rules, csr).every((value) => left.has(value))) return { asked, csr };
  return { asked, csr: { ...csr, ...byKind([]), commonNames: [], unsupported: [] } };
}

/** Everything that a CSR which passes puts into the certificate, in its one spelling. */
function csrValues(rules: NameRules, csr: CsrRequest): (string | undefined)[] {
  const names = repairNames(rules, csr).names.map((name) => name.value);
  return [...names, ...csr.commonNames.map((text) => repairCommonName(rules, text))];
}

function nearestCommonName(
  rules: NameRules,
  request: IssuanceRequest,
  csrStays: boolean,
  steps: string[],
): string | undefined {
  const asked = commonNamesOf(request);
  const passing = asked.map((text) => repairCommonName(rules, text));
  // A CSR that can stay keeps its common name, because another CSR costs more than another parameter.
  const fromCsr = csrStays && (request.csr?.commonNames.length ?? 0) > 0;
  const chosen = fromCsr ? passing.at(-1) : passing.find((value) => value !== undefined);
  for (const [index, text] of asked.entries()) {
    const value = passing[index];
    if (value === undefined) steps.push(`leave out the common name ${shown(text)}`);
    else if (value !== chosen) steps.push(`ask for ${value} among the names and not as common name`);
  }
  return chosen;
}

/** Common names that pass as names of the certificate, whatever their length and whether or not they stay common names. */
function longCommonNames(rules: NameRules, request: IssuanceRequest): readonly Identifier[] {
  const texts = commonNamesOf(request).filter((text) => !rules.role.commonNames.has(text));
  return repairNames(rules, { dns: texts, ip: [], uri: [], email: [] }).names;
}

function lacksName(rules: NameRules, names: readonly Identifier[], commonName: string | undefined): boolean {
  const { commonNames, serverAuth } = rules.role;
  if (serverAuth) {
    // A common name that is not listed stands among the names as well.
    const named = commonName !== undefined && !commonNames.has(commonName) && !commonName.includes('@');
    return !named && !names.some((name) => name.kind !== 'email');
  }
  return names.length === 0 && commonName === undefined;
}

/** Each once, e-mail addresses last, because a certificate for servers needs a name of a host. */
function hostsFirst(names: readonly Identifier[]): readonly Identifier[] {
  const distinct = [...new Map(names.map((name) => [`${name.kind}:${name.value}`, name])).values()];
  return distinct.toSorted((left, right) => Number(left.kind === 'email') - Number(right.kind === 'email'));
}

function byKind(names: readonly Identifier[]): AskedNames {
  const of = (kind: IdentifierKind) => names.filter((name) => name.kind === kind).map((name) => name.value);
  return { dns: of('dns'), ip: of('ip'), uri: of('uri'), email: of('email') };
}

function nearestKey(
  role: CompiledRole,
  request: IssuanceRequest,
  csr: CsrRequest | undefined,
  steps: string[],
): Pick<IssuanceRequest, 'keyType' | 'csr'> {
  const { keyType } = request;
  const type = role.defaultKeyType;
  if (csr === undefined && !role.role.require_csr) {
    if (keyType === undefined || role.keyUsages.has(keyType)) return { keyType };
    steps.push(`ask for the key type ${type}`);
    return { keyType: type };
  }
  if (keyType !== undefined && keyType !== csr?.keyType) steps.push('leave out key_type');
  if (csr !== undefined && keyPasses(role, csr)) {
    if (csr !== request.csr) steps.push('make another CSR without the refused names');
    return { csr };
  }
  steps.push(`send a CSR with a new ${type} key`);
  const none = { ...byKind([]), commonNames: [], unsupported: [] };
  return { csr: { ...none, ...csr, keyType: type, keyLabel: type, weakness: undefined } };
}

function advise(role: CompiledRole, refusals: readonly Refusal[], nearest: Nearest | null): string {
  if (nearest !== null && nearest.steps.length > 0) return sentence(nearest.steps);
  const rules = [...new Set(refusals.map((refusal) => refusal.rule))].join(', ');
  return `No change of the request would do: use another role, or have an operator look at ${rules} of role ${role.role.name}.`;
}

const mostSteps = 8;

function sentence(steps: readonly string[]): string {
  const text = [...new Set(steps)].slice(0, mostSteps).join('; ');
  const more = steps.length > mostSteps ? '; and so on' : '';
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${more}.`;
}

/**
 * The nearest request as `pki.issue_certificate` takes it. `csr` is the PEM that was sent: it is repeated when it can
 * stay, and left out when another must be made.
 */
export function nearestFields(
  role: CompiledRole,
  { request, needsNewCsr }: Nearest,
  csr: string | undefined,
): Readonly<Record<string, unknown>> {
  const lists = (['dns', 'ip', 'uri', 'email'] as const).flatMap((kind) =>
    request[kind].length === 0 ? [] : [[fieldOf[kind], request[kind]] as const],
  );
  return {
    role: role.role.name,
    ...(request.commonName === undefined ? {} : { common_name: request.commonName }),
    ...Object.fromEntries(lists),
    ...(request.ttl === undefined ? {} : { ttl: formatDuration(request.ttl) }),
    ...(request.notAfter === undefined ? {} : { not_after: toRfc3339(request.notAfter) }),
    ...(request.keyType === undefined ? {} : { key_type: request.keyType }),
    ...(csr === undefined || needsNewCsr ? {} : { csr }),
  };
}

const mostTold = 50;

function moreFindings(count: number): string {
  return count === 1 ? ' There is one more finding.' : ` There are ${count} more findings.`;
}

/** The `refused` error of a plan that does not allow: every refusal, the advice as hint, and the nearest request. */
export function refusalError(
  role: CompiledRole,
  plan: Extract<Plan, { allowed: false }>,
  csr: string | undefined,
): AppError {
  const [first] = plan.refusals;
  const more = plan.refusals.length > 1 ? moreFindings(plan.refusals.length - 1) : '';
  const told = plan.refusals.slice(0, mostTold);
  return new AppError('refused', `${first?.message ?? 'The role refuses the request.'}${more}`, {
    hint: plan.advice,
    details: told.map(({ at, message }) => ({ at, message })),
    members: {
      refusals: told,
      nearest_request: plan.nearest === null ? null : nearestFields(role, plan.nearest, csr),
    },
  });
}
