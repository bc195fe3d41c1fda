import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DerError } from '#engines/pki/asn1/der-error.ts';
import { type CertificateList, decodeCrl } from '#engines/pki/x509/crl.ts';
import { decodeOcspRequest } from '#engines/pki/x509/ocsp-request.ts';
import { decodeOcspResponse } from '#engines/pki/x509/ocsp-response.ts';
import { decodePem } from '#engines/pki/x509/pem.ts';
import { oids } from '#engines/pki/x509/oid.ts';
import { vectorsFolder } from './vectors-folder.ts';

/** OCSP and CRL objects of pyca/cryptography: what each says, or why it must not be read. Every file of both kinds is here. */

const folder = join(vectorsFolder(), 'x509');

function read(path: string, label: string): Buffer {
  const bytes = readFileSync(join(folder, path));
  if (!path.endsWith('.pem')) return bytes;
  return decodePem(bytes.toString(), { label, maxLength: 4_000_000, maxBlocks: 1 })[0] ?? bytes;
}

/** What was read, or the reason. Anything but a `DerError` fails the test. */
function told(decode: () => string): string {
  try {
    return decode();
  } catch (thrown) {
    assert.ok(thrown instanceof DerError, String(thrown));
    return `refused: ${thrown.reason}`;
  }
}

const requests: Readonly<Record<string, string>> = {
  'ocsp-army.inapplicable-req.der': 'sha1 01',
  'ocsp-army.revoked-req.der': 'sha1 0391ae',
  'ocsp-army.valid-req.der': 'sha1 0391ad',
  'req-duplicate-ext.der': 'refused: the extension 1.3.6.1.5.5.7.48.1.2 stands twice',
  'req-ext-nonce.der': 'sha1 01af1efbdd5eae0952320b24fe6b5568, nonce 7b805a1d3726b8b84f48d2f8bfd72dfd',
  'req-ext-unknown-oid.der': 'sha1 01af1efbdd5eae0952320b24fe6b5568',
  'req-invalid-hash-alg.der': 'other 98d9e5c0b4c373552df77c5d0f1eb5128e4945f9',
  'req-multi-sha1.der': 'sha1 98d9e5c0b4c373552df77c5d0f1eb5128e4945f9, sha1 98d9e5c0b4c373552df77c5d0f1eb5128e4945f0',
  'req-sha1.der': 'sha1 98d9e5c0b4c373552df77c5d0f1eb5128e4945f9',
};

const responses: Readonly<Record<string, string>> = {
  'ocsp-army.deps.mil-resp.der':
    'key: 20 answers, revoked 03919f 0391a0 0391a1 0391ae(cessation_of_operation), 2020-02-22T00:00:00Z to 2020-02-29T01:00:00Z',
  'resp-delegate-unknown-cert.der':
    'key: 6372742e73683fadcfcbaead410f72bee1fd3223 unknown, 2018-09-01T13:02:10Z to 2018-09-02T13:02:09Z',
  'resp-invalid-signature-oid.der':
    'name: 031c787a7dc90295007bc5f2220b3b527af0 good, 2018-08-30T11:00:00Z to 2018-09-06T11:00:00Z',
  'resp-responder-key-hash.der':
    'key: 0fa0a21e15c20bbe1d68ea8fe7706635 revoked, 2018-09-01T13:45:20Z to 2018-09-08T13:00:20Z',
  'resp-response-type-unknown-oid.der': 'refused: the response is of another type than the basic one',
  'resp-revoked-no-next-update.der': 'name: 3f20 revoked, 2018-10-23T00:28:54Z',
  'resp-revoked-reason.der':
    'name: 081d8b989e92fae68956dce62a893209a1bc24d3 revoked(superseded), 2018-09-01T19:48:17Z to 2018-09-03T19:48:17Z, nonce',
  'resp-revoked.der': 'key: 01af1efbdd5eae0952320b24fe6b5568 revoked, 2018-08-31T17:49:19Z to 2018-09-07T17:04:19Z',
  'resp-sct-extension.der':
    'name: 23bf9a6c2bf9a2f0db5ecb4143caab63ad3871d3 good, 2019-11-16T02:30:49Z to 2019-11-19T02:30:49Z, nonce',
  'resp-sha256.der': 'name: 031c787a7dc90295007bc5f2220b3b527af0 good, 2018-08-30T11:00:00Z to 2018-09-06T11:00:00Z',
  'resp-single-extension-reason.der': 'key: 3f20 good, 2019-11-10T04:27:49Z to 2019-11-17T04:27:49Z',
  'resp-successful-no-response-bytes.der': 'refused: the end stands where [0] is expected',
  'resp-unauthorized.der': 'unauthorized',
  'resp-unknown-extension.der':
    'name: 081d8b989e92fae68956dce62a893209a1bc24d3 revoked(superseded), 2018-09-01T19:48:17Z to 2018-09-03T19:48:17Z',
  'resp-unknown-hash-alg.der':
    'key: 0fa0a21e15c20bbe1d68ea8fe7706635 revoked by another hash, 2018-09-01T13:45:20Z to 2018-09-08T13:00:20Z',
  'resp-unknown-response-status.der': 'refused: an OCSPResponseStatus is none',
};

