import assert from 'node:assert/strict';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { rootCertificates } from 'node:tls';
import { type KeyType, keyTypes, sign, signatureAlgorithmOf, verify } from '#pki/x509/algorithm.ts';
import { assembleCertificate, decodeCertificate, encodeTbsCertificate } from '#pki/x509/certificate.ts';
import { encodeExtension, extensionKindOf, extensionValue } from '#pki/x509/extension.ts';
import { type GeneratedKey, generateKeyPair } from '#pki/x509/key.ts';
import { encodeName, formatName, type NameAttributeInput } from '#pki/x509/name.ts';
import { oids } from '#pki/x509/oid.ts';
import { decodeOnePem, encodePem } from '#pki/x509/pem.ts';
import { randomSerial } from '#pki/x509/serial.ts';
import { decodeSpki, keyIdentifierOf } from '#pki/x509/spki.ts';
import { opensslIn } from './x509-openssl.ts';

/** Two hours around now, since `openssl verify` looks at the clock of the machine. */
const validity = { notBefore: Date.now() - 3_600_000, notAfter: Date.now() + 3_600_000 };

interface Signer {
  readonly keyType: KeyType;
  readonly key: GeneratedKey;
  readonly name: Buffer;
}

const rootName: readonly NameAttributeInput[] = [
  { type: 'country', value: 'DE' },
  { type: 'organization', value: 'Prüf, "GmbH" + Co' },
  { type: 'common_name', value: 'Root' },
];

async function signerOf(keyType: KeyType): Promise<Signer> {
  return { keyType, key: await generateKeyPair(keyType), name: encodeName(rootName) };
}

function issue(issuer: Signer, subject: Uint8Array, spki: Buffer, extensions: readonly Buffer[]): Buffer {
  const signatureAlgorithm = signatureAlgorithmOf(issuer.keyType);
  const tbs = encodeTbsCertificate({
    ...validity,
    serialNumber: randomSerial(),
    signatureAlgorithm,
    issuer: issuer.name,
    subject,
    spki,
    extensions: [
      ...extensions,
      encodeExtension('subject_key_identifier', keyIdentifierOf(decodeSpki(spki))),
      encodeExtension('authority_key_identifier', { keyIdentifier: keyIdentifierOf(decodeSpki(issuer.key.spki)) }),
    ],
  });
  return assembleCertificate(tbs, signatureAlgorithm, sign(issuer.key.privateKey, issuer.keyType, tbs));
}

function rootOf(signer: Signer): Buffer {
  return issue(signer, signer.name, signer.key.spki, [
    encodeExtension('basic_constraints', { ca: true }),
    encodeExtension('key_usage', ['key_cert_sign', 'crl_sign']),
  ]);
}

function leafOf(signer: Signer, spki: Buffer): Buffer {
  return issue(signer, encodeName([]), spki, [
    encodeExtension('basic_constraints', { ca: false }),
    encodeExtension('key_usage', ['digital_signature']),
    encodeExtension('extended_key_usage', [oids.serverAuth]),
    encodeExtension('subject_alt_name', [{ kind: 'dns', value: 'a.example' }], true),
  ]);
}

for (const keyType of keyTypes) {
  test(`node reads and verifies certificates signed with ${keyType}`, async () => {
    const signer = await signerOf(keyType);
    const root = new X509Certificate(rootOf(signer));
    const leaf = new X509Certificate(leafOf(signer, (await generateKeyPair('ec-p256')).spki));
    const publicKey = createPublicKey(signer.key.privateKey);
    assert.ok(root.verify(publicKey) && leaf.verify(publicKey));
    assert.ok(root.ca && !leaf.ca);
    assert.ok(leaf.checkIssued(root));
    assert.equal(leaf.checkHost('a.example'), 'a.example');
    assert.deepEqual(leaf.keyUsage, [oids.serverAuth]);
    const decoded = decodeCertificate(root.raw);
    assert.equal(root.serialNumber.toLowerCase(), decoded.serialNumber);
    assert.equal(root.validToDate.getTime(), decoded.notAfter);
    assert.ok(verify(publicKey, decoded.signatureAlgorithm, decoded.tbs, decoded.signature));
  });
}

test('openssl verifies our chains strictly, for every key type that it knows', async (context) => {
  const { openssl, file } = await opensslIn(context);
  for (const keyType of ['ec-p256', 'ec-p384', 'ec-p521', 'ed25519', 'rsa-2048', 'rsa-3072', 'rsa-4096'] as const) {
    const signer = await signerOf(keyType);
    const root = rootOf(signer);
    const leaf = leafOf(signer, (await generateKeyPair('ec-p256')).spki);
    const rootPath = await file('root.pem', encodePem('CERTIFICATE', root));
    const leafPath = await file('leaf.pem', encodePem('CERTIFICATE', leaf));
    assert.match(
      await openssl(
        `verify -x509_strict -purpose sslserver -verify_hostname a.example -CAfile ${rootPath} ${leafPath}`,
      ),
      /leaf\.pem: OK/,
    );
    assert.equal(await openssl(`x509 -in ${leafPath}`), encodePem('CERTIFICATE', leaf));
    assert.doesNotMatch(await openssl(`asn1parse -in ${rootPath}`), /BAD [A-Z]|Error in/);
    const subject = await openssl(`x509 -in ${rootPath} -noout -subject -nameopt RFC2253,-esc_msb,utf8`);
    assert.equal(subject.trim(), `subject=${formatName(decodeCertificate(root).subject)}`);
  }
});

test('the roots that Node trusts are decoded as Node decodes them', () => {
  for (const pem of rootCertificates) {
    const theirs = new X509Certificate(pem);
    const ours = decodeCertificate(decodeOnePem(pem, 'CERTIFICATE', 65_536));
    assert.equal(BigInt(`0x${ours.serialNumber}`), BigInt(`0x${theirs.serialNumber}`));
    assert.equal(ours.notBefore, theirs.validFromDate.getTime());
    assert.equal(ours.notAfter, theirs.validToDate.getTime());
    assert.deepEqual(ours.spki, theirs.publicKey.export({ type: 'spki', format: 'der' }));
    assert.equal(extensionValue(ours.extensions, 'basic_constraints')?.ca, theirs.ca);
    for (const dotted of ours.extensions.keys()) {
      const kind = extensionKindOf(dotted);
      if (kind !== undefined) assert.notEqual(extensionValue(ours.extensions, kind), undefined);
    }
    const sound = verify(theirs.publicKey, ours.signatureAlgorithm, ours.tbs, ours.signature, { allowWeak: true });
    assert.equal(sound, theirs.verify(theirs.publicKey));
  }
});
