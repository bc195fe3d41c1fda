import { type Change, insert, update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { newId } from '#core/ids.ts';
import { defineOperation } from '#core/operation.ts';
import {
  authorityValidity,
  type NewIssuer,
  newIssuerRow,
  pathLengthBelow,
  recordAuthorityCertificate,
  rootCrlAddress,
  rootCrlShard,
  signAuthority,
} from '#pki/authority.ts';
import {
  authorityOutput,
  retireAuthorityInput,
  type RotateAuthorityInput,
  rotateAuthorityInput,
} from '#pki/authority-schema.ts';
import { viewAuthority } from '#pki/authority-view.ts';
import type { PkiDeps } from '#pki/deps.ts';
import type { Authority } from '#pki/directory.ts';
import { type CertifiedIssuer, requireCertified, type SigningIssuer, toIssuer } from '#pki/issuer.ts';
import type { IssuerRow } from '#pki/tables.ts';
import { type Certificate, decodeCertificate } from '#pki/x509/certificate.ts';
import { extensionValue } from '#pki/x509/extension.ts';
import { type GeneratedKey, generateKeyPair } from '#pki/x509/key.ts';
import { oids } from '#pki/x509/oid.ts';
import { encodeRequest } from '#pki/x509/request.ts';
import { authorityResource, signerOf, signingParent } from './authorities.ts';

/**
 * Rotation with overlap, and retirement. The new key signs from now on; the old one stays to answer for what it signed
 * (CRL and OCSP) until that has expired, and both certificates are published meanwhile.
 */

export const rotateAuthority = defineOperation({
  id: 'pki.rotate_authority',
  title: 'Rotate an authority',
  summary:
    'Gives an authority a new key and certificate. What the old key signed stays valid and its CRL and OCSP answers go on; a root is also cross-signed by its old key, so that clients that only know the old root accept the new one.',
  input: rotateAuthorityInput,
  output: authorityOutput,
  http: { method: 'POST', path: '/pki/authorities/{name}/rotate' },
  effect: 'mutating',
  resource: authorityResource,
  facts: (input) => ({ ttl: input.ttl }),
  async run(grant, input, deps: PkiDeps) {
    const authority = await deps.directory.requireAuthority(grant.namespace, input.name);
    if (!authority.active)
      throw new AppError('wrong_state', `Authority ${input.name} is ${authority.row.state} and cannot be rotated.`, {
        hint: 'Only an active authority has a key to succeed.',
      });
    const old = requireCertified(authority.active, input.name);
    const keyType = input.key_type ?? old.row.key_type;
    const key = await generateKeyPair(keyType);
    const rotated =
      authority.row.kind === 'root'
        ? await rotateRoot(deps, grant, input, authority, old, key)
        : await rotateIntermediate(deps, grant, input, authority, old, key);
    const issuer = toIssuer(deps, rotated.row, rotated.above, []);
    return {
      output: viewAuthority(withNewIssuer(authority, issuer)),
      changes: rotated.changes,
      audit: { issuer_number: rotated.row.number },
    };
  },
});

interface Rotated {
  readonly row: IssuerRow;
  readonly above: readonly Certificate[];
  readonly changes: readonly Change[];
}

function nextIssuer(
  authority: Authority,
  old: CertifiedIssuer,
  input: RotateAuthorityInput,
  key: GeneratedKey,
): Omit<NewIssuer, 'state' | 'certificate' | 'parentId' | 'request'> {
  return {
    authorityId: authority.row.id,
    number: Math.max(...authority.issuers.map(({ row }) => row.number)) + 1,
    keyType: input.key_type ?? old.row.key_type,
    spki: key.spki,
    pkcs8: key.pkcs8,
    subject: Buffer.from(old.row.subject),
    outsideChain: null,
  };
}

/** What the new certificate keeps of the old one. */
function inherited(old: CertifiedIssuer) {
  return {
    subject: Buffer.from(old.row.subject),
    maxPathLength: extensionValue(old.certificate.extensions, 'basic_constraints')?.pathLength,
    lifeSeconds: Math.round((old.certificate.notAfter - old.certificate.notBefore) / 1000),
  };
}

async function rotateRoot(
  deps: PkiDeps,
  grant: Grant,
  input: RotateAuthorityInput,
  authority: Authority,
  old: CertifiedIssuer,
  key: GeneratedKey,
): Promise<Rotated> {
  const { subject, maxPathLength, lifeSeconds } = inherited(old);
  const validity = authorityValidity(input, lifeSeconds, undefined, grant);
  const nameConstraints = inheritedConstraints(old);
  const order = { subject, spki: key.spki, validity, maxPathLength, nameConstraints };
  const { number, keyType } = nextIssuer(authority, old, input, key);
  const signed = await signAuthority(order, { kind: 'self', key, keyType, urls: authority.urls, number });
  const certificate = decodeCertificate(signed.certificate);
  const cross = input.cross_sign ? await crossByOld(deps, grant, authority, old, key, input) : undefined;
  const row = newIssuerRow(deps.sealer, grant, {
    ...nextIssuer(authority, old, input, key),
    state: 'active',
    certificate,
    parentId: null,
    request: null,
  });
  const record = recordAuthorityCertificate(grant, certificate, {
    issuerId: row.id,
    authority: authority.row.name,
    crlShard: rootCrlShard,
  });
  return {
    row,
    above: [],
    changes: [
      ...succession(old, row),
      record,
      rootCrlAddress(deps, grant, row.id),
      ...crossChanges(grant, authority, old, row, cross),
    ],
  };
}

interface Cross {
  readonly certificate: Certificate;
  readonly crlShard: number;
}

/** The old key certifies the new one to the end of its own life. */
async function crossByOld(
  deps: PkiDeps,
  grant: Grant,
  authority: Authority,
  old: CertifiedIssuer,
  key: GeneratedKey,
  input: RotateAuthorityInput,
): Promise<Cross | undefined> {
  const length = extensionValue(old.certificate.extensions, 'basic_constraints')?.pathLength;
  // A root of path length 0 cannot certify another authority: its clients must be given the new root.
  if (length === 0) return undefined;
  const crlShard = await deps.crlShards.next(old.row.id);
  const left = Math.max(1, Math.floor((old.certificate.notAfter - grant.now) / 1000));
  const validity = authorityValidity({ ttl: Math.min(left, input.ttl ?? left) }, left, old, grant);
  const order = {
    subject: Buffer.from(old.row.subject),
    spki: key.spki,
    validity,
    maxPathLength: pathLengthBelow(old.certificate, undefined),
    nameConstraints: undefined,
  };
  const signed = await signAuthority(order, { kind: 'issuer', issuer: old, urls: authority.urls, crlShard });
  return { certificate: decodeCertificate(signed.certificate), crlShard };
}

function crossChanges(
  grant: Grant,
  authority: Authority,
  old: CertifiedIssuer,
  row: IssuerRow,
  cross: Cross | undefined,
): Change[] {
  if (!cross) return [];
  const { certificate, crlShard } = cross;
  return [
    recordAuthorityCertificate(grant, certificate, { issuerId: old.row.id, authority: authority.row.name, crlShard }),
    insert('pki_cross_certificates', {
      id: newId('crs', grant.now),
      namespace: grant.namespace,
      issuer_id: row.id,
      certificate: certificate.der,
      not_after: certificate.notAfter,
      created_at: grant.now,
    }),
  ];
}

async function rotateIntermediate(
  deps: PkiDeps,
  grant: Grant,
  input: RotateAuthorityInput,
  authority: Authority,
  old: CertifiedIssuer,
  key: GeneratedKey,
): Promise<Rotated> {
  const next = nextIssuer(authority, old, input, key);
  if (authority.parent === null) {
    const request = encodeRequest({
      subject: next.subject,
      keyType: next.keyType,
      spki: key.spki,
      privateKey: key.privateKey,
    });
    const row = newIssuerRow(deps.sealer, grant, {
      ...next,
      state: 'pending',
      certificate: undefined,
      parentId: null,
      request,
    });
    return { row, above: [], changes: [insert('pki_issuers', { ...row })] };
  }
  const parent = await signingParent(deps, grant, authority.parent);
  const { subject, maxPathLength, lifeSeconds } = inherited(old);
  const order = {
    subject,
    spki: key.spki,
    validity: authorityValidity({ ttl: input.ttl }, lifeSeconds, parent.issuer, grant),
    maxPathLength: pathLengthBelow(parent.issuer.certificate, maxPathLength),
    nameConstraints: inheritedConstraints(old),
  };
  const certificate = decodeCertificate((await signAuthority(order, signerOf(parent))).certificate);
  const row = newIssuerRow(deps.sealer, grant, {
    ...next,
    state: 'active',
    certificate,
    parentId: parent.issuer.row.id,
    request: null,
  });
  const record = recordAuthorityCertificate(grant, certificate, {
    issuerId: parent.issuer.row.id,
    authority: parent.authority.row.name,
    crlShard: parent.crlShard,
  });
  return { row, above: parent.issuer.chain, changes: [...succession(old, row), record] };
}

/** Both in one commit, and only while the old one still is the active one: of two rotations at once, one is refused. */
function succession(old: CertifiedIssuer, row: IssuerRow): Change[] {
  const otherwise = () =>
    new AppError('wrong_state', 'The authority was rotated by someone else meanwhile.', {
      hint: 'Look at it with pki.get_authority; rotate again only if that is still wanted.',
    });
  return [
    update('pki_issuers', { state: 'retiring' }, { id: old.row.id, state: 'active' }, { expect: 1, otherwise }),
    insert('pki_issuers', { ...row }),
  ];
}

function withNewIssuer(authority: Authority, issuer: SigningIssuer): Authority {
  const active = issuer.row.state === 'active' ? issuer : authority.active;
  return { ...authority, issuers: [...authority.issuers, issuer], active };
}

/** The extension is taken over as it stands, so that a new key is never freer than the old one. */
function inheritedConstraints(old: CertifiedIssuer): Buffer | undefined {
  return old.certificate.extensions.get(oids.nameConstraints)?.value;
}

export const retireAuthority = defineOperation({
  id: 'pki.retire_authority',
  title: 'Retire an authority',
  summary:
    'Ends issuance by an authority. Its CRLs and OCSP answers go on until what it signed has expired. To take back what it signed, revoke its certificate or its certificates.',
  input: retireAuthorityInput,
  output: authorityOutput,
  http: { method: 'POST', path: '/pki/authorities/{name}/retire' },
  effect: 'destructive',
  idempotent: true,
  resource: authorityResource,
  async run(grant, input, deps: PkiDeps) {
    const authority = await deps.directory.requireAuthority(grant.namespace, input.name);
    if (authority.row.state === 'retired') return { output: viewAuthority(authority) };
    const row = { ...authority.row, state: 'retired' as const };
    const changes: Change[] = [
      update('pki_authorities', { state: 'retired' }, { id: row.id, state: authority.row.state }, { expect: 1 }),
      update('pki_issuers', { state: 'retiring' }, { authority_id: row.id, state: 'active' }),
    ];
    return { output: viewAuthority({ ...authority, row, active: undefined }), changes };
  },
});

export const rotationOperations = [rotateAuthority, retireAuthority];