const indirect = 'a URI, indirect';
const crls: Readonly<Record<string, string>> = {
  'crl_all_reasons.pem':
    '12 entries, aa_compromise affiliation_changed ca_compromise certificate_hold cessation_of_operation key_compromise none privilege_withdrawn remove_from_crl superseded unspecified',
  'crl_almost_10k.pem': '9999 entries, none',
  'crl_bad_version.pem': 'refused: an INTEGER is larger than 1',
  'crl_delta_crl_indicator.pem': '0 entries, number 12345678901234567891, delta of 12345678901234567890',
  'crl_dup_entry_ext.pem': 'entries refused: the extension 2.5.29.21 stands twice',
  'crl_empty.pem': '0 entries, number 1',
  'crl_empty_no_sequence.der': '0 entries',
  'crl_ian_aia_aki.pem': '0 entries, number 1, authority key, issuer names 1, issuer access 1',
  'crl_idp_fullname_indirect_crl.pem': `0 entries, ${indirect}`,
  'crl_idp_fullname_only.pem': '0 entries, a URI',
  'crl_idp_fullname_only_aa.pem': '0 entries, a URI, attributes',
  'crl_idp_fullname_only_user.pem': '0 entries, a URI, users',
  'crl_idp_only_ca.pem': '0 entries, a relative name, authorities',
  'crl_idp_reasons_only.pem': '0 entries, reasons 2',
  'crl_idp_relative_user_all_reasons.pem': '0 entries, a relative name, users, reasons 510',
  'crl_idp_relativename_only.pem': '0 entries, a relative name',
  'crl_inval_cert_issuer_entry_ext.pem': 'entries refused: the end stands where SEQUENCE is expected',
  'crl_invalid_time.der': 'refused: a UTCTime is not of the form YYMMDDHHMMSSZ',
  'crl_md2_unknown_crit_entry_ext.pem': '1 entries, none, critical in entries 1.2.3.4',
  'crl_no_next_update.pem': '0 entries, number 1, no next update',
  'crl_unrecognized_extension.der': '0 entries',
  'crl_unsupported_reason.pem': 'entries refused: a CRLReason is none',
};

function tellRequest(der: Buffer): string {
  const { items, nonce } = decodeOcspRequest(der);
  const asked = items.map(({ certId }) => `${certId.hash ?? 'other'} ${certId.serialNumber}`);
  return [...asked, ...(nonce ? [`nonce ${nonce.toString('hex')}`] : [])].join(', ');
}

const time = (milliseconds: number) => new Date(milliseconds).toISOString().replace('.000', '');

