import { createPrivateKey, type KeyObject } from 'node:crypto';
import { type Change, insert, remove } from '#core/change.ts';
import type { Clock } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { newId } from '#core/ids.ts';
import type { Place, Sealer } from '#seal/sealer.ts';
import { createCache } from '#storage/cache.ts';
import type { Store } from '#storage/store.ts';
import type { Authority } from '#pki/directory.ts';
import { signingKeyOf } from '#pki/issuance.ts';
import { randomSerial } from '#pki/x509/serial.ts';
import type { CertifiedIssuer } from '#pki/issuer.ts';
import { signPrepared } from '#pki/signing.ts';
import type { CertificateRow, OcspSignerRow } from '#pki/tables.ts';
import { type KeyType, signatureAlgorithmOf } from '#pki/x509/algorithm.ts';
import { decodeCertificate, encodeTbsCertificate } from '#pki/x509/certificate.ts';
import { encodeExtension } from '#pki/x509/extension.ts';
import { generateKeyPair } from '#pki/x509/key.ts';
import { decodeName, encodeName, formatName } from '#pki/x509/name.ts';
import { hashIssuer } from '#pki/x509/ocsp-cert-id.ts';
import { oids } from '#pki/x509/oid.ts';
import { decodeSpki, keyIdentifierOf, spkiSha256 } from '#pki/x509/spki.ts';
import type { SystemCall } from './system-call.ts';

/**
 * The delegated signers of OCSP answers (RFC 6960 §4.2.2.2): a key of its own for each issuer, certified for this alone
 * and for two weeks, so that an authority's key never signs at a stranger's request. All nodes share the stored one.
 */
export interface OcspSigner {
  readonly keyType: KeyType;
  readonly privateKey: KeyObject;
  /** DER. */
  readonly certificate: Buffer;
  /** SHA-1 of its public key: the ResponderID (RFC 6960 §4.2.1). */
  readonly keyHash: Buffer;
  /** Milliseconds. */
  readonly notBefore: number;
  readonly notAfter: number;
}

export const signerLife = 14 * 86_400;
/** Clocks that are late by some minutes must not refuse a new signer. */
const backdate = 300_000;

function signerKeyPlace(id: string): Place {
  return { table: 'pki_ocsp_signers', row: id, column: 'private_key' };
}

/** Of the kind of the issuer's, and the quickest of it: answers are signed by the thousand. */
function signerKeyType(issuer: KeyType): KeyType {
  if (issuer.startsWith('ec-')) return 'ec-p256';
  return issuer.startsWith('rsa-') ? 'rsa-2048' : issuer;
}

export interface KnownSigners {
  /** The newest that is in force; undefined when there is none. */
  readonly present: OcspSignerRow | undefined;
  /** Of the newest of all, 0 before the first. */
  readonly generation: number;
}

/**
 * What the store holds of an issuer's signers at `now`. Both are read at once: a node that found no signer, and then
 * counted the one that another node stored meanwhile, would make a second one without a conflict.
 */
export async function knownSigners(store: Store, issuerId: string, now: number): Promise<KnownSigners> {
  const sql = 'SELECT * FROM pki_ocsp_signers WHERE issuer_id = ? ORDER BY generation DESC';
  const rows = await store.all<OcspSignerRow>(sql, [issuerId]);
  return {
    present: rows.find((row) => row.not_before <= now && row.not_after > now),
    generation: rows[0]?.generation ?? 0,
  };
}

/** Less than half of its life is left. */
export function isAgeing(row: Pick<OcspSignerRow, 'not_before' | 'not_after'>, now: number): boolean {
  return now >= row.not_before + (row.not_after - row.not_before) / 2;
}

export interface NewSigner {
  readonly row: OcspSignerRow;
  readonly changes: readonly Change[];
}

export interface SignerWishes {
  /** Seconds. */
  readonly life: number;
  /** One more than what `knownSigners` read when it was decided that a signer is needed. */
  readonly generation: number;
}

/** Makes a signer. The changes conflict when another node has stored one of this generation meanwhile. */
export async function makeSigner(
  sealer: Sealer,
  grant: Grant,
  authority: Authority,
  issuer: CertifiedIssuer,
  { life, generation }: SignerWishes,
): Promise<NewSigner> {
  const keyType = signerKeyType(issuer.row.key_type);
  const key = await generateKeyPair(keyType);
  const serialNumber = randomSerial();
  const notBefore = wholeSecond(Math.max(grant.now - backdate, issuer.certificate.notBefore));
  const notAfter = wholeSecond(Math.min(grant.now + life * 1000, issuer.certificate.notAfter));
  const subject = encodeName([{ type: 'common_name', value: `OCSP ${authority.row.name}`.slice(0, 64) }]);
  const tbs = signerTbs({ serialNumber, notBefore, notAfter, subject, spki: key.spki }, issuer);
  const certificate = signPrepared({ tbs, kind: 'ocsp_signer', webPki: false }, await signingKeyOf(issuer));
  const id = newId('osg', grant.now);
  const privateKey = sealer.seal(signerKeyPlace(id), key.pkcs8);
  key.pkcs8.fill(0);
  const row: OcspSignerRow = {
    id,
    issuer_id: issuer.row.id,
    namespace: issuer.row.namespace,
    key_type: keyType,
    private_key: privateKey,
    certificate,
    not_before: notBefore,
    not_after: notAfter,
    serial_number: serialNumber,
    generation,
  };
  const record = recordSigner(grant, authority, row, formatName(decodeName(subject)), spkiSha256(key.spki));
  const expired = remove('pki_ocsp_signers', { issuer_id: issuer.row.id, not_after: { lte: grant.now } });
  return { row, changes: [insert('pki_ocsp_signers', { ...row }), record, expired] };
}

