import { toRfc3339 } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import { defineOperation } from '#core/operation.ts';
import type { PkiDeps } from '#pki/deps.ts';
import { type IdentifierKind, kindTitles, parseIdentifier } from '#pki/identifier/identifier.ts';
import { isHostName } from '#pki/validation/constrained-name.ts';
import { ownCertificates, ownRevocation } from '#pki/validation/own-authorities.ts';
import { askOverHttp } from '#pki/validation/ask.ts';
import type { PolicyInputs } from '#pki/validation/policy-graph.ts';
import type { PeerName } from '#pki/validation/peer-name.ts';
import {
  type ValidateCertificateInput,
  validateCertificateInput,
  type ValidateCertificateOutput,
  validateCertificateOutput,
} from '#pki/validation/schema.ts';
import { type JudgedPath, validateCertificate as validate, type ValidationResult } from '#pki/validation/validate.ts';
import { decodePem } from '#pki/x509/pem.ts';

/** Validation of certificates, ours and others. */

const maxCharacters = 262_144;
const maxBlocks = 50;
/** Of one PEM: as many as operating systems trust. */
const maxAnchors = 200;

export const validateCertificate = defineOperation({
  id: 'pki.validate_certificate',
  title: 'Validate a certificate',
  summary:
    'Builds the certification path of a certificate and validates it (RFC 5280 §6): signatures, dates, names, constraints, usages, policies, revocation. Says for every fault which certificate has it and what would help.',
  input: validateCertificateInput,
  output: validateCertificateOutput,
  http: { method: 'POST', path: '/pki/certificates/validate' },
  cli: { alias: 'validate', arguments: ['certificate'], certificate: 'certificate', verdict: 'valid' },
  effect: 'read',
  openWorld: true,
  resource: () => 'pki/validation',
  async run(grant, input, deps: PkiDeps) {
    const at = input.at === undefined ? grant.now : Date.parse(input.at);
    const name = peerName(input);
    const [leaf, ...following] = readPem(input.certificate, 'CERTIFICATE');
    if (leaf === undefined) throw new AppError('invalid_request', 'The PEM holds no certificate.');
    const given = [...following, ...readPems(input.intermediates, 'CERTIFICATE')];
    const trusted = readPems(input.trust_anchors, 'CERTIFICATE', maxAnchors);
    const own = await ownCertificates(deps.directory, grant.namespace, [leaf, ...given]);
    const usesOwnRoots = input.trust_anchors === undefined;
    const result = await validate({
      leaf,
      intermediates: [...given, ...own.links, ...(usesOwnRoots ? [] : own.roots)],
      anchors: usesOwnRoots ? own.roots : trusted,
      crls: readPems(input.crls, 'X509 CRL'),
      at,
      name,
      purpose: input.purpose ?? (name?.kind === 'dns' || name?.kind === 'ip' ? 'server_auth' : 'any'),
      profile: input.profile,
      revocation: ownRevocation(deps.store, grant.namespace, at),
      checkRevocation: input.check_revocation,
      ocspResponses: (input.ocsp_responses ?? []).map((text) => Buffer.from(text, 'base64')),
      askForEvidence: input.fetch_revocation ? askOverHttp(deps.outbound) : undefined,
      policies: policyInputs(input),
    });
    return { output: view(result), audit: { valid: result.valid } };
  },
});

function policyInputs(input: ValidateCertificateInput): PolicyInputs {
  return {
    initialSet: input.policies,
    requireExplicit: input.require_explicit_policy,
    inhibitMapping: input.inhibit_policy_mapping,
    inhibitAny: input.inhibit_any_policy,
  };
}

/** Text around the blocks is passed over: what `openssl x509 -text`, `s_client -showcerts` and bundles of roots put there. */
function readPem(text: string, label: string, most = maxBlocks): Buffer[] {
  return decodePem(text, { label, maxLength: maxCharacters, maxBlocks: most, explained: true });
}

function readPems(texts: readonly string[] | undefined, label: string, most?: number): Buffer[] {
  return (texts ?? []).flatMap((text) => readPem(text, label, most));
}

/** The one name that was given. Throws `invalid_request` for two, and for one that is none. */
function peerName(input: ValidateCertificateInput): PeerName | undefined {
  const given: [IdentifierKind, string, string | undefined][] = [
    ['dns', 'dns_name', input.dns_name],
    ['ip', 'ip_address', input.ip_address],
    ['uri', 'uri', input.uri],
    ['email', 'email', input.email],
  ];
  const names = given.flatMap(([kind, field, value]) => (value === undefined ? [] : [{ kind, field, value }]));
  const [first, second] = names;
  if (second !== undefined)
    throw new AppError('invalid_request', 'More than one name was given; a validation asks for one.', {
      hint: 'Give one of dns_name, ip_address, uri and email.',
    });
  if (first === undefined) return undefined;
  const problem = nameProblem(first.kind, first.value);
  if (problem === undefined) return first;
  throw new AppError('invalid_request', `The ${kindTitles[first.kind]} ${problem}.`, {
    hint: 'Give the name by which the peer is reached.',
    details: [{ at: `/${first.field}`, message: problem }],
  });
}

function nameProblem(kind: IdentifierKind, value: string): string | undefined {
  if (kind === 'dns' && isHostName(value.toLowerCase())) return undefined;
  const parsed = parseIdentifier(kind, value);
  if (parsed.kind === 'malformed') return parsed.problem;
  return kind === 'dns' ? 'is a wildcard; a peer has one name' : undefined;
}

function view({ valid, profile, rejectedPaths, ...judged }: ValidationResult): ValidateCertificateOutput {
  return { valid, profile, ...viewPath(judged), rejected_paths: rejectedPaths.map(viewPath) };
}

function viewPath({ path, reasons }: JudgedPath): Pick<ValidateCertificateOutput, 'path' | 'reasons'> {
  return {
    path: path.map((entry) => ({
      role: entry.role,
      subject: entry.subject,
      issuer: entry.issuer,
      serial_number: entry.serialNumber,
      not_before: toRfc3339(entry.notBefore),
      not_after: toRfc3339(entry.notAfter),
      sha256: entry.sha256,
      revocation: entry.revocation,
    })),
    reasons: reasons.map((each) => ({ ...each, certificate: each.certificate && { ...each.certificate } })),
  };
}

export const validateOperations = [validateCertificate];
