import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createIssuanceGuard } from '#engines/pki/validation/issuance-guard.ts';
import { signPrepared, toPublicKey } from '#engines/pki/signing.ts';
import { decodeCertificate } from '#engines/pki/x509/certificate.ts';
import { encodeExtension } from '#engines/pki/x509/extension.ts';
import { oids } from '#engines/pki/x509/oid.ts';
import { AppError } from '#core/errors.ts';
import { at, type Certified, certify, day, intermediate, leafOf, root, subject } from './fixture.ts';

const guard = (...chain: Certified[]) => {
  const made = createIssuanceGuard(chain.map(({ der }) => der));
  return (of: Certified, kind: 'leaf' | 'authority' | 'ocsp_signer' = 'leaf') =>
    made.check(decodeCertificate(of.der), kind).map(({ code }) => code);
};
const only = (value: string) => encodeExtension('name_constraints', { permitted: [{ kind: 'dns', value }] as never });

test('what its chain allows passes', async () => {
  const anchor = await root('Root', { pathLength: 1 });
  const authority = await intermediate(anchor, 'CA', { pathLength: 0, extensions: [only('example.com')] });
  assert.deepEqual(guard(authority, anchor)(await leafOf(authority)), []);
  assert.deepEqual(guard(anchor)(await leafOf(anchor)), []);
  assert.deepEqual(guard(anchor)(authority, 'authority'), []);
});

test('names, purposes, lengths, times and issuers that the chain does not allow are each found', async () => {
  const anchor = await root('Root', { pathLength: 1, extensions: [only('example.com')] });
  const authority = await intermediate(anchor, 'CA', { pathLength: 0, purposes: [oids.serverAuth] });
  const check = guard(authority, anchor);
  const names = [{ kind: 'dns', value: 'a.example.org' }] as const;
  assert.deepEqual(check(await leafOf(authority, { names })), ['name_not_permitted']);
  const mail = await leafOf(authority, { purposes: [oids.emailProtection] });
  assert.deepEqual(check(mail), ['extended_key_usage']);
  assert.deepEqual(check(mail, 'ocsp_signer'), []);
  assert.deepEqual(check(await intermediate(authority, 'Lower'), 'authority'), ['path_length']);
  assert.deepEqual(check(await leafOf(authority, { notAfter: at - 20 * day, notBefore: at - 30 * day })), ['expired']);
  assert.deepEqual(check(await leafOf(authority, { notAfter: at + 40 * day, notBefore: at + 30 * day })), ['expired']);
  assert.deepEqual(check(await leafOf(anchor)), ['issuer_not_found']);
});

test('a namesake of the issuer with another key is another issuer', async () => {
  const anchor = await root();
  const [first, second] = [await intermediate(anchor), await intermediate(anchor)];
  assert.deepEqual(guard(second, anchor)(await leafOf(first)), ['issuer_not_found']);
});

test('a chain that is itself not valid has nothing issued under it', async () => {
  const anchor = await root('Root', { pathLength: 0 });
  const authority = await intermediate(anchor);
  const lower = await intermediate(authority, 'Lower');
  assert.deepEqual(guard(lower, authority, anchor)(await leafOf(lower)), ['path_length']);
  const stranger = await root();
  assert.deepEqual(guard(authority, stranger)(await leafOf(authority)), ['signature_invalid']);
});

test('the last step of signing refuses what the chain does not allow, whoever asks', async () => {
  const anchor = await root('Root', { extensions: [only('example.com')] });
  const signingKey = {
    privateKey: anchor.key.privateKey,
    publicKey: toPublicKey(anchor.key.spki),
    keyType: anchor.keyType,
    chain: [anchor.der],
  };
  const person = await subject('leaf');
  const tbsOf = (value: string) => {
    const names = [{ kind: 'dns', value }] as const;
    const purposes = [oids.serverAuth];
    return Buffer.from(
      decodeCertificate(
        certify(person, anchor, { ca: false, names, purposes, serialNumber: '7fffffffffffffffffff' }).der,
      ).tbs,
    );
  };
  const signed = signPrepared({ tbs: tbsOf('a.example.com'), kind: 'leaf', webPki: false }, signingKey);
  assert.equal(decodeCertificate(signed).serialNumber.length > 0, true);
  assert.throws(
    () => signPrepared({ tbs: tbsOf('a.example.org'), kind: 'leaf', webPki: false }, signingKey),
    (thrown) =>
      thrown instanceof AppError && thrown.code === 'refused' && /not be valid under its chain/.test(thrown.message),
  );
});