interface SignerFields {
  readonly serialNumber: string;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly subject: Buffer;
  readonly spki: Buffer;
}

/** No addresses of CRL or OCSP: id-pkix-ocsp-nocheck says that nobody need look (RFC 6960 §4.2.2.2.1). */
function signerTbs(fields: SignerFields, issuer: CertifiedIssuer): Buffer {
  return encodeTbsCertificate({
    ...fields,
    signatureAlgorithm: signatureAlgorithmOf(issuer.row.key_type),
    issuer: issuer.certificate.subject.der,
    extensions: [
      encodeExtension('key_usage', ['digital_signature']),
      encodeExtension('extended_key_usage', [oids.ocspSigning]),
      encodeExtension('authority_key_identifier', { keyIdentifier: issuer.keyId }),
      encodeExtension('subject_key_identifier', keyIdentifierOf(decodeSpki(fields.spki))),
      encodeExtension('ocsp_no_check', true),
    ],
  });
}

function wholeSecond(milliseconds: number): number {
  return Math.floor(milliseconds / 1000) * 1000;
}

/** It stands in the inventory like whatever else was signed, so that nothing is signed that the store does not know. */
function recordSigner(
  grant: Grant,
  authority: Authority,
  signer: OcspSignerRow,
  subject: string,
  keySha256: string,
): Change {
  const row: CertificateRow = {
    id: newId('crt', grant.now),
    namespace: signer.namespace,
    serial_number: signer.serial_number,
    issuer_id: signer.issuer_id,
    authority: authority.row.name,
    role: null,
    principal: grant.principal.name,
    kind: 'ocsp_signer',
    certificate: signer.certificate,
    subject,
    spki_sha256: keySha256,
    not_before: signer.not_before,
    not_after: signer.not_after,
    issued_at: grant.now,
    status: 'valid',
    revoked_at: null,
    revocation_reason: null,
    invalidity_date: null,
    crl_shard: -1,
    purpose: null,
  };
  return insert('pki_certificates', { ...row });
}

export interface OcspSigners {
  /** The signer of an issuer; a new one is made when none is in force. */
  signerOf(authority: Authority, issuer: CertifiedIssuer): Promise<OcspSigner>;
  close(): void;
}

/** Milliseconds after a failure before it is tried again: strangers' requests must not make work that fails. */
const pauseAfterFailure = 2000;

export const signerJobName = 'pki.renew_ocsp_signers';

interface SignersParts {
  readonly store: Store;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly call: SystemCall;
}

export function createOcspSigners({ store, sealer, clock, call }: SignersParts): OcspSigners {
  const load = async (issuerId: string): Promise<OcspSigner | undefined> => {
    const { present } = await knownSigners(store, issuerId, clock.now());
    return present && openSigner(sealer, present);
  };
  const signers = createCache(store, ['pki_ocsp_signers'], load);
  const making = new Map<string, Promise<unknown>>();
  const failedAt = new Map<string, number>();
  const make = (authority: Authority, issuer: CertifiedIssuer): Promise<unknown> => {
    const input = { name: authority.row.name, issuer_number: issuer.row.number };
    const attempt =
      making.get(issuer.row.id) ??
      call(signerJobName, authority.row.namespace, 'pki.renew_ocsp_signer', input)
        .catch((error: unknown) => {
          failedAt.set(issuer.row.id, clock.now());
          throw error;
        })
        .finally(() => making.delete(issuer.row.id));
    making.set(issuer.row.id, attempt);
    return attempt;
  };
  return {
    async signerOf(authority, issuer) {
      const known = signers.peek(issuer.row.id) ?? (await signers.get(issuer.row.id));
      const now = clock.now();
      if (known && known.notBefore <= now && known.notAfter > now) return known;
      // A failure of the future is one of a clock that was ahead.
      const since = now - (failedAt.get(issuer.row.id) ?? 0);
      if (since >= 0 && since < pauseAfterFailure)
        throw new AppError('unavailable', 'No OCSP signer could be made a moment ago.', { retryAfter: 2 });
      await make(authority, issuer);
      const made = await load(issuer.row.id);
      if (made) return made;
      throw new Error(`there is no OCSP signer of ${issuer.row.id} right after it was made`);
    },
    close: () => signers.close(),
  };
}

async function openSigner(sealer: Sealer, row: OcspSignerRow): Promise<OcspSigner> {
  const pkcs8 = await sealer.open(signerKeyPlace(row.id), row.private_key);
  try {
    const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
    const certificate = Buffer.from(row.certificate);
    return {
      keyType: row.key_type,
      privateKey,
      certificate,
      keyHash: responderKeyHash(certificate),
      notBefore: row.not_before,
      notAfter: row.not_after,
    };
  } finally {
    pkcs8.fill(0);
  }
}

function responderKeyHash(certificate: Buffer): Buffer {
  const { subject, spki } = decodeCertificate(certificate);
  return hashIssuer(subject.der, spki).sha1.keyHash;
}
