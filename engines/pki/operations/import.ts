import { z } from 'zod';
import { update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { defineOperation } from '#core/operation.ts';
import { newIssuerRow, recordAuthorityCertificate } from '#pki/authority.ts';
import { assertSoundKey } from '#pki/authority-key.ts';
import {
  authorityName,
  authorityOutput,
  type ImportAuthorityInput,
  importAuthorityInput,
} from '#pki/authority-schema.ts';
import { viewAuthority } from '#pki/authority-view.ts';
import type { PkiDeps } from '#pki/deps.ts';
import type { Authority } from '#pki/directory.ts';
import { type SigningIssuer, toIssuer } from '#pki/issuer.ts';
import {
  assertAuthority,
  assertChain,
  isSelfSigned,
  readCertificatePem,
  readChainPem,
  readPrivateKeyPem,
} from '#pki/outside-certificate.ts';
import type { Certificate } from '#pki/x509/certificate.ts';
import { encodeRequest } from '#pki/x509/request.ts';
import { encodePem } from '#pki/x509/pem.ts';
import { authorityResource, insertAuthority, newAuthorityRow, previewAuthority } from './authorities.ts';

/** Authorities and outside ones: our CSR out, the signed certificate in, an existing authority taken over. */

export const importAuthority = defineOperation({
  id: 'pki.import_authority',
  title: 'Import an authority',
  summary:
    'Brings the certificate that an outside authority made for a CSR of ours, or takes over an existing authority with its certificate and private key.',
  input: importAuthorityInput,
  output: authorityOutput,
  http: { method: 'POST', path: '/pki/authorities/{name}/import', status: 201 },
  effect: 'mutating',
  resource: authorityResource,
  async run(grant, input, deps: PkiDeps) {
    const certificate = readCertificatePem(input.certificate, 'certificate');
    const chain = readChainPem(input.chain);
    assertAuthority(certificate, grant.now);
    assertChain([certificate, ...chain]);
    await assertSoundKey(deps, grant, certificate.spki);
    const authority = await deps.directory.authority(grant.namespace, input.name);
    return authority
      ? answerRequest(deps, grant, input, authority, certificate, chain)
      : takeOver(deps, grant, input, certificate, chain);
  },
});

/** The certificate goes to the issuer whose key it certifies. */
async function answerRequest(
  deps: PkiDeps,
  grant: Grant,
  input: ImportAuthorityInput,
  authority: Authority,
  certificate: Certificate,
  chain: readonly Certificate[],
) {
  const issuer = authority.issuers.find((candidate) => certificate.spki.equals(candidate.row.spki));
  if (!issuer) {
    throw new AppError('refused', `The certificate is for a key that authority ${input.name} does not have.`, {
      hint: 'Have the CSR of pki.get_authority_request signed, unchanged.',
    });
  }
  if (!certificate.subject.der.equals(issuer.row.subject))
    throw new AppError('refused', 'The certificate has another subject than the CSR.', {
      hint: 'Have it issued with the subject of the CSR.',
    });
  const renewed = {
    certificate: certificate.der,
    serial_number: certificate.serialNumber,
    not_before: certificate.notBefore,
    not_after: certificate.notAfter,
    outside_chain: concatenate(chain),
    request: null,
    state: issuer.row.state === 'pending' ? 'active' : issuer.row.state,
    parent_id: null,
  } as const;
  const row = { ...issuer.row, ...renewed };
  const view = {
    ...authority,
    row: { ...authority.row, state: 'active' as const },
    parent: null,
    ...replaceIssuer(authority, toIssuer(deps, row, chain, [])),
  };
  const retiring = authority.issuers.filter(
    ({ row: other }) => renewed.state === 'active' && other.state === 'active' && other.id !== row.id,
  );
  return {
    output: viewAuthority(view),
    changes: [
      update('pki_issuers', renewed, { id: row.id, state: issuer.row.state }, { expect: 1 }),
      ...retiring.map(({ row: other }) =>
        update('pki_issuers', { state: 'retiring' }, { id: other.id }, { expect: 1 }),
      ),
      update('pki_authorities', { state: 'active' }, { id: authority.row.id }, { expect: 1 }),
      recordAuthorityCertificate(grant, certificate, { issuerId: row.id, authority: input.name, crlShard: -1 }),
    ],
    audit: { serial_number: certificate.serialNumber },
  };
}

function replaceIssuer(authority: Authority, issuer: SigningIssuer): Pick<Authority, 'issuers' | 'active'> {
  const issuers = authority.issuers.map((each) => (each.row.id === issuer.row.id ? issuer : each));
  return { issuers, active: issuer.row.state === 'active' ? issuer : authority.active };
}

async function takeOver(
  deps: PkiDeps,
  grant: Grant,
  input: ImportAuthorityInput,
  certificate: Certificate,
  chain: readonly Certificate[],
) {
  if (input.private_key === undefined) {
    throw new AppError('not_found', `There is no authority ${input.name} that waits for a certificate.`, {
      hint: 'Give private_key to take over an existing authority, or create one without parent to get a CSR.',
    });
  }
  const key = readPrivateKeyPem(input.private_key);
  if (!key.spki.equals(certificate.spki))
    throw new AppError('refused', 'The private key does not belong to the certificate.', {
      hint: 'Give the key that the certificate was made for.',
    });
  const row = newAuthorityRow(grant, {
    ...input,
    kind: isSelfSigned(certificate) ? 'root' : 'intermediate',
    state: 'active',
  });
  const issuer = newIssuerRow(deps.sealer, grant, {
    authorityId: row.id,
    number: 1,
    state: 'active',
    keyType: key.keyType,
    spki: key.spki,
    pkcs8: key.pkcs8,
    subject: certificate.subject.der,
    certificate,
    parentId: null,
    outsideChain: concatenate(chain),
    request: null,
  });
  return {
    output: viewAuthority(previewAuthority(deps, row, issuer, chain, null)),
    changes: [
      ...insertAuthority(row, issuer),
      recordAuthorityCertificate(grant, certificate, { issuerId: issuer.id, authority: row.name, crlShard: -1 }),
    ],
    audit: { serial_number: certificate.serialNumber },
  };
}

function concatenate(chain: readonly Certificate[]): Buffer | null {
  return chain.length === 0 ? null : Buffer.concat(chain.map(({ der }) => der));
}

export const getAuthorityRequest = defineOperation({
  id: 'pki.get_authority_request',
  title: 'Get the CSR of an authority',
  summary:
    'Gives a CSR for the key of an authority: to be signed by an outside authority, renewed by one, or cross-signed.',
  input: z.strictObject({ name: authorityName }),
  output: z.strictObject({ name: z.string(), csr: z.string().describe('PKCS#10, PEM') }),
  http: { method: 'GET', path: '/pki/authorities/{name}/csr' },
  effect: 'read',
  resource: authorityResource,
  async run(grant, input, deps: PkiDeps) {
    const authority = await deps.directory.requireAuthority(grant.namespace, input.name);
    const issuer =
      authority.issuers.findLast(({ row }) => row.state === 'pending') ?? authority.active ?? authority.issuers.at(-1);
    if (!issuer) throw new Error(`authority ${authority.row.id} has no issuer`);
    const request = issuer.row.request ?? (await requestFor(issuer));
    return { output: { name: input.name, csr: encodePem('CERTIFICATE REQUEST', request) } };
  },
});

async function requestFor(issuer: SigningIssuer): Promise<Buffer> {
  const { row } = issuer;
  return encodeRequest({
    subject: row.subject,
    keyType: row.key_type,
    spki: row.spki,
    privateKey: await issuer.privateKey(),
  });
}

export const importOperations = [importAuthority, getAuthorityRequest];
