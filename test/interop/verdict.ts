import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { KeyType } from '#pki/x509/algorithm.ts';
import type { Outcome } from './tools.ts';

/** What the client says, and then the server: it has no signature that the client offers to verify. */
const noCommonSignature = /alert handshake failure[^]*NO_SUITABLE_SIGNATURE_ALGORITHM/;
const cannotAdd = /SEC_ERROR_ADDING_CERT/;
const cannotImport = /SEC_ERROR_PKCS12_UNABLE_TO_IMPORT_KEY/;

/**
 * What each use of a tool knows. One that is not in the table accepts every key type. One that is either refuses the
 * types named there in just these words, or is of a version that knows them and then accepts; which, is printed.
 */
const ignorance = {
  'openssl verify': { 'ml-dsa': /unable to get certs public key/ },
  'openssl crl': { 'ml-dsa': /Error getting CRL issuer public key/ },
  'openssl ocsp': { 'ml-dsa': /no signer key/ },
  'openssl pkcs12': { 'ml-dsa': /unsupported private key algorithm/ },
  'certtool --verify-chain': { 'ml-dsa': /Signature algorithm: 2\.16\.840\.1\.101\.3\.4\.3\.1[789]/ },
  'certtool --verify-crl': { 'ml-dsa': /Signature Algorithm: 2\.16\.840\.1\.101\.3\.4\.3\.1[789]/ },
  'certtool --key-info': { 'ml-dsa': /An unknown public key algorithm was encountered/ },
  'certutil -A': { ed25519: cannotAdd, 'ml-dsa': cannotAdd },
  'crlutil -I': { any: /SEC_ERROR_CRL_UNKNOWN_CRITICAL_EXTENSION/ },
  'pk12util -i': { ed25519: cannotImport, 'ml-dsa': cannotImport },
  'java CertPathValidator': { 'ml-dsa': /NoSuchAlgorithmException: \S+ Signature not available/ },
  curl: { 'ml-dsa': noCommonSignature },
  'curl --cert': { 'ml-dsa': /could not load PEM client certificate .*decode error/ },
  'python ssl': { 'ml-dsa': noCommonSignature },
  'gnutls-cli': { 'ml-dsa': /A TLS fatal alert has been received[^]*NO_SUITABLE_SIGNATURE_ALGORITHM/ },
  ocsptool: { 'ml-dsa': /Signature Algorithm: unknown/ },
} as const satisfies Record<string, Ignorance>;

type Family = KeyType | 'ml-dsa' | 'any';
type Ignorance = { readonly [Key in Family]?: RegExp };

function familyOf(keyType: KeyType): Family {
  return keyType.startsWith('ml-dsa-') ? 'ml-dsa' : keyType;
}

/**
 * Whether the tool knows the key type. Fails when it refuses a type that it ought to know, or refuses in other words
 * than that it does not know the type: then something else is wrong with what it was given.
 */
export function knows(
  context: TestContext,
  use: string,
  keyType: KeyType,
  accepted: boolean,
  { output }: Pick<Outcome, 'output'>,
): boolean {
  const known: Ignorance | undefined = (ignorance as Record<string, Ignorance>)[use];
  const words = known?.any ?? known?.[familyOf(keyType)];
  if (words === undefined) {
    assert.ok(accepted, `${use} refuses what it ought to accept, ${keyType}:\n${output}`);
    return true;
  }
  if (accepted) {
    context.diagnostic(`${use} on this machine knows ${keyType}`);
    return true;
  }
  const said = words.exec(output)?.[0];
  assert.ok(said !== undefined, `${use} refuses ${keyType}, but not because it does not know it:\n${output}`);
  context.diagnostic(`${use} on this machine does not know ${keyType}: ${said.split('\n')[0]}`);
  return false;
}
