import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import {
  bitString,
  context,
  contextOctets,
  element,
  enumerated,
  generalizedTime,
  integer,
  nullValue,
  octetString,
  oid,
  sequence,
} from '#pki/asn1/writer.ts';
import { lintOcspResponse, ocspRules } from '#pki/lint/ocsp.ts';
import { encodeOcspError } from '#pki/x509/ocsp-response.ts';
import { oids } from '#pki/x509/oid.ts';
import { decodeSpki } from '#pki/x509/spki.ts';
import { algorithm, extension, key, nameOf, prepare, purposes, responder, root } from './lint-fixture.ts';

const now = Date.UTC(2026, 10, 21);
const day = 86_400_000;

const signed = (tbs: Buffer) => sequence([tbs, algorithm.ecdsa, bitString(Buffer.alloc(70))]);
const certificate = signed(prepare(responder));
const responderName = context(1, [responder.parts.subject]);
const sha1 = sequence([oid(oids.sha1), nullValue()]);

interface SingleParts {
  readonly hash: Buffer;
  readonly digest: Buffer;
  readonly serial: Buffer;
  readonly status: Buffer;
  readonly thisUpdate: number;
  readonly nextUpdate: number | undefined;
  readonly extensions: readonly Buffer[];
}

const good = contextOctets(0, Buffer.alloc(0));
const soundSingle: SingleParts = {
  hash: sha1,
  digest: Buffer.alloc(20, 7),
  serial: integer(7),
  status: good,
  thisUpdate: now,
  nextUpdate: now + day,
  extensions: [],
};

function single(change: Partial<SingleParts> = {}): Buffer {
  const all = { ...soundSingle, ...change };
  return sequence([
    sequence([all.hash, octetString(all.digest), octetString(all.digest), all.serial]),
    all.status,
    generalizedTime(all.thisUpdate),
    all.nextUpdate === undefined ? undefined : context(0, [generalizedTime(all.nextUpdate)]),
    all.extensions.length === 0 ? undefined : context(1, [sequence(all.extensions)]),
  ]);
}

interface Parts {
  readonly responderId: Buffer;
  readonly producedAt: number;
  readonly singles: readonly Buffer[];
  readonly extensions: readonly Buffer[];
  readonly signature: Buffer;
  readonly certificates: readonly Buffer[];
}

const sound: Parts = {
  responderId: responderName,
  producedAt: now,
  singles: [single()],
  extensions: [],
  signature: algorithm.ecdsa,
  certificates: [certificate],
};

function encode(change: Partial<Parts> = {}): Buffer {
  const all = { ...sound, ...change };
  const data = sequence([
    all.responderId,
    generalizedTime(all.producedAt),
    sequence(all.singles),
    all.extensions.length === 0 ? undefined : context(1, [sequence(all.extensions)]),
  ]);
  const certificates = all.certificates.length === 0 ? undefined : context(0, [sequence(all.certificates)]);
  const basic = sequence([data, all.signature, bitString(Buffer.alloc(70)), certificates]);
  const bytes = sequence([oid('1.3.6.1.5.5.7.48.1.1'), octetString(basic)]);
  return sequence([enumerated(0), context(0, [bytes])]);
}

const withSingle = (change: Partial<SingleParts>): Partial<Parts> => ({ singles: [single(change)] });
const revoked = (at: number, reason?: number) =>
  context(1, [generalizedTime(at), reason === undefined ? undefined : context(0, [enumerated(reason)])]);
const nonce = (octets: number) => extension(oids.ocspNonce, octetString(Buffer.alloc(octets, 7)));
const responderKey = (digest: Uint8Array) => context(2, [octetString(digest)]);
const keyHash = hash('sha1', decodeSpki(key.p256).keyBits, 'buffer');
const extendedRevoke = extension('1.3.6.1.5.5.7.48.1.9', nullValue());