function tellResponse(der: Buffer): string {
  const response = decodeOcspResponse(der);
  if (response.status !== 'successful') return response.status;
  const { responses: all, responderId, nonce } = response.basic;
  const revoked = all.flatMap(({ certId, status }) =>
    status.kind === 'revoked' ? [`${certId.serialNumber}${status.reason ? `(${status.reason})` : ''}`] : [],
  );
  const [first] = all;
  assert.ok(first);
  const { certId, status, thisUpdate, nextUpdate } = first;
  const reason = status.kind === 'revoked' && status.reason ? `(${status.reason})` : '';
  const hash = certId.hash === undefined ? ' by another hash' : '';
  const what =
    all.length > 1
      ? `${all.length} answers, revoked ${revoked.join(' ')}`
      : `${certId.serialNumber} ${status.kind}${reason}${hash}`;
  const until = nextUpdate === undefined ? '' : ` to ${time(nextUpdate)}`;
  return `${responderId.kind}: ${what}, ${time(thisUpdate)}${until}${nonce ? ', nonce' : ''}`;
}

function tellCrl(der: Buffer): string {
  const crl = decodeCrl(der);
  return told(() => tellEntries(crl)).replace(/^refused/, 'entries refused');
}

function tellEntries(crl: CertificateList): string {
  const point = crl.issuingDistributionPoint;
  const reasons = [...new Set([...crl.entries()].map(({ reason }) => reason ?? 'none'))].toSorted().join(' ');
  const { size, unknownCritical } = crl.index();
  const parts: (string | false | undefined)[] = [
    `${size} entries`,
    reasons,
    crl.crlNumber !== undefined && `number ${crl.crlNumber}`,
    crl.deltaBase !== undefined && `delta of ${crl.deltaBase}`,
    point?.name?.fullName && `a ${point.name.fullName.map(({ kind }) => kind).join()}`.replace('uri', 'URI'),
    point?.name?.relativeName && 'a relative name',
    point?.onlyContainsUserCerts && 'users',
    point?.onlyContainsCaCerts && 'authorities',
    point?.onlyContainsAttributeCerts && 'attributes',
    point?.indirectCrl && 'indirect',
    point?.onlySomeReasons !== undefined && `reasons ${point.onlySomeReasons}`,
    crl.authorityKeyIdentifier?.keyIdentifier && crl.extensions.has(oids.issuerAltName) && 'authority key',
    crl.issuerAltName && `issuer names ${crl.issuerAltName.length}`,
    crl.authorityInfoAccess && `issuer access ${crl.authorityInfoAccess.length}`,
    crl.nextUpdate === undefined && 'no next update',
    unknownCritical.length > 0 && `critical in entries ${unknownCritical.join()}`,
  ];
  return parts.filter((part) => typeof part === 'string' && part !== '').join(', ');
}

test('every OCSP request and response of the vectors says what it should, or is refused for the right reason', () => {
  const files = readdirSync(join(folder, 'ocsp'));
  assert.deepEqual(files.toSorted(), [...Object.keys(requests), ...Object.keys(responses)].toSorted());
  for (const [file, expected] of Object.entries(requests))
    assert.equal(
      told(() => tellRequest(read(`ocsp/${file}`, ''))),
      expected,
      file,
    );
  for (const [file, expected] of Object.entries(responses))
    assert.equal(
      told(() => tellResponse(read(`ocsp/${file}`, ''))),
      expected,
      file,
    );
});

test('every CRL of the vectors says what it should, or is refused for the right reason', () => {
  const files = readdirSync(join(folder, 'custom')).filter((file) => file.startsWith('crl_'));
  assert.deepEqual(files.toSorted(), Object.keys(crls).toSorted());
  for (const [file, expected] of Object.entries(crls))
    assert.equal(
      told(() => tellCrl(read(`custom/${file}`, 'X509 CRL'))),
      expected,
      file,
    );
});

test('no beginning of an OCSP response or a CRL is taken for the whole', () => {
  const wholes: readonly (readonly [Buffer, (der: Buffer) => string])[] = [
    [read('ocsp/resp-revoked-reason.der', ''), tellResponse],
    [read('ocsp/req-ext-nonce.der', ''), tellRequest],
    [read('custom/crl_all_reasons.pem', 'X509 CRL'), tellCrl],
  ];
  for (const [whole, tell] of wholes)
    for (let length = 0; length < whole.length; length++)
      assert.match(
        told(() => tell(whole.subarray(0, length))),
        /^refused/,
        `${length}`,
      );
});
