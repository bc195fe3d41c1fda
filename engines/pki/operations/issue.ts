import { toRfc3339 } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { defineOperation } from '#core/operation.ts';
import {
  type IssueCertificateInput,
  type IssueCertificateOutput,
  issueCertificateInput,
  issueCertificateOutput,
  type PlanCertificateInput,
  type PlanCertificateOutput,
  planCertificateInput,
  planCertificateOutput,
} from '#pki/certificate-schema.ts';
import type { PkiDeps } from '#pki/deps.ts';
import type { Authority } from '#pki/directory.ts';
import { formatCertificate } from '#pki/formats.ts';
import { issueLeaf, nameKeyOf } from '#pki/issuance.ts';
import { type AskedCertificate, readAsked } from '#pki/issuance-request.ts';
import { compileFacts } from '#pki/authority-facts.ts';
import { requireCertified } from '#pki/issuer.ts';
import { nearestFields, planIssuance, refusalError, type Plan } from '#pki/plan.ts';
import { decideProfile } from '#pki/role.ts';
import type { CompiledRole } from '#pki/role-compile.ts';
import { type Exceeded, exceededLimits, limitAdvice, takePlace } from '#pki/role-limits.ts';
import type { CertificateProfile } from '#pki/ruling.ts';
import { proveRequest } from '#pki/x509/request.ts';
import { decodeSpki, keyIdentifierOf, type PublicKeyInfo, spkiSha256 } from '#pki/x509/spki.ts';

/** Issuing certificates, and the same without issuing. */

const resource = (input: { readonly role: string }) => `pki/roles/${input.role}`;
const facts = (input: PlanCertificateInput) => ({
  ttl: input.ttl,
  notAfter: input.not_after === undefined ? undefined : Date.parse(input.not_after),
  purpose: input.purpose,
});

export const issueCertificate = defineOperation({
  id: 'pki.issue_certificate',
  title: 'Issue a certificate',
  summary:
    'Issues a certificate by a role: for the key of a CSR, or with a key that is made here and shown once. A refusal names every rule and the nearest request that would pass.',
  input: issueCertificateInput,
  output: issueCertificateOutput,
  http: { method: 'POST', path: '/pki/certificates', status: 201, bodyLimit: 131_072 },
  effect: 'additive',
  sensitive: ['private_key', 'bundle', 'pkcs12'],
  resource,
  facts,
  async run(grant, input, deps: PkiDeps) {
    refuseFormat(input);
    const situation = await look(deps, grant, input);
    const { role, authority, asked } = situation;
    const ruling = decideProfile(role, asked.request, compileFacts(authority), grant.limits, grant.now);
    if (!ruling.allowed) {
      proveAsked(asked);
      throw refusal(situation, grant, input);
    }
    const counted = await takePlace(deps.store, grant, role.role);
    const issued = await issue(
      deps,
      grant,
      input,
      situation,
      ruling.profile,
      ruling.adjustments.map((adjustment) => adjustment.message),
    );
    return { ...issued, changes: [...counted, ...issued.changes] };
  },
});

interface Situation {
  readonly role: CompiledRole;
  readonly authority: Authority;
  readonly asked: AskedCertificate;
}

async function look(deps: PkiDeps, grant: Grant, input: PlanCertificateInput): Promise<Situation> {
  const role = await deps.directory.requireRole(grant.namespace, input.role);
  grant.reach(`pki/authorities/${role.role.authority}`);
  const authority = await deps.directory.requireAuthority(grant.namespace, role.role.authority);
  const asked = readAsked(input, await deps.directory.blockedKeys(grant.namespace));
  return { role, authority, asked };
}

/** Where nothing is signed, the proof of possession is verified here. Throws `invalid_request`. */
function proveAsked({ csr }: AskedCertificate): void {
  if (csr) proveRequest(csr);
}

function refusal({ role, authority, asked }: Situation, grant: Grant, input: PlanCertificateInput): AppError {
  const plan = planIssuance(role, asked.request, compileFacts(authority), grant.limits, grant.now);
  if (plan.allowed) throw new Error('the plan allows what the rules refused');
  return refusalError(role, plan, input.csr);
}

function refuseFormat({ format, password, csr }: IssueCertificateInput): void {
  if (format === 'pkcs12' && csr !== undefined)
    throw new AppError(
      'invalid_request',
      'A PKCS#12 file holds the private key, which stays with whoever made the CSR.',
      { hint: 'Ask for format pem, or leave csr out.' },
    );
  if (format === 'pkcs12' && password === undefined)
    throw new AppError('invalid_request', 'A PKCS#12 file needs a password.', {
      hint: 'Give password, 8 to 128 characters.',
    });
  if (format !== 'pkcs12' && password !== undefined)
    throw new AppError('invalid_request', 'A password is used with format pkcs12 only.', {
      hint: 'Leave password out.',
    });
}

