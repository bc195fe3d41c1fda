import { AppError } from '#core/errors.ts';
import type { CertificateFacts, CertificateRequestFacts, CertificateStatus } from '#core/issuer.ts';
import { DerError } from './asn1/der-error.ts';
import { decodeCertificate } from './x509/certificate.ts';
import { extensionValue } from './x509/extension.ts';
import { attributeValues } from './x509/name.ts';
import { decodeOnePem, encodePem } from './x509/pem.ts';
import { decodeRequest } from './x509/request.ts';
import type { Store } from '#storage/store.ts';

/** What other engines learn of certificates without an act of anybody: nothing here is audited, and nothing is secret. */

/** Reads PKCS#10 in DER, and verifies its signature. Throws `invalid_request`, or `refused` for a weak key. */
export function readRequestFacts(der: Uint8Array): CertificateRequestFacts {
  const request = explained('CSR', () => decodeRequest(der));
  const of = (kind: 'dns' | 'ip') => request.names.flatMap((name) => (name.kind === kind ? [name.value] : []));
  const dnsNames = of('dns');
  const ipAddresses = of('ip');
  return {
    dnsNames,
    ipAddresses,
    otherNames: request.names.length - dnsNames.length - ipAddresses.length,
    commonNames: attributeValues(request.subject, 'common_name'),
    otherExtensions: request.otherExtensions,
    spki: request.key.spki,
  };
}

/** Reads a certificate in DER, whoever issued it. Throws `invalid_request`. */
export function readCertificateFacts(der: Uint8Array): CertificateFacts {
  return explained('certificate', () => {
    const { serialNumber, serialOctets, notBefore, notAfter, spki, extensions } = decodeCertificate(der);
    const authorityKeyId = extensionValue(extensions, 'authority_key_identifier')?.keyIdentifier;
    return { serialNumber, serialOctets, authorityKeyId, notBefore, notAfter, spki };
  });
}

function explained<Result>(what: string, read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    throw new AppError('invalid_request', `The ${what} is not valid: ${error.message}.`, { cause: error });
  }
}

type Reads = Pick<Store, 'first' | 'all'>;

export async function roleSince(store: Reads, namespace: string, role: string): Promise<number | undefined> {
  const row = await store.first<{ created_at: number }>(
    'SELECT created_at FROM pki_roles WHERE namespace = ? AND name = ?',
    [namespace, role],
  );
  return row?.created_at;
}

export async function authorityOf(store: Reads, namespace: string, role: string): Promise<string | undefined> {
  const row = await store.first<{ authority: string }>(
    'SELECT authority FROM pki_roles WHERE namespace = ? AND name = ?',
    [namespace, role],
  );
  return row?.authority;
}

export async function certificateStatus(
  store: Reads,
  namespace: string,
  serialNumber: string,
): Promise<CertificateStatus | undefined> {
  const row = await store.first<{ status: CertificateStatus }>(
    'SELECT status FROM pki_certificates WHERE serial_number = ? AND namespace = ?',
    [serialNumber, namespace],
  );
  return row?.status;
}

/** A cross-certificate of one in the chain takes its place, and what stood above it falls away. */
export async function alternateChains(
  store: Reads,
  namespace: string,
  chain: readonly string[],
): Promise<readonly (readonly string[])[]> {
  const alternates: string[][] = [];
  for (const [index, pem] of chain.entries()) {
    const rows = await store.all<{ certificate: Uint8Array }>(
      `SELECT x.certificate FROM pki_cross_certificates x JOIN pki_issuers i ON i.id = x.issuer_id
       WHERE i.namespace = ? AND i.certificate = ? ORDER BY x.id`,
      [namespace, decodeOnePem(pem, 'CERTIFICATE', 131_072)],
    );
    for (const { certificate } of rows)
      alternates.push([...chain.slice(0, index), encodePem('CERTIFICATE', certificate)]);
  }
  return alternates;
}
