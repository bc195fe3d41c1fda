import { AppError } from '#core/errors.ts';
import { encodePem } from '#pki/x509/pem.ts';
import { encodePrivateKeyPem } from '#pki/x509/key.ts';
import { encodePkcs12 } from '#pki/x509/pkcs12.ts';
import { encodePkcs7Bundle } from '#pki/x509/pkcs7.ts';
import type { IssueCertificateInput, IssueCertificateOutput } from './certificate-schema.ts';
import type { CertifiedIssuer, SigningIssuer } from './issuer.ts';

/** The forms in which certificates leave: PEM, DER, one PEM bundle, PKCS#12, PKCS#7. */

type Formatted = Pick<IssueCertificateOutput, 'certificate' | 'chain' | 'private_key' | 'bundle' | 'der' | 'pkcs12'>;

/** `pkcs8` is the key that was made here, DER; undefined when a CSR was given. */
export async function formatCertificate(
  { format, password, role }: IssueCertificateInput,
  certificate: Buffer,
  issuer: CertifiedIssuer,
  pkcs8: Buffer | undefined,
): Promise<Formatted> {
  const pem = encodePem('CERTIFICATE', certificate);
  const base = { certificate: pem, chain: [...issuer.chainPem] };
  const key = pkcs8 === undefined ? undefined : encodePrivateKeyPem(pkcs8);
  const withKey = key === undefined ? base : { ...base, private_key: key };
  switch (format) {
    case 'pem':
      return withKey;
    case 'der':
      return { ...withKey, der: certificate.toString('base64') };
    case 'bundle':
      return { ...base, bundle: [...(key === undefined ? [] : [key]), pem, ...chainToSend(issuer)].join('') };
    case 'pkcs12':
      return { ...base, pkcs12: await pkcs12File(role, certificate, issuer, pkcs8, password) };
  }
}

async function pkcs12File(
  role: string,
  certificate: Buffer,
  issuer: CertifiedIssuer,
  pkcs8: Buffer | undefined,
  password = '',
): Promise<string> {
  if (pkcs8 === undefined) throw new Error('a PKCS#12 file needs the private key');
  try {
    const chain = issuer.chain.map(({ der }) => der);
    const file = await encodePkcs12({ privateKeyPkcs8: pkcs8, certificate, chain, friendlyName: role, password });
    return file.toString('base64');
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new AppError('invalid_request', 'The password holds characters that not every reader of PKCS#12 opens.', {
      hint: 'Use printable ASCII: letters, digits, punctuation, space.',
    });
  }
}

/** What a server sends with its own certificate: everything but a root, which clients have or do not trust. */
export function chainToSend(issuer: SigningIssuer): string[] {
  return issuer.chain.flatMap((certificate, index) =>
    certificate.subject.der.equals(certificate.issuer.der) ? [] : [issuer.chainPem[index] ?? ''],
  );
}

/** A stored certificate in the form that was asked for, beside its PEM. */
export function formatStored(
  format: 'pem' | 'der' | 'bundle' | 'pkcs7',
  certificate: Buffer,
  issuer: SigningIssuer | undefined,
): { chain: string[]; bundle?: string; der?: string; pkcs7?: string } {
  const chain = [...(issuer?.chainPem ?? [])];
  switch (format) {
    case 'pem':
      return { chain };
    case 'der':
      return { chain, der: certificate.toString('base64') };
    case 'bundle':
      return {
        chain,
        bundle: [encodePem('CERTIFICATE', certificate), ...(issuer ? chainToSend(issuer) : [])].join(''),
      };
    case 'pkcs7':
      return {
        chain,
        pkcs7: encodePkcs7Bundle([certificate, ...(issuer?.chain ?? []).map(({ der }) => der)]).toString('base64'),
      };
  }
}