async function issue(
  deps: PkiDeps,
  grant: Grant,
  input: IssueCertificateInput,
  situation: Situation,
  profile: CertificateProfile,
  adjustments: readonly string[],
) {
  const { authority, asked, role } = situation;
  if (!authority.active) throw new AppError('wrong_state', `Authority ${authority.row.name} signs nothing now.`);
  const issuer = requireCertified(authority.active, authority.row.name);
  const made = asked.csr ? undefined : await deps.signer.makeKey(profile.keyType);
  const key: PublicKeyInfo = asked.csr?.key ?? decodeSpki((made as NonNullable<typeof made>).spki);
  const crlShard = profile.urls.crl ? await deps.crlShards.next(issuer.row.id, () => proveAsked(asked)) : -1;
  const order = {
    profile,
    issuer,
    urls: authority.urls,
    crlShard,
    webPki: role.role.web_pki,
    spki: key.spki,
    spkiSha256: spkiSha256(key.spki),
    keyId: keyIdentifierOf(key),
    csr: asked.csr?.der,
  };
  const issued = await issueLeaf(deps.signer, order, grant);
  const output: IssueCertificateOutput = {
    serial_number: issued.serialNumber,
    not_before: toRfc3339(profile.notBefore),
    not_after: toRfc3339(profile.notAfter),
    ...(await formatCertificate(input, issued.certificate, issuer, made?.pkcs8)),
    ...(adjustments.length > 0 ? { adjustments: [...adjustments] } : {}),
  };
  made?.pkcs8.fill(0);
  return {
    output,
    changes: issued.changes,
    audit: {
      serial_number: issued.serialNumber,
      not_after: output.not_after,
      ...(grant.principal.onBehalfOf === undefined ? {} : { on_behalf_of: grant.principal.onBehalfOf }),
    },
  };
}

export const planCertificate = defineOperation({
  id: 'pki.plan_certificate',
  title: 'Plan a certificate',
  summary:
    'Decides a request without issuing: what the certificate would hold, or every rule that refuses and the nearest request that would pass.',
  input: planCertificateInput,
  output: planCertificateOutput,
  http: { method: 'POST', path: '/pki/certificates/plan', bodyLimit: 131_072 },
  effect: 'read',
  resource,
  facts,
  async run(grant, input, deps: PkiDeps) {
    const { role, authority, asked } = await look(deps, grant, input);
    proveAsked(asked);
    const plan = planIssuance(role, asked.request, compileFacts(authority), grant.limits, grant.now);
    const exceeded = await exceededLimits(deps.store, grant, role.role);
    const output = viewPlan(role, plan, input);
    return { output: exceeded.length === 0 ? output : held(output, exceeded) };
  },
});

/** A plan that the limits of the role hold up for now. */
function held(plan: PlanCertificateOutput, exceeded: readonly Exceeded[]): PlanCertificateOutput {
  return {
    ...plan,
    allowed: false,
    refusals: [...plan.refusals, ...exceeded.map((each) => each.refusal)],
    advice: plan.allowed ? limitAdvice(exceeded) : `${plan.advice} ${limitAdvice(exceeded)}`,
    certificate: null,
  };
}

function viewPlan(role: CompiledRole, plan: Plan, input: PlanCertificateInput): PlanCertificateOutput {
  if (!plan.allowed) {
    const nearest = plan.nearest === null ? null : { ...nearestFields(role, plan.nearest, input.csr) };
    return {
      allowed: false,
      refusals: [...plan.refusals],
      nearest_request: nearest,
      advice: plan.advice,
      certificate: null,
      adjustments: [],
    };
  }
  const { profile } = plan;
  return {
    allowed: true,
    refusals: [],
    nearest_request: null,
    advice: plan.advice,
    certificate: {
      subject: profile.subject.map(({ type, value }) => `${type}=${value}`).join(', '),
      names: profile.names.map(nameKeyOf),
      not_before: toRfc3339(profile.notBefore),
      not_after: toRfc3339(profile.notAfter),
      key_type: profile.keyType,
      key_usages: [...profile.keyUsages],
      extended_key_usages: [...profile.extendedKeyUsages],
      authority: profile.authority,
    },
    adjustments: plan.adjustments.map((adjustment) => adjustment.message),
  };
}

export const issueOperations = [issueCertificate, planCertificate];
