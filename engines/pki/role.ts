import type { Limits } from '#core/grant.ts';
import type { KeyType } from '#pki/x509/algorithm.ts';
import { shown } from './identifier/malformed.ts';
import { constraintAgainstSubject, type NameAttribute } from './identifier/name-constraints.ts';
import type { CompiledAuthority, CompiledRole } from './role-compile.ts';
import { type JudgedNames, judgeNames } from './role-names.ts';
import { isShort, judgeValidity, type Validity } from './role-validity.ts';
import type { Adjustment, CertificateProfile, IssuanceRequest, Refusal, Ruling } from './ruling.ts';

/**
 * The rules of issuance, all of them, as one pure function: role × request × authority × limits × now → what the
 * certificate will hold, or every rule that refuses. REST, MCP, ACME, renewal and the dry run call this and nothing else
 * decides, so there is no second path that could forget a check.
 */

/**
 * Decides a request. `role` and `authority` are compiled once and kept; `limits` are the grant's; `now` is in
 * milliseconds. Refusals are complete: a request that leaves out or changes what they name is not refused for something
 * that was already there to see.
 */
export function decideProfile(
  role: CompiledRole,
  request: IssuanceRequest,
  authority: CompiledAuthority,
  limits: Limits,
  now: number,
): Ruling {
  const refusals: Refusal[] = [];
  const adjustments: Adjustment[] = [];
  judgeAuthority(role, authority, now, refusals);
  const keyType = judgeKey(role, request, refusals);
  const judged = judgeNames(role, authority, request, refusals);
  const subject = subjectOf(role, judged, adjustments);
  judgeSubject(authority, subject, refusals);
  const validity = judgeValidity(role, authority, request, limits, now, refusals, adjustments);
  if (refusals.length > 0) return { allowed: false, refusals };
  return { allowed: true, profile: makeProfile(role, keyType, subject, judged, validity), adjustments };
}

function makeProfile(
  role: CompiledRole,
  keyType: KeyType,
  subject: readonly NameAttribute[],
  judged: JudgedNames,
  validity: Validity,
): CertificateProfile {
  const short = role.role.short_lived && isShort(validity);
  return {
    role: role.role.name,
    authority: role.role.authority,
    keyType,
    subject,
    names: judged.names,
    namesCritical: subject.length === 0,
    notBefore: validity.notBefore,
    notAfter: validity.notAfter,
    keyUsages: role.keyUsages.get(keyType) ?? [],
    extendedKeyUsages: role.extendedKeyUsages,
    extendedKeyUsageCritical: role.timeStamping,
    policyOids: role.policyOids,
    urls: { crl: !short, ocsp: !short, caIssuers: !short || role.role.web_pki },
    subjectKeyIdentifier: !role.role.web_pki,
  };
}

/** The authority must be able to sign, and what the role writes must be what its chain leaves. */
function judgeAuthority(role: CompiledRole, authority: CompiledAuthority, now: number, refusals: Refusal[]): void {
  const { name, active, notBefore, extendedKeyUsages } = authority.facts;
  if (!active || now < notBefore) {
    const found = active ? 'not valid yet' : 'not active';
    const message = `Authority ${name} of role ${role.role.name} is ${found}, so it signs nothing.`;
    refusals.push({ rule: 'authority_state', at: '/role', found, allowed: 'an active authority', message });
  }
  if (extendedKeyUsages === undefined) return;
  for (const usage of role.extendedKeyUsages) {
    if (extendedKeyUsages.includes(usage)) continue;
    const allowed = extendedKeyUsages.join(', ');
    const message = `Role ${role.role.name} writes the extended key usage ${usage}, which the chain of authority ${name} does not leave.`;
    refusals.push({ rule: 'authority_extended_key_usages', at: '/role', found: usage, allowed, message });
  }
}

/** The type of the key in the certificate: that of the CSR, or of the key to be made. */
function judgeKey(role: CompiledRole, request: IssuanceRequest, refusals: Refusal[]): KeyType {
  const { csr } = request;
  const allowed = role.role.key_types.join(', ');
  if (csr === undefined) {
    const type = request.keyType ?? role.defaultKeyType;
    if (role.role.require_csr) {
      const message = `Role ${role.role.name} issues only for keys that the requester made; send a CSR.`;
      refusals.push({ rule: 'require_csr', at: '/csr', found: 'no CSR', allowed: 'a CSR', message });
    }
    if (!role.keyUsages.has(type)) {
      const message = `Key type ${type} is not among key_types of role ${role.role.name}, which allows ${allowed}.`;
      refusals.push({ rule: 'key_types', at: '/key_type', found: type, allowed, message });
    }
    return type;
  }
  if (request.keyType !== undefined && request.keyType !== csr.keyType) {
    const message = `The request has a CSR and asks for another key type, ${request.keyType}; leave key_type out.`;
    refusals.push({ rule: 'key_types', at: '/key_type', found: request.keyType, allowed: 'no key_type', message });
  }
  if (csr.weakness !== undefined) {
    const message = `The key of the CSR must not be certified: it ${csr.weakness}.`;
    refusals.push({ rule: 'key_strength', at: '/csr', found: shown(csr.keyLabel), allowed: 'a sound key', message });
  }
  if (csr.keyType !== null && role.keyUsages.has(csr.keyType)) return csr.keyType;
  const found = shown(csr.keyLabel);
  const message = `The key of the CSR, ${found}, is not among key_types of role ${role.role.name}, which allows ${allowed}.`;
  refusals.push({ rule: 'key_types', at: '/csr', found, allowed, message });
  return role.defaultKeyType;
}

/** The subject: what the role fixes, then the common name. With `web_pki` it stays empty. */
function subjectOf(role: CompiledRole, judged: JudgedNames, adjustments: Adjustment[]): readonly NameAttribute[] {
  const { commonName } = judged;
  if (commonName === undefined) return role.subject;
  if (role.role.web_pki) {
    const message = `The common name ${commonName} is written among the DNS names and addresses only (web_pki).`;
    adjustments.push({ rule: 'web_pki', at: '/common_name', message });
    return role.subject;
  }
  return [...role.subject, { type: 'common_name', value: commonName }];
}

function judgeSubject(authority: CompiledAuthority, subject: readonly NameAttribute[], refusals: Refusal[]): void {
  const conflict =
    authority.constraints === null ? undefined : constraintAgainstSubject(authority.constraints, subject);
  if (conflict === undefined) return;
  const found = shown(subject.map(({ type, value }) => `${type}=${value}`).join(', '));
  refusals.push({
    rule: 'name_constraints',
    at: '/role',
    found,
    allowed: 'a subject within the name constraints of the authority',
    message: `The subject ${found} ${conflict} of authority ${authority.facts.name} or of one above it.`,
  });
}
