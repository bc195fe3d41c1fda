import { AppError } from '#core/errors.ts';
import { DerError } from '#pki/asn1/der-error.ts';
import { type Certificate, decodeCertificate } from '#pki/x509/certificate.ts';
import { extensionValue } from '#pki/x509/extension.ts';
import { importPrivateKey, type ImportedKey } from '#pki/x509/key.ts';
import { sameName } from '#pki/x509/name.ts';
import { decodeOnePem, decodePem } from '#pki/x509/pem.ts';
import { verify } from '#pki/x509/algorithm.ts';
import { toPublicKey } from './signing.ts';

/** Certificates and keys of authorities that come from outside: read, and checked before anything is built on them. */

const maxCertificateCharacters = 65_536;
const maxChainCharacters = 262_144;
const maxKeyCharacters = 16_384;

/** Throws `invalid_request` naming the field and what is wrong with it. */
export function readCertificatePem(pem: string, field: string): Certificate {
  const der = decodeOnePem(pem, 'CERTIFICATE', maxCertificateCharacters, true);
  return orInvalid(field, 'certificate', () => decodeCertificate(der));
}

export function readChainPem(pem: string | undefined): Certificate[] {
  if (pem === undefined || pem.trim() === '') return [];
  const ders = decodePem(pem, { label: 'CERTIFICATE', maxLength: maxChainCharacters, maxBlocks: 15, explained: true });
  return orInvalid('chain', 'chain', () => ders.map((der) => decodeCertificate(der)));
}

export function readPrivateKeyPem(pem: string): ImportedKey & { readonly pkcs8: Buffer } {
  const pkcs8 = decodeOnePem(pem, 'PRIVATE KEY', maxKeyCharacters);
  return { ...orInvalid('private_key', 'private key', () => importPrivateKey(pkcs8)), pkcs8 };
}

function orInvalid<Value>(field: string, what: string, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    throw new AppError('invalid_request', `The ${what} is not valid: ${error.message}.`, {
      hint: 'Send it as it was made, in PEM.',
      details: [{ at: `/${field}`, message: error.message }],
    });
  }
}

/** An authority's certificate must say that it is one, and be valid now or later (RFC 5280 §4.2.1.9, §4.2.1.3). */
export function assertAuthority(certificate: Certificate, now: number): void {
  if (extensionValue(certificate.extensions, 'basic_constraints')?.ca !== true)
    throw refused(
      'is not that of an authority: basicConstraints does not say CA',
      'Have it issued as a CA certificate.',
    );
  const usages = extensionValue(certificate.extensions, 'key_usage');
  if (usages && !(usages.includes('key_cert_sign') && usages.includes('crl_sign')))
    throw refused('lacks the key usages keyCertSign and cRLSign', 'Have it issued with both.');
  if (certificate.notAfter <= now) throw refused('has expired', 'Have a new one issued for the same CSR.');
}

function refused(problem: string, hint: string): AppError {
  return new AppError('refused', `The certificate ${problem}.`, { hint });
}

/** Each certificate must be signed by the next one. Throws `refused` naming the first that is not. */
export function assertChain(certificates: readonly Certificate[]): void {
  for (const [index, certificate] of certificates.entries()) {
    const above = certificates[index + 1];
    if (above && !isSignedBy(certificate, above)) {
      throw new AppError(
        'refused',
        `Certificate ${index + 1} of certificate and chain is not signed by the one after it.`,
        {
          hint: 'Give the chain nearest first, without gaps.',
        },
      );
    }
  }
}

/** Whether names fit and the signature verifies. */
export function isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
  if (!sameName(certificate.issuer, issuer.subject)) return false;
  return verify(toPublicKey(issuer.spki), certificate.signatureAlgorithm, certificate.tbs, certificate.signature);
}

export function isSelfSigned(certificate: Certificate): boolean {
  return isSignedBy(certificate, certificate);
}
