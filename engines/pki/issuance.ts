import { type Change, insert } from '#core/change.ts';
import type { Grant } from '#core/grant.ts';
import { newId } from '#core/ids.ts';
import { nullValue } from '#pki/asn1/writer.ts';
import { encodeExtension, encodeRawExtension, type ExtensionKind } from '#pki/x509/extension.ts';
import { oids } from '#pki/x509/oid.ts';
import { signatureAlgorithmOf } from '#pki/x509/algorithm.ts';
import { randomSerial } from '#pki/x509/serial.ts';
import { decodeName, encodeName, formatName } from '#pki/x509/name.ts';
import { type CertificateTemplate, compileTemplate } from '#pki/x509/template.ts';
import { accessExtension, crlExtension } from './authority-certificate.ts';
import type { Identifier } from './identifier/identifier.ts';
import type { CertifiedIssuer } from './issuer.ts';
import type { CertificateProfile } from './ruling.ts';
import type { Signer } from './signer/signer.ts';
import { type SigningKey, toPublicKey } from './signing.ts';
import type { CertificateRow } from './tables.ts';
import type { PkiUrls } from './urls.ts';

/**
 * From a decided profile and a key to a signed certificate and the rows that record it: prepare → lint → sign → verify.
 * The bytes come from a template per issuer and kind of profile, since most of a certificate is the same every time.
 */
export interface IssuedLeaf {
  /** DER. */
  readonly certificate: Buffer;
  readonly serialNumber: string;
  readonly changes: readonly Change[];
}

export interface LeafOrder {
  readonly profile: CertificateProfile;
  readonly issuer: CertifiedIssuer;
  readonly urls: PkiUrls;
  /** The shard of the issuer's CRL; ignored when the profile names no CRL. */
  readonly crlShard: number;
  /** Whether the Baseline Requirements are linted for as well. */
  readonly webPki: boolean;
  /** SubjectPublicKeyInfo of the subscriber, DER. */
  readonly spki: Buffer;
  /** Hex. */
  readonly spkiSha256: string;
  /** Subject key identifier. */
  readonly keyId: Buffer;
  /** The CSR that the key came in, DER, proved before anything is signed; undefined: the key was made here. */
  readonly csr: Buffer | undefined;
}

/**
 * Throws `invalid_request` when the CSR is not signed with its key, `refused` when that key is none or the linter faults
 * the certificate.
 */
export async function issueLeaf(signer: Pick<Signer, 'sign'>, order: LeafOrder, grant: Grant): Promise<IssuedLeaf> {
  const serialNumber = randomSerial();
  const subject = subjectOf(order.profile);
  const tbs = prepare(order, serialNumber, subject.der);
  const certificate = await signer.sign(order.issuer, { tbs, kind: 'leaf', webPki: order.webPki, csr: order.csr });
  return { certificate, serialNumber, changes: recordLeaf(order, grant, serialNumber, subject.text, certificate) };
}

/** The TBSCertificate, DER. */
export function prepare(order: LeafOrder, serialNumber: string, subject: Buffer): Buffer {
  const { profile, issuer, spki } = order;
  return templateFor(order).render({
    serialNumber,
    notBefore: profile.notBefore,
    notAfter: profile.notAfter,
    subject,
    spki,
    extensions: {
      subject_alt_name: profile.names.length === 0 ? undefined : altNameExtension(profile),
      subject_key_identifier: profile.subjectKeyIdentifier
        ? encodeExtension('subject_key_identifier', order.keyId)
        : undefined,
      crl_distribution_points: profile.urls.crl ? distributionPoint(order, issuer) : undefined,
    },
  });
}

const signingKeys = new WeakMap<CertifiedIssuer, Promise<SigningKey>>();

/** The issuer's key, opened once. */
export function signingKeyOf(issuer: CertifiedIssuer): Promise<SigningKey> {
  const known = signingKeys.get(issuer);
  if (known) return known;
  const opening = issuer.privateKey().then((privateKey) => ({
    privateKey,
    publicKey: toPublicKey(issuer.row.spki),
    keyType: issuer.row.key_type,
    // Copies: a view of Node's shared pool would go to the signing thread with the whole pool.
    chain: issuer.chain.map(({ der }) => Uint8Array.from(der)),
  }));
  signingKeys.set(issuer, opening);
  opening.catch(() => signingKeys.delete(issuer));
  return opening;
}

const templates = new WeakMap<CertifiedIssuer, Map<string, CertificateTemplate>>();

