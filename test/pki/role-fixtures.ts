import assert from 'node:assert/strict';
import type { Limits } from '#core/grant.ts';
import { decideProfile } from '#pki/role.ts';
import { type CompiledAuthority, type CompiledRole, compileAuthority, compileRole } from '#pki/role-compile.ts';
import { roleSchema } from '#pki/role-schema.ts';
import type {
  AuthorityFacts,
  CertificateProfile,
  CsrRequest,
  IssuanceRequest,
  Refusal,
  Rule,
  Ruling,
} from '#pki/ruling.ts';

/** Roles, authorities and requests for the tests of the rules; each names only what it is about. */

export const day = 86_400_000;
/** Not a whole second, so that rounding shows. */
export const now = Date.UTC(2026, 10, 21, 10, 0, 0) + 789;
export const start = now - 789;

export function makeRole(fields: Record<string, unknown> = {}): CompiledRole {
  return compileRole(roleSchema.parse({ name: 'web', authority: 'issuing', ...fields }));
}

export function makeAuthority(facts: Partial<AuthorityFacts> = {}): CompiledAuthority {
  const base = { name: 'issuing', active: true, notBefore: now - 365 * day, notAfter: now + 3650 * day };
  return compileAuthority({ ...base, nameConstraints: [], ...facts });
}

export function ask(fields: Partial<IssuanceRequest> = {}): IssuanceRequest {
  return { dns: [], ip: [], uri: [], email: [], ...fields };
}

export function csr(fields: Partial<CsrRequest> = {}): CsrRequest {
  const key = { keyType: 'ec-p256', keyLabel: 'ec-p256' } as const;
  return { dns: [], ip: [], uri: [], email: [], commonNames: [], unsupported: [], ...key, ...fields };
}

export interface Case {
  readonly role?: Record<string, unknown>;
  readonly request?: Partial<IssuanceRequest>;
  readonly authority?: Partial<AuthorityFacts>;
  readonly limits?: Limits;
}

export function decide({ role, request, authority, limits }: Case): Ruling {
  return decideProfile(makeRole(role), ask(request), makeAuthority(authority), limits ?? {}, now);
}

export function profileOf(given: Case): CertificateProfile {
  const ruling = decide(given);
  assert.ok(ruling.allowed, JSON.stringify(ruling));
  return ruling.profile;
}

export function refusalsOf(given: Case): readonly Refusal[] {
  const ruling = decide(given);
  assert.ok(!ruling.allowed, `allowed: ${JSON.stringify(given)}`);
  return ruling.refusals;
}

/** `rule at` of every refusal. */
export function rulesOf(given: Case): string[] {
  return refusalsOf(given).map(({ rule, at }) => `${rule} ${at}`);
}

export function firstRule(given: Case): Rule | undefined {
  return refusalsOf(given)[0]?.rule;
}

export function namesOf(profile: CertificateProfile): string[] {
  return profile.names.map(({ kind, value }) => `${kind}:${value}`);
}
