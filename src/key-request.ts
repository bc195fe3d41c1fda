import { encodePrivateKeyPem, generateKeyPair } from '#engines/pki/x509/key.ts';
import { keyTypes } from '#engines/pki/x509/algorithm.ts';
import { encodePem } from '#engines/pki/x509/pem.ts';
import { encodeRequest } from '#engines/pki/x509/request.ts';
import type { KeyRequest } from '#mcp/local-keys.ts';

/** A name without parts: the names of the certificate are parameters of the call (RFC 5280 §4.1.2.6). */
const noName = Buffer.from('3000', 'hex');

/** A key, and a request that proves that it is there. Undefined for a type that there is not. */
export async function makeKeyRequest(wanted: string): Promise<KeyRequest | undefined> {
  const keyType = keyTypes.find((type) => type === wanted);
  if (keyType === undefined) return undefined;
  const { privateKey, spki, pkcs8 } = await generateKeyPair(keyType);
  const request = encodeRequest({ subject: noName, keyType, spki, privateKey });
  return { privateKey: encodePrivateKeyPem(pkcs8), csr: encodePem('CERTIFICATE REQUEST', request) };
}