/** Everything in a profile that is not the certificate's own decides the template. */
function templateFor({ profile, issuer, urls }: LeafOrder): CertificateTemplate {
  const mine = templates.get(issuer) ?? new Map<string, CertificateTemplate>();
  templates.set(issuer, mine);
  const { keyUsages, extendedKeyUsages, extendedKeyUsageCritical, policyOids } = profile;
  const key = `${keyUsages.join()}|${extendedKeyUsages.join()}|${extendedKeyUsageCritical}|${policyOids.join()}|${profile.urls.crl}${profile.urls.ocsp}${profile.urls.caIssuers}`;
  const known = mine.get(key);
  if (known) return known;
  const made = compileTemplate({
    signatureAlgorithm: signatureAlgorithmOf(issuer.row.key_type),
    issuer: issuer.certificate.subject.der,
    extensions: templateExtensions(profile, issuer, urls),
  });
  mine.set(key, made);
  return made;
}

function templateExtensions(
  profile: CertificateProfile,
  issuer: CertifiedIssuer,
  urls: PkiUrls,
): (Buffer | ExtensionKind)[] {
  const policies = profile.policyOids.map((oid) => ({ oid }));
  const { crl, ocsp, caIssuers } = profile.urls;
  return [
    encodeExtension('key_usage', profile.keyUsages),
    encodeExtension('extended_key_usage', profile.extendedKeyUsages, profile.extendedKeyUsageCritical),
    encodeExtension('authority_key_identifier', { keyIdentifier: issuer.keyId }),
    'subject_key_identifier',
    'subject_alt_name',
    ...(policies.length > 0 ? [encodeExtension('certificate_policies', policies)] : []),
    'crl_distribution_points',
    ...(ocsp || caIssuers ? [accessExtension(urls, issuer.row.number, profile.urls)] : []),
    // RFC 9608 §2: whoever sees it does not look for revocation information that is not there.
    ...(crl || ocsp ? [] : [encodeRawExtension(oids.noRevAvail, false, nullValue())]),
  ];
}

const distributionPoints = new WeakMap<CertifiedIssuer, Map<number, Buffer>>();

function distributionPoint({ urls, crlShard }: LeafOrder, issuer: CertifiedIssuer): Buffer {
  const mine = distributionPoints.get(issuer) ?? new Map<number, Buffer>();
  distributionPoints.set(issuer, mine);
  const extension = mine.get(crlShard) ?? crlExtension(urls, issuer.row.number, crlShard);
  mine.set(crlShard, extension);
  return extension;
}

/** RFC 5280 §4.2.1.6: critical when the subject is empty. */
function altNameExtension({ names, namesCritical }: CertificateProfile): Buffer {
  return encodeExtension('subject_alt_name', names, namesCritical);
}

interface Subject {
  readonly der: Buffer;
  /** RFC 4514. */
  readonly text: string;
}

const emptySubject: Subject = { der: encodeName([]), text: '' };

function subjectOf({ subject }: CertificateProfile): Subject {
  if (subject.length === 0) return emptySubject;
  const der = encodeName(subject);
  return { der, text: formatName(decodeName(der)) };
}

/** `dns:a.example`, as the inventory keeps names and searches for them. */
export function nameKeyOf({ kind, value }: Identifier): string {
  return `${kind}:${value}`;
}

/** What the certificate is found by: its names, and a common name that is none of them as `cn:chy_ab12c_app`. */
function searchedNames({ names, subject }: CertificateProfile): string[] {
  const commonNames = subject.flatMap(({ type, value }) => (type === 'common_name' ? [value] : []));
  const alone = commonNames.filter((text) => !names.some(({ value }) => value === text));
  return [...names.map(nameKeyOf), ...alone.map((text) => `cn:${text}`)];
}

function recordLeaf(
  order: LeafOrder,
  grant: Grant,
  serialNumber: string,
  subject: string,
  certificate: Buffer,
): Change[] {
  const { profile, issuer } = order;
  const id = newId('crt', grant.now);
  const row: CertificateRow = {
    id,
    namespace: grant.namespace,
    serial_number: serialNumber,
    issuer_id: issuer.row.id,
    authority: profile.authority,
    role: profile.role,
    principal: grant.principal.onBehalfOf ?? grant.principal.name,
    kind: 'leaf',
    certificate,
    subject,
    spki_sha256: order.spkiSha256,
    not_before: profile.notBefore,
    not_after: profile.notAfter,
    issued_at: grant.now,
    status: 'valid',
    revoked_at: null,
    revocation_reason: null,
    invalidity_date: null,
    crl_shard: profile.urls.crl ? order.crlShard : -1,
    purpose: grant.purpose ?? null,
  };
  const names = searchedNames(profile).map((name) =>
    insert('pki_certificate_names', { namespace: grant.namespace, name, certificate_id: id }),
  );
  return [insert('pki_certificates', { ...row }), ...names];
}
