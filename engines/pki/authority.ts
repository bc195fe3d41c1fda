import { type Change, insert } from '#core/change.ts';
import { toRfc3339 } from '#core/clock.ts';
import { formatDuration } from '#core/duration.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { newId } from '#core/ids.ts';
import type { Sealer } from '#seal/sealer.ts';
import { type KeyType, signatureAlgorithmOf } from '#pki/x509/algorithm.ts';
import { type Certificate, encodeTbsCertificate } from '#pki/x509/certificate.ts';
import { extensionValue } from '#pki/x509/extension.ts';
import type { GeneratedKey } from '#pki/x509/key.ts';
import { decodeName, formatName } from '#pki/x509/name.ts';
import { decodeSpki, keyIdentifierOf, spkiSha256 } from '#pki/x509/spki.ts';
import { type AuthorityExtensions, authorityExtensions } from './authority-certificate.ts';
import type { NameConstraintsInput } from './authority-schema.ts';
import { backdate } from './backdate.ts';
import { insertAddress } from './crl-addresses.ts';
import type { PkiDeps } from './deps.ts';
import { signingKeyOf } from './issuance.ts';
import { randomSerial } from '#pki/x509/serial.ts';
import { type CertifiedIssuer, issuerKeyPlace } from './issuer.ts';
import { type SigningKey, signPrepared, toPublicKey } from './signing.ts';
import type { CertificateRow, IssuerRow, IssuerState } from './tables.ts';
import type { PkiUrls } from './urls.ts';

/** Making certificates of authorities: roots, intermediates, those of others, cross-certificates. */

