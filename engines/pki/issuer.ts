import { createPrivateKey, type KeyObject } from 'node:crypto';
import { AppError } from '#core/errors.ts';
import type { Place, Sealer } from '#seal/sealer.ts';
import type { Store } from '#storage/store.ts';
import { readDer } from '#pki/asn1/reader.ts';
import { type Certificate, decodeCertificate, readCertificate } from '#pki/x509/certificate.ts';
import { extensionValue } from '#pki/x509/extension.ts';
import { encodePem } from '#pki/x509/pem.ts';
import { decodeSpki, keyIdentifierOf } from '#pki/x509/spki.ts';
import type { CrossCertificateRow, IssuerRow, PkiTables } from './tables.ts';

/** One key of an authority with what belongs to it, ready to sign. Immutable; the private key is opened on first use. */
export interface SigningIssuer {
  readonly row: IssuerRow;
  /** Undefined while the CSR is out. */
  readonly certificate: Certificate | undefined;
  /** What certificates below it name in their AKI: the SKI of its certificate (RFC 5280 §4.2.1.1). */
  readonly keyId: Buffer;
  /** Certificates from this issuer's own up to the root, as far as they are known. Empty while pending. */
  readonly chain: readonly Certificate[];
  /** The same, PEM. */
  readonly chainPem: readonly string[];
  readonly crossCertificates: readonly Buffer[];
  /** Rejects with `sealed_value_unreadable` when the store does not give the key back. */
  privateKey(): Promise<KeyObject>;
}

/** An issuer that has its certificate. */
export type CertifiedIssuer = SigningIssuer & { readonly certificate: Certificate };

interface IssuerDeps {
  readonly store: Store;
  readonly sealer: Sealer;
}

/** Longer chains than this are cut: no validator follows them, and a loop of cross-signed authorities must end. */
const maxChainLength = 16;
const maxOutsideChainBytes = 262_144;

export function issuerKeyPlace(issuerId: string): Place {
  return { table: 'pki_issuers', row: issuerId, column: 'private_key' };
}

/** All issuers of an authority, oldest first. */
export async function loadIssuers(deps: IssuerDeps, authorityId: string): Promise<SigningIssuer[]> {
  const tables = deps.store.tables<PkiTables>();
  const rows = await tables
    .selectFrom('pki_issuers')
    .selectAll()
    .where('authority_id', '=', authorityId)
    .orderBy('number')
    .execute();
  return Promise.all(
    rows.map(async (row) =>
      toIssuer(deps, row, await chainAbove(deps.store, row), await crossCertificates(deps.store, row)),
    ),
  );
}

/** Makes the issuer of a row; `above` is the chain above its certificate, nearest first. */
export function toIssuer(
  { sealer }: Pick<IssuerDeps, 'sealer'>,
  row: IssuerRow,
  above: readonly Certificate[],
  crosses: readonly CrossCertificateRow[],
): SigningIssuer {
  const certificate = row.certificate === null ? undefined : decodeCertificate(row.certificate);
  const chain = certificate === undefined ? [] : [certificate, ...above];
  let key: Promise<KeyObject> | undefined;
  return {
    row,
    certificate,
    keyId: issuerKeyId(row, certificate),
    chain,
    chainPem: chain.map(({ der }) => encodePem('CERTIFICATE', der)),
    crossCertificates: crosses.map((cross) => Buffer.from(cross.certificate)),
    privateKey() {
      key ??= openKey(sealer, row).catch((error: unknown) => {
        key = undefined;
        throw error;
      });
      return key;
    },
  };
}

function issuerKeyId(row: IssuerRow, certificate: Certificate | undefined): Buffer {
  const stated = certificate && extensionValue(certificate.extensions, 'subject_key_identifier');
  return Buffer.from(stated ?? keyIdentifierOf(decodeSpki(row.spki)));
}

async function openKey(sealer: Sealer, row: IssuerRow): Promise<KeyObject> {
  const pkcs8 = await sealer.open(issuerKeyPlace(row.id), row.private_key);
  try {
    return createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  } finally {
    pkcs8.fill(0);
  }
}

/** Follows our own issuers upwards, then what an outside authority gave with its certificate. */
async function chainAbove(store: Store, row: IssuerRow): Promise<Certificate[]> {
  const chain: Certificate[] = [];
  let at: Pick<IssuerRow, 'parent_id' | 'outside_chain'> = row;
  while (at.parent_id !== null && chain.length < maxChainLength) {
    const parent: IssuerRow | undefined = await store.first<IssuerRow>('SELECT * FROM pki_issuers WHERE id = ?', [
      at.parent_id,
    ]);
    if (!parent?.certificate) return chain;
    chain.push(decodeCertificate(parent.certificate));
    at = parent;
  }
  return at.outside_chain === null ? chain : [...chain, ...decodeChain(at.outside_chain)];
}

/** Reads certificates that stand one after the other. */
export function decodeChain(concatenated: Uint8Array): Certificate[] {
  return readDer(concatenated, maxOutsideChainBytes, (reader) => {
    const certificates: Certificate[] = [];
    while (!reader.atEnd) certificates.push(readCertificate(reader));
    return certificates;
  });
}

function crossCertificates(store: Store, row: IssuerRow): Promise<CrossCertificateRow[]> {
  return store.all<CrossCertificateRow>('SELECT * FROM pki_cross_certificates WHERE issuer_id = ? ORDER BY id', [
    row.id,
  ]);
}

/** Throws `wrong_state` when the issuer has no certificate yet. */
export function requireCertified(issuer: SigningIssuer, authorityName: string): CertifiedIssuer {
  if (issuer.certificate) return issuer as CertifiedIssuer;
  throw new AppError('wrong_state', `Authority ${authorityName} has no certificate yet: its CSR is out.`, {
    hint: 'Bring the signed certificate with pki.import_authority.',
  });
}
