import { insert } from '#core/change.ts';
import { toRfc3339 } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { newId } from '#core/ids.ts';
import { defineOperation } from '#core/operation.ts';
import {
  type AuthorityCertificateOrder,
  authorityValidity,
  pathLengthBelow,
  recordAuthorityCertificate,
  signAuthority,
  type Validity,
} from '#pki/authority.ts';
import { encodeSubject } from '#pki/authority-certificate.ts';
import { assertSoundKey } from '#pki/authority-key.ts';
import {
  type CrossSignInput,
  crossSignInput,
  signedAuthorityOutput,
  type SignIntermediateInput,
  signIntermediateInput,
} from '#pki/authority-schema.ts';
import type { PkiDeps } from '#pki/deps.ts';
import { readRequest } from '#pki/issuance-request.ts';
import { type CertifiedIssuer, requireCertified } from '#pki/issuer.ts';
import { assertAuthority, readCertificatePem } from '#pki/outside-certificate.ts';
import { unprintable } from '#pki/role-entries.ts';
import { type Certificate, decodeCertificate } from '#pki/x509/certificate.ts';
import type { CertificateRequest } from '#pki/x509/request.ts';
import { encodePem } from '#pki/x509/pem.ts';
import { authorityResource, signerOf, type SigningParent, signingParent } from './authorities.ts';

/** Signing authorities of others: intermediates by CSR, and cross-certificates. */

const fiveYears = 5 * 365 * 86_400;

export const signIntermediate = defineOperation({
  id: 'pki.sign_intermediate',
  title: 'Sign an outside intermediate',
  summary:
    'Signs the CSR of an authority that runs elsewhere, as an intermediate below one of ours. Only key and subject come from the CSR.',
  input: signIntermediateInput,
  output: signedAuthorityOutput,
  http: { method: 'POST', path: '/pki/authorities/{name}/sign-intermediate', status: 201, bodyLimit: 131_072 },
  effect: 'additive',
  resource: authorityResource,
  facts: (input) => ({ ttl: input.ttl }),
  async run(grant, input, deps: PkiDeps) {
    const parent = await signingParent(deps, grant, input.name);
    const csr = readRequest(input.csr);
    await assertSoundKey(deps, grant, csr.key.spki);
    const order = {
      subject: subjectFor(input, csr),
      spki: csr.key.spki,
      validity: authorityValidity(input, fiveYears, parent.issuer, grant),
      maxPathLength: pathLengthBelow(parent.issuer.certificate, input.max_path_length),
      nameConstraints: input.name_constraints,
    };
    return sign(grant, parent, order);
  },
});

function subjectFor(input: SignIntermediateInput, csr: CertificateRequest): Buffer {
  const given = [
    input.common_name,
    input.organization,
    input.organizational_unit,
    input.country,
    input.locality,
    input.province,
  ];
  if (given.some((value) => value !== undefined)) return encodeSubject(input);
  if (csr.subject.rdns.flat().some(({ value }) => unprintable.test(value)))
    throw new AppError('refused', 'The subject of the CSR holds characters that cannot be seen.', {
      hint: 'Give common_name, or make the CSR without them.',
    });
  if (csr.subject.rdns.length > 0) return csr.subject.der;
  throw new AppError('refused', 'The CSR has no subject, and an authority needs one.', { hint: 'Give common_name.' });
}

async function sign(grant: Grant, parent: SigningParent, order: AuthorityCertificateOrder) {
  const certificate = decodeCertificate((await signAuthority(order, signerOf(parent))).certificate);
  return {
    output: viewSigned(certificate, parent.issuer),
    changes: [
      recordAuthorityCertificate(grant, certificate, {
        issuerId: parent.issuer.row.id,
        authority: parent.authority.row.name,
        crlShard: parent.crlShard,
      }),
    ],
    audit: { serial_number: certificate.serialNumber },
  };
}

function viewSigned(certificate: Certificate, issuer: CertifiedIssuer) {
  return {
    serial_number: certificate.serialNumber,
    certificate: encodePem('CERTIFICATE', certificate.der),
    chain: [...issuer.chainPem],
    not_before: toRfc3339(certificate.notBefore),
    not_after: toRfc3339(certificate.notAfter),
  };
}

export const crossSign = defineOperation({
  id: 'pki.cross_sign_authority',
  title: 'Cross-sign an authority',
  summary:
    'Signs the key and name of another authority, ours or not, so that who trusts this one also accepts what the other signs.',
  input: crossSignInput,
  output: signedAuthorityOutput,
  http: { method: 'POST', path: '/pki/authorities/{name}/cross-sign', status: 201 },
  effect: 'additive',
  resource: authorityResource,
  facts: (input) => ({ ttl: input.ttl }),
  async run(grant, input, deps: PkiDeps) {
    const parent = await signingParent(deps, grant, input.name);
    const { certificate: other, issuerId } = await crossed(deps, grant, input);
    await assertSoundKey(deps, grant, other.spki);
    const order = {
      subject: other.subject.der,
      spki: other.spki,
      validity: crossValidity(input, other, parent.issuer, grant),
      maxPathLength: pathLengthBelow(parent.issuer.certificate, input.max_path_length),
      nameConstraints: input.name_constraints,
    };
    const signed = await sign(grant, parent, order);
    if (issuerId === undefined) return signed;
    const certificate = decodeCertificate(readCertificatePem(signed.output.certificate, 'certificate').der);
    const row = {
      id: newId('crs', grant.now),
      namespace: grant.namespace,
      issuer_id: issuerId,
      certificate: certificate.der,
      not_after: certificate.notAfter,
      created_at: grant.now,
    };
    return { ...signed, changes: [...signed.changes, insert('pki_cross_certificates', row)] };
  },
});

/** The certificate to cross-sign: one of ours by name, or one from outside that proves to be a sound authority. */
async function crossed(
  deps: PkiDeps,
  grant: Grant,
  input: CrossSignInput,
): Promise<{ certificate: Certificate; issuerId: string | undefined }> {
  if ((input.certificate === undefined) === (input.authority === undefined))
    throw new AppError('invalid_request', 'Give either certificate or authority.', {
      hint: 'authority names one of ours; certificate is PEM of one from outside.',
    });
  if (input.authority === input.name) throw new AppError('invalid_request', 'An authority cannot cross-sign itself.');
  if (input.authority !== undefined) {
    grant.reach(`pki/authorities/${input.authority}`);
    const authority = await deps.directory.requireAuthority(grant.namespace, input.authority);
    if (!authority.active) throw new AppError('wrong_state', `Authority ${input.authority} is ${authority.row.state}.`);
    const issuer = requireCertified(authority.active, input.authority);
    return { certificate: issuer.certificate, issuerId: issuer.row.id };
  }
  const certificate = readCertificatePem(input.certificate ?? '', 'certificate');
  assertAuthority(certificate, grant.now);
  return { certificate, issuerId: undefined };
}

/** Not longer than the certificate that is cross-signed, nor than the one that signs. */
function crossValidity(input: CrossSignInput, other: Certificate, issuer: CertifiedIssuer, grant: Grant): Validity {
  const left = Math.floor((other.notAfter - grant.now) / 1000);
  return authorityValidity(input, Math.max(1, left), issuer, grant);
}

export const signingOperations = [signIntermediate, crossSign];