export interface Validity {
  /** Milliseconds, whole seconds. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly adjustments: readonly string[];
}

/**
 * The life of an authority's certificate. A default is cut to the end of its parent; so is what was asked for when it is
 * beyond by less than a day (the same ttl for both, made one after the other); more than that is refused.
 */
export function authorityValidity(
  asked: { readonly ttl?: number | undefined; readonly not_before?: string | undefined },
  defaultTtl: number,
  parent: CertifiedIssuer | undefined,
  grant: Grant,
): Validity {
  const start = asked.not_before === undefined ? grant.now - backdate : Date.parse(asked.not_before);
  const notBefore = Math.max(floorSecond(start), parent?.certificate.notBefore ?? 0);
  const wanted = floorSecond(asked.not_before === undefined ? grant.now : start) + (asked.ttl ?? defaultTtl) * 1000;
  refuseBeyondPolicy(asked.ttl ?? defaultTtl, wanted, grant);
  const latest = Math.min(parent?.certificate.notAfter ?? wanted, grant.limits.notAfter ?? wanted);
  if (wanted <= latest) return { notBefore, notAfter: wanted, adjustments: [] };
  if (asked.ttl !== undefined && wanted - latest > 86_400_000) {
    const left = formatDuration(Math.max(0, Math.floor((latest - grant.now) / 1000)));
    throw new AppError('refused', `The life asked for ends after the authority above it, at ${toRfc3339(latest)}.`, {
      hint: `Ask for a ttl of at most ${left}, or rotate the authority above first.`,
    });
  }
  return {
    notBefore,
    notAfter: latest,
    adjustments: [`not_after was cut to ${toRfc3339(latest)}, the end of the authority above`],
  };
}

function refuseBeyondPolicy(ttl: number, notAfter: number, { limits }: Grant): void {
  if (limits.maxTtl !== undefined && ttl > limits.maxTtl) {
    throw new AppError('denied', `The policy allows a life of at most ${formatDuration(limits.maxTtl)}.`, {
      hint: `Ask for a ttl of at most ${formatDuration(limits.maxTtl)}.`,
    });
  }
  if (limits.notAfter !== undefined && notAfter > limits.notAfter) {
    throw new AppError('denied', `The policy allows nothing that is valid after ${toRfc3339(limits.notAfter)}.`);
  }
}

function floorSecond(milliseconds: number): number {
  return Math.floor(milliseconds / 1000) * 1000;
}

/** How many authorities may follow below; throws `refused` when the one above leaves no room (RFC 5280 §4.2.1.9). */
export function pathLengthBelow(parent: Certificate, asked: number | undefined): number | undefined {
  const left = extensionValue(parent.extensions, 'basic_constraints')?.pathLength;
  if (left === undefined) return asked;
  if (left === 0) {
    throw new AppError('refused', 'The authority above allows no authority below it (max_path_length 0).', {
      hint: 'Use it for certificates of end entities, or make the authority above with a larger max_path_length.',
    });
  }
  if (asked !== undefined && asked > left - 1) {
    throw new AppError(
      'refused',
      `The authority above leaves a max_path_length of ${left - 1}, and ${asked} was asked for.`,
      {
        hint: `Ask for at most ${left - 1}.`,
      },
    );
  }
  return asked ?? left - 1;
}

export interface AuthorityCertificateOrder {
  /** Name, DER. */
  readonly subject: Buffer;
  readonly spki: Buffer;
  readonly validity: Validity;
  readonly maxPathLength: number | undefined;
  readonly nameConstraints: NameConstraintsInput | Buffer | undefined;
}

/** Who signs: the key itself (a root), or an issuer of ours. */
export type AuthoritySigner =
  | {
      readonly kind: 'self';
      readonly key: GeneratedKey;
      readonly keyType: KeyType;
      readonly urls: PkiUrls;
      /** The number that the new issuer will have. */
      readonly number: number;
    }
  | { readonly kind: 'issuer'; readonly issuer: CertifiedIssuer; readonly urls: PkiUrls; readonly crlShard: number };

/** A root is the first certificate of its own CRL. */
export const rootCrlShard = 0;

/** The certificate of a root of ours names its CRL like all others, but takes no place on it. */
export function rootCrlAddress({ baseUrl }: Pick<PkiDeps, 'baseUrl'>, grant: Grant, issuerId: string): Change {
  return insertAddress({
    issuer_id: issuerId,
    shard: rootCrlShard,
    base_url: baseUrl,
    namespace: grant.namespace,
    first_used_at: grant.now,
  });
}

export interface SignedAuthority {
  readonly certificate: Buffer;
  readonly serialNumber: string;
}

/** Throws `refused` when the linter faults it. */
export async function signAuthority(
  order: AuthorityCertificateOrder,
  signer: AuthoritySigner,
): Promise<SignedAuthority> {
  const serialNumber = randomSerial();
  const key = await keyOf(signer);
  const tbs = encodeTbsCertificate({
    serialNumber,
    signatureAlgorithm: signatureAlgorithmOf(key.keyType),
    issuer: signer.kind === 'self' ? order.subject : signer.issuer.certificate.subject.der,
    notBefore: order.validity.notBefore,
    notAfter: order.validity.notAfter,
    subject: order.subject,
    spki: order.spki,
    extensions: authorityExtensions({
      subjectKeyId: keyIdentifierOf(decodeSpki(order.spki)),
      maxPathLength: order.maxPathLength,
      nameConstraints: order.nameConstraints,
      issuer: issuerParts(order, signer),
    }),
  });
  return { serialNumber, certificate: signPrepared({ tbs, kind: 'authority', webPki: false }, key) };
}

/** A root is its own issuer: it names its own CRL, without which clients that check a whole chain cannot place it. */
function issuerParts(order: AuthorityCertificateOrder, signer: AuthoritySigner): AuthorityExtensions['issuer'] {
  const { urls } = signer;
  if (signer.kind === 'issuer')
    return {
      isSelf: false,
      keyId: signer.issuer.keyId,
      number: signer.issuer.row.number,
      urls,
      crlShard: signer.crlShard,
    };
  return {
    isSelf: true,
    keyId: keyIdentifierOf(decodeSpki(order.spki)),
    number: signer.number,
    urls,
    crlShard: rootCrlShard,
  };
}

async function keyOf(signer: AuthoritySigner): Promise<SigningKey> {
  if (signer.kind === 'issuer') return signingKeyOf(signer.issuer);
  return { privateKey: signer.key.privateKey, publicKey: toPublicKey(signer.key.spki), keyType: signer.keyType };
}

export interface NewIssuer {
  readonly authorityId: string;
  readonly number: number;
  readonly state: IssuerState;
  readonly keyType: KeyType;
  readonly spki: Buffer;
  /** PKCS#8, DER; zeroed here once it is sealed. */
  readonly pkcs8: Buffer;
  /** Name, DER. */
  readonly subject: Buffer;
  readonly certificate: Certificate | undefined;
  readonly parentId: string | null;
  readonly outsideChain: Buffer | null;
  readonly request: Buffer | null;
}

/** The row of a new issuer, its key sealed. */
export function newIssuerRow(sealer: Sealer, grant: Grant, issuer: NewIssuer): IssuerRow {
  const id = newId('iss', grant.now);
  const privateKey = sealer.seal(issuerKeyPlace(id), issuer.pkcs8);
  issuer.pkcs8.fill(0);
  return {
    id,
    namespace: grant.namespace,
    authority_id: issuer.authorityId,
    number: issuer.number,
    state: issuer.state,
    key_type: issuer.keyType,
    private_key: privateKey,
    spki: issuer.spki,
    spki_sha256: spkiSha256(issuer.spki),
    subject: issuer.subject,
    certificate: issuer.certificate?.der ?? null,
    serial_number: issuer.certificate?.serialNumber ?? null,
    not_before: issuer.certificate?.notBefore ?? null,
    not_after: issuer.certificate?.notAfter ?? null,
    parent_id: issuer.parentId,
    outside_chain: issuer.outsideChain,
    request: issuer.request,
    created_at: grant.now,
  };
}

/** Records a certificate of an authority in the inventory, so that it is found, listed, revoked like any other. */
export function recordAuthorityCertificate(
  grant: Grant,
  certificate: Certificate,
  signedBy: { readonly issuerId: string; readonly authority: string; readonly crlShard: number },
): Change {
  const row: CertificateRow = {
    id: newId('crt', grant.now),
    namespace: grant.namespace,
    serial_number: certificate.serialNumber,
    issuer_id: signedBy.issuerId,
    authority: signedBy.authority,
    role: null,
    principal: grant.principal.name,
    kind: 'authority',
    certificate: certificate.der,
    subject: formatName(decodeName(certificate.subject.der)),
    spki_sha256: spkiSha256(certificate.spki),
    not_before: certificate.notBefore,
    not_after: certificate.notAfter,
    issued_at: grant.now,
    status: 'valid',
    revoked_at: null,
    revocation_reason: null,
    invalidity_date: null,
    crl_shard: signedBy.crlShard,
    purpose: grant.purpose ?? null,
  };
  return insert('pki_certificates', { ...row });
}
