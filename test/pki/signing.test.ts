import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { AppError } from '#core/errors.ts';
import { type SigningKey, signPrepared, toPublicKey } from '#engines/pki/signing.ts';
import { decodeCertificate } from '#engines/pki/x509/certificate.ts';
import { type GeneratedKey, generateKeyPair } from '#engines/pki/x509/key.ts';
import { encodeName } from '#engines/pki/x509/name.ts';
import { decodeOnePem, encodePem } from '#engines/pki/x509/pem.ts';
import { encodeRequest } from '#engines/pki/x509/request.ts';
import { foundPki, startChancery } from '#test/chancery.ts';

function requestOf({ spki, privateKey }: Pick<GeneratedKey, 'spki' | 'privateKey'>): Buffer {
  const names = [{ kind: 'dns' as const, value: 'a.example.com' }];
  return encodeRequest({ subject: encodeName([]), names, keyType: 'ec-p256', spki, privateKey });
}

/** The signed part of a certificate that Chancery issued for this key: bytes that its linter passes. */
async function tbsFor(context: TestContext, key: GeneratedKey): Promise<Buffer> {
  const server = await startChancery(context);
  await foundPki(server);
  const csr = encodePem('CERTIFICATE REQUEST', requestOf(key));
  const { certificate } = await server.ok('POST', 'pki/certificates', { role: 'web', csr });
  return decodeCertificate(decodeOnePem(String(certificate), 'CERTIFICATE', 65_536)).tbs;
}

test('what is signed for a CSR holds its key, and the CSR is signed with that key', async (context) => {
  const [subscriber, thief, issuer] = await Promise.all([
    generateKeyPair('ec-p256'),
    generateKeyPair('ec-p256'),
    generateKeyPair('ec-p256'),
  ]);
  const tbs = await tbsFor(context, subscriber);
  const key: SigningKey = { privateKey: issuer.privateKey, publicKey: toPublicKey(issuer.spki), keyType: 'ec-p256' };
  const sign = (csr: Buffer) => signPrepared({ tbs, csr, kind: 'leaf', webPki: false }, key);

  assert.ok(decodeCertificate(sign(requestOf(subscriber))).tbs.equals(tbs));
  // The key of somebody else with a signature of one's own: possession is not proved.
  assert.throws(
    () => sign(requestOf({ spki: subscriber.spki, privateKey: thief.privateKey })),
    (error) => error instanceof AppError && error.code === 'invalid_request',
  );
  // A sound proof, but for another key than the one that would be certified.
  assert.throws(() => sign(requestOf(thief)), /the key of the certificate is not that of the CSR/);
});
