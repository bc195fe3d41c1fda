import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sign, signatureAlgorithmOf } from '#engines/pki/x509/algorithm.ts';
import { encodeExtension, encodeRawExtension } from '#engines/pki/x509/extension.ts';
import { encodeCertId, hashIssuer } from '#engines/pki/x509/ocsp-cert-id.ts';
import {
  assembleOcspResponse,
  type CertStatus,
  encodeOcspError,
  encodeResponseData,
  type SingleResponseFields,
} from '#engines/pki/x509/ocsp-response.ts';
import { oids } from '#engines/pki/x509/oid.ts';
import {
  at,
  type Certified,
  certify,
  codes,
  crlOf,
  day,
  intermediate,
  leafOf,
  root,
  subject,
  validate,
} from './fixture.ts';

interface Said extends Partial<SingleResponseFields> {
  /** Default: the issuer. */
  readonly signer?: Certified;
  readonly certificates?: readonly Buffer[];
  readonly serialNumber?: string;
  readonly extensions?: readonly Buffer[];
}

/** What a responder of `issuer` says of the certificate 0a. */
function responseOf(issuer: Certified, status: CertStatus, more: Said = {}): Buffer {
  const { signer = issuer, certificates, serialNumber = '0a', extensions, ...single } = more;
  const data = encodeResponseData({
    responderId: { byName: signer.name },
    producedAt: at,
    responses: [
      {
        certId: encodeCertId('sha1', hashIssuer(issuer.name, issuer.key.spki), serialNumber),
        status,
        thisUpdate: at - 3_600_000,
        nextUpdate: at + 3_600_000,
        ...single,
      },
    ],
    extensions,
  });
  const signature = sign(signer.key.privateKey, signer.keyType, data);
  return assembleOcspResponse(data, signatureAlgorithmOf(signer.keyType), signature, certificates);
}

const good = { kind: 'good' } as const;
const hard = (...ocspResponses: Buffer[]) => ({ ocspResponses, checkRevocation: 'hard' as const });
const noCheck = encodeRawExtension(oids.ocspNoCheck, false, Buffer.from([5, 0]));
const forOcsp = { ca: false, purposes: [oids.ocspSigning] } as const;

async function chain() {
  const anchor = await root();
  return { anchor, leaf: await leafOf(anchor, { serialNumber: '0a' }), anchors: [anchor] };
}

test('a current OCSP response of the issuer decides', async () => {
  const { anchor, ...given } = await chain();
  const fine = await validate(given, hard(responseOf(anchor, good)));
  assert.deepEqual([fine.valid, fine.path[0]?.revocation], [true, 'good']);
  const said = async (status: CertStatus) => codes(await validate(given, hard(responseOf(anchor, status))));
  assert.deepEqual(await said({ kind: 'revoked', revokedAt: at - day }), ['revoked@0']);
  assert.deepEqual(await said({ kind: 'revoked', revokedAt: at - day, reason: 'certificate_hold' }), ['on_hold@0']);
  assert.deepEqual(await said({ kind: 'unknown' }), ['revocation_unknown@0']);
});

test('a response that cannot be relied on is told with the reason, and soft passes', async () => {
  const { anchor, ...given } = await chain();
  const stranger = await root('Stranger');
  const namesake = await root();
  const unusable: readonly (readonly [Buffer, RegExp])[] = [
    [responseOf(anchor, good, { thisUpdate: at - 3 * day, nextUpdate: at - day }), /stale/],
    [responseOf(anchor, good, { thisUpdate: at + day, nextUpdate: at + 2 * day }), /later than/],
    [responseOf(anchor, good, { thisUpdate: at - day, nextUpdate: undefined }), /response is of/],
    [responseOf(anchor, good, { signer: stranger }), /not signed by the issuer/],
    [responseOf(anchor, good, { signer: namesake }), /not signed by the issuer/],
    [responseOf(anchor, good, { signer: stranger, certificates: [stranger.der] }), /not certified for OCSP/],
    [responseOf(anchor, good, { serialNumber: '0b' }), /no CRL of its issuer/],
    [responseOf(stranger, good), /no CRL of its issuer/],
    [responseOf(anchor, good, { extensions: [encodeRawExtension('1.2.3.4', true, Buffer.from([5, 0]))] }), /critical/],
    [encodeOcspError('unauthorized'), /unauthorized/],
    [Buffer.from('no response'), /malformed/],
  ];
  for (const [response, problem] of unusable) {
    const result = await validate(given, hard(response));
    assert.deepEqual(codes(result), ['revocation_unknown@0'], String(problem));
    assert.match(result.reasons[0]?.found ?? '', problem);
    const soft = await validate(given, { ocspResponses: [response], checkRevocation: 'soft' });
    assert.deepEqual([soft.valid, soft.path[0]?.revocation], [true, 'unknown']);
  }
});

test('an old response still tells of a revocation, but no longer of a hold', async () => {
  const { anchor, ...given } = await chain();
  const old = { thisUpdate: at - 3 * day, nextUpdate: at - day };
  const said = async (reason: 'superseded' | 'certificate_hold') =>
    codes(await validate(given, hard(responseOf(anchor, { kind: 'revoked', revokedAt: at - 4 * day, reason }, old))));
  assert.deepEqual(await said('superseded'), ['revoked@0']);
  assert.deepEqual(await said('certificate_hold'), ['revocation_unknown@0']);
});