const cases: readonly (readonly [code: string, change: Partial<Parts>])[] = [
  ['malformed_ocsp_response', { singles: [] }],
  ['malformed_ocsp_response', { responderId: context(3, []) }],
  ['malformed_ocsp_response', withSingle({ status: contextOctets(3, Buffer.alloc(0)) })],
  ['ocsp_signature_algorithm_unknown', { signature: sequence([oid('1.2.3')]) }],
  ['ocsp_signature_algorithm_broken', { signature: sequence([oid(oids.sha1WithRsa), nullValue()]) }],
  ['ocsp_signature_parameters', { signature: sequence([oid(oids.ecdsaWithSha256), nullValue()]) }],
  ['ocsp_responder_key_length', { responderId: responderKey(Buffer.alloc(32)), certificates: [] }],
  ['ocsp_responder_name_empty', { responderId: context(1, [nameOf()]), certificates: [] }],
  ['ocsp_responder_unknown', { responderId: context(1, [nameOf([oids.commonName, 'Another'])]) }],
  ['ocsp_responder_unknown', { responderId: responderKey(Buffer.alloc(20)) }],
  ['ocsp_certificate_repeated', { singles: [single(), single({ thisUpdate: now - 1000 })] }],
  ['ocsp_hash_length', withSingle({ digest: Buffer.alloc(32) })],
  ['ocsp_next_update_early', withSingle({ thisUpdate: now - 1000, nextUpdate: now - 1000 })],
  ['ocsp_next_update_missing', withSingle({ nextUpdate: undefined })],
  ['ocsp_this_update_late', withSingle({ thisUpdate: now + 1000 })],
  ['ocsp_produced_late', { producedAt: now + day }],
  ['ocsp_revoked_later', withSingle({ status: revoked(now + 1000) })],
  ['ocsp_reason_unknown', withSingle({ status: revoked(now, 7) })],
  ['ocsp_reason_unknown', withSingle({ status: revoked(now, 8) })],
  ['ocsp_reason_unspecified', withSingle({ status: revoked(now, 0) })],
  ['ocsp_extended_revoke_missing', withSingle({ status: revoked(0, 6) })],
  ['ocsp_extension_malformed', { extensions: [extension(oids.ocspNonce, Buffer.alloc(16, 7))] }],
  ['ocsp_extension_malformed', withSingle({ extensions: [extension('1.3.6.1.5.5.7.48.1.6', nullValue())] })],
  ['ocsp_extension_repeated', { extensions: [nonce(16), nonce(16)] }],
  ['ocsp_extension_critical', { extensions: [extension(oids.ocspNonce, octetString(Buffer.alloc(16)), true)] }],
  ['ocsp_nonce_length', { extensions: [nonce(0)] }],
  ['ocsp_nonce_length', { extensions: [nonce(129)] }],
  [
    'ocsp_signing_missing',
    { certificates: [signed(prepare(responder, { extensions: { purposes: purposes([oids.serverAuth]) } }))] },
  ],
  ['ocsp_signer_revocation', { certificates: [signed(prepare(responder, { extensions: { noCheck: undefined } }))] }],
];

test('a response without fault has no finding, whoever signs it and whatever it says', () => {
  const fine: readonly Partial<Parts>[] = [
    {},
    { certificates: [] },
    { responderId: responderKey(keyHash) },
    { responderId: context(1, [root.parts.subject]), certificates: [signed(prepare(root))] },
    { extensions: [nonce(32)], singles: [single(), single({ serial: integer(8), status: revoked(now - day, 1) })] },
    withSingle({ status: contextOctets(2, Buffer.alloc(0)) }),
    { ...withSingle({ status: revoked(0, 6) }), extensions: [extendedRevoke] },
  ];
  for (const change of fine) assert.deepEqual(lintOcspResponse(encode(change)), []);
  assert.deepEqual(lintOcspResponse(encodeOcspError('try_later')), []);
});

for (const [index, [code, change]] of cases.entries()) {
  test(`only ${code} is found in a response that breaks it (${index})`, () => {
    assert.deepEqual(
      lintOcspResponse(encode(change)).map((finding) => finding.code),
      [code],
    );
  });
}

test('every rule of OCSP has a response that breaks it', () => {
  const tried = new Set(cases.map(([code]) => code));
  const codes = ocspRules.map(({ finding }) => finding.code);
  assert.deepEqual(
    codes.filter((code) => !tried.has(code)),
    [],
  );
  assert.equal(new Set(codes).size, codes.length);
});

test('a status that is none, and an answer that is not successful and yet there, are malformed', () => {
  const malformed = [
    sequence([enumerated(4)]),
    sequence([enumerated(7)]),
    sequence([enumerated(0)]),
    sequence([enumerated(3), context(0, [sequence([])])]),
    sequence([enumerated(0), context(0, [sequence([oid('1.2.3'), octetString()])])]),
  ];
  for (const der of malformed)
    assert.deepEqual(
      lintOcspResponse(der).map(({ code }) => code),
      ['malformed_ocsp_response'],
    );
});

test('a response that is cut off or has any one byte changed never makes the linter throw', () => {
  const der = encode({ extensions: [nonce(16)] });
  for (let length = 0; length < der.length; length++)
    assert.deepEqual(
      lintOcspResponse(der.subarray(0, length)).map(({ code }) => code),
      ['malformed_ocsp_response'],
    );
  for (let at = 0; at < der.length; at++) {
    for (const value of [0x00, 0xff, 0x80, 0x30, (der[at] ?? 0) ^ 0x01]) {
      const copy = Buffer.from(der);
      copy[at] = value;
      assert.ok(Array.isArray(lintOcspResponse(copy)));
    }
  }
});

test('certificates that are none are passed over, and the responder is then not among them', () => {
  const codes = lintOcspResponse(encode({ certificates: [element(0x30, [Buffer.of(0x05, 0x00)])] }));
  assert.deepEqual(
    codes.map(({ code }) => code),
    ['ocsp_responder_unknown'],
  );
});