test('a responder speaks for the issuer when the issuer itself certified it for OCSP, and for that time', async () => {
  const { anchor, ...given } = await chain();
  const other = await intermediate(anchor, 'Other');
  const responder = await subject('Responder');
  const by = async (signer: Certified) =>
    (await validate(given, hard(responseOf(anchor, good, { signer, certificates: [signer.der] })))).reasons[0]?.found;
  assert.equal(await by(certify(responder, anchor, { ...forOcsp, extensions: [noCheck] })), undefined);
  const refused: readonly (readonly [Certified, RegExp])[] = [
    [certify(responder, anchor, { ca: false, extensions: [noCheck] }), /not certified for OCSP/],
    [certify(responder, anchor, { ...forOcsp, purposes: [oids.serverAuth] }), /not certified for OCSP/],
    [certify(responder, anchor, { ...forOcsp, usages: ['key_encipherment'] }), /may not sign/],
    [certify(responder, anchor, { ...forOcsp, notAfter: at - 1000 }), /not certified by the issuer/],
    [certify(responder, other, { ...forOcsp, extensions: [noCheck] }), /not certified by the issuer/],
    [certify(responder, anchor, forOcsp), /is not known to be no/],
  ];
  for (const [signer, problem] of refused) assert.match((await by(signer)) ?? 'none', problem);
});

test('a responder that may be revoked counts as long as a CRL does not say so', async () => {
  const { anchor, ...given } = await chain();
  const responder = certify(await subject('Responder'), anchor, { ...forOcsp, serialNumber: '0d' });
  const points = { fullName: [{ kind: 'uri' as const, value: 'http://crl.example/responders.crl' }] };
  const marked = certify(responder, anchor, {
    ...forOcsp,
    serialNumber: '0d',
    extensions: [encodeExtension('crl_distribution_points', [points])],
  });
  const response = responseOf(anchor, good, { signer: marked, certificates: [marked.der] });
  const under = async (...revoked: string[]) => {
    const entries = revoked.map((serialNumber) => ({ serialNumber, revokedAt: at - day }));
    const crl = crlOf(anchor, { issuingDistributionPoint: points, entries });
    return codes(await validate(given, { ...hard(response), crls: [crl] }));
  };
  assert.deepEqual(await under(), []);
  assert.deepEqual(await under('0d'), ['revocation_unknown@0']);
});

test('of CRL and OCSP the worse holds, and what one does not know the other may', async () => {
  const { anchor, ...given } = await chain();
  const revoked = crlOf(anchor, { entries: [{ serialNumber: '0a', revokedAt: at - day }] });
  const both = async (crl: Buffer, status: CertStatus) =>
    codes(await validate(given, { ...hard(responseOf(anchor, status)), crls: [crl] }));
  assert.deepEqual(await both(revoked, good), ['revoked@0']);
  assert.deepEqual(await both(crlOf(anchor), { kind: 'revoked', revokedAt: at - day }), ['revoked@0']);
  assert.deepEqual(await both(crlOf(anchor), { kind: 'unknown' }), []);
  assert.deepEqual(await both(crlOf(await root()), good), []);
});

test('a responder that is known to be revoked has no say, with soft as with hard', async () => {
  const { anchor, ...given } = await chain();
  const responder = certify(await subject('Responder'), anchor, { ...forOcsp, serialNumber: '0d' });
  const revoked: CertStatus = { kind: 'revoked', revokedAt: at - day, reason: 'superseded' };
  const said = async (status: CertStatus, reason: 'key_compromise' | 'certificate_hold', mode: 'soft' | 'hard') => {
    const crl = crlOf(anchor, { entries: [{ serialNumber: '0d', revokedAt: at - day, reason }] });
    const response = responseOf(anchor, status, { signer: responder, certificates: [responder.der] });
    const stale = { thisUpdate: at - 3 * day, nextUpdate: at - day };
    const old = crlOf(anchor, { ...stale, entries: [{ serialNumber: '0d', revokedAt: at - 4 * day, reason }] });
    const ask = (list: Buffer) =>
      validate(given, { ocspResponses: [response], crls: [list], checkRevocation: mode, at });
    return [codes(await ask(crl)), codes(await ask(old))];
  };
  // The current list knows the leaf to be good itself; the old one leaves it to the responder.
  assert.deepEqual(await said(revoked, 'key_compromise', 'soft'), [[], []]);
  assert.deepEqual(await said(revoked, 'certificate_hold', 'soft'), [[], ['revoked@0']]);
  assert.deepEqual(await said(good, 'key_compromise', 'hard'), [[], ['revocation_unknown@0']]);
});

test('a response that came out after the time asked about tells of what was revoked by then', async () => {
  const { anchor, ...given } = await chain();
  const later = { thisUpdate: at + 30 * day, nextUpdate: at + 31 * day };
  const said = async (revokedAt: number, reason: 'superseded' | 'key_compromise') =>
    codes(await validate(given, hard(responseOf(anchor, { kind: 'revoked', revokedAt, reason }, later))));
  assert.deepEqual(await said(at - day, 'superseded'), ['revoked@0']);
  assert.deepEqual(await said(at + day, 'key_compromise'), ['revoked@0']);
  assert.deepEqual(await said(at + day, 'superseded'), ['revocation_unknown@0']);
});
