import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tag } from '#pki/asn1/tag.ts';
import {
  bitString,
  context,
  contextOctets,
  element,
  enumerated,
  generalizedTime,
  integer,
  namedBits,
  nullValue,
  oid,
  sequence,
  time,
} from '#pki/asn1/writer.ts';
import { crlRules, lintCrl, webPkiCrlRules } from '#pki/lint/crl.ts';
import { assembleCrl, encodeTbsCertList } from '#pki/x509/crl.ts';
import { encodeCrlEntry } from '#pki/x509/crl-entry.ts';
import { oids } from '#pki/x509/oid.ts';
import { algorithm, attributeOf, directoryName, dns, extension, keyIdentifier, nameOf, uri } from './lint-fixture.ts';

const now = Date.UTC(2026, 10, 21);
const day = 86_400_000;
const issuer = nameOf([oids.organizationName, 'Lint Test'], [oids.commonName, 'Lint CA']);

interface Parts {
  readonly version: Buffer | undefined;
  readonly signature: Buffer;
  readonly outer: Buffer;
  readonly issuer: Buffer;
  readonly thisUpdate: Buffer;
  readonly nextUpdate: Buffer | undefined;
  /** Complete entries; undefined: the list is left out. */
  readonly entries: readonly Buffer[] | undefined;
  readonly extensions: Readonly<Record<string, Buffer | undefined>>;
}

const keyId = extension(oids.authorityKeyIdentifier, sequence([contextOctets(0, keyIdentifier)]));
const crlUri = uri('http://ca.example.com/1.crl');
const point = (...fields: Buffer[]) => extension(oids.issuingDistributionPoint, sequence(fields), true);
const fullName = context(0, [element(0xa0, [crlUri])]);
const revoked = (serial: number, ...extensions: Buffer[]) =>
  sequence([integer(serial), time(now - day), extensions.length === 0 ? undefined : sequence(extensions)]);
const reason = (code: number, critical = false) => extension(oids.reasonCode, enumerated(code), critical);

const sound: Parts = {
  version: integer(1),
  signature: algorithm.ecdsa,
  outer: algorithm.ecdsa,
  issuer,
  thisUpdate: time(now),
  nextUpdate: time(now + 7 * day),
  entries: [revoked(7), revoked(8, reason(1)), revoked(9, extension(oids.invalidityDate, generalizedTime(now)))],
  extensions: { keyId, number: extension(oids.crlNumber, integer(41)), point: point(fullName) },
};

type Change = Partial<Omit<Parts, 'extensions'>> & { readonly extensions?: Parts['extensions'] };

function encode(change: Change = {}): Buffer {
  const all: Parts = { ...sound, ...change, extensions: { ...sound.extensions, ...change.extensions } };
  const extensions = Object.values(all.extensions);
  const tbs = sequence([
    all.version,
    all.signature,
    all.issuer,
    all.thisUpdate,
    all.nextUpdate,
    all.entries && sequence(all.entries),
    context(0, [sequence(extensions)]),
  ]);
  return sequence([tbs, all.outer, bitString(Buffer.alloc(70))]);
}

const delta = extension(oids.deltaCrlIndicator, integer(40), true);
const otherAlgorithm = sequence([oid(oids.ecdsaWithSha384)]);
const freshest = (found: Buffer, critical = false) =>
  extension(oids.freshestCrl, sequence([sequence([context(0, [element(0xa0, [found])])])]), critical);
const access = (method: string, critical = false) =>
  extension(oids.authorityInfoAccess, sequence([sequence([oid(method), crlUri])]), critical);
const certificateIssuer = (name: Buffer, critical = true) =>
  extension(oids.certificateIssuer, sequence([name]), critical);
const indirect = point(fullName, contextOctets(4, Buffer.of(0xff)));
const otherIssuer = directoryName(nameOf([oids.commonName, 'Other CA']));

const cases: readonly (readonly [code: string, change: Change, also?: readonly string[]])[] = [
  ['malformed_crl', { version: integer(7) }],
  ['malformed_crl', { entries: [sequence([integer(7)])] }],
  ['malformed_extension', { extensions: { number: extension(oids.crlNumber, nullValue()) } }],
  ['malformed_extension', { extensions: { other: extension('1.2.3.4', Buffer.of(0x30, 0x05)) } }],
  ['crl_version', { version: undefined }],
  ['crl_signature_algorithm_unknown', { signature: sequence([oid('1.2.3')]), outer: sequence([oid('1.2.3')]) }],
  [
    'crl_signature_algorithm_broken',
    {
      signature: sequence([oid(oids.sha1WithRsa), nullValue()]),
      outer: sequence([oid(oids.sha1WithRsa), nullValue()]),
    },
  ],
  [
    'crl_signature_parameters',
    { signature: sequence([oid(oids.sha256WithRsa)]), outer: sequence([oid(oids.sha256WithRsa)]) },
  ],
  ['crl_signature_algorithm_differs', { outer: otherAlgorithm }],
  ['crl_issuer_empty', { issuer: nameOf() }],
  ['crl_next_update_missing', { nextUpdate: undefined }],
  ['crl_next_update_early', { nextUpdate: time(now) }],
  ['crl_generalized_time', { nextUpdate: generalizedTime(now + day) }],
  ['crl_entry_generalized_time', { entries: [sequence([integer(7), generalizedTime(now - day)])] }],
  ['crl_extension_repeated', { extensions: { again: keyId } }],
  ['crl_authority_key_identifier_missing', { extensions: { keyId: undefined } }],
  [
    'crl_authority_key_identifier_missing',
    { extensions: { keyId: extension(oids.authorityKeyIdentifier, sequence([])) } },
  ],
  [
    'crl_authority_key_identifier_critical',
    {
      extensions: {
        keyId: extension(oids.authorityKeyIdentifier, sequence([contextOctets(0, keyIdentifier)]), true),
      },
    },
  ],
  [
    'crl_issuer_alt_name_critical',
    { extensions: { names: extension(oids.issuerAltName, sequence([dns('ca.example')]), true) } },
  ],
  ['crl_number_missing', { extensions: { number: undefined } }],
  ['crl_number_critical', { extensions: { number: extension(oids.crlNumber, integer(41), true) } }],
  ['crl_number_range', { extensions: { number: extension(oids.crlNumber, integer(-1)) } }],
  [
    'crl_number_range',
    { extensions: { number: extension(oids.crlNumber, element(tag.integer, [Buffer.alloc(21, 7)])) } },
  ],
  ['crl_delta_not_critical', { extensions: { delta: extension(oids.deltaCrlIndicator, integer(40)) } }],
  ['crl_delta_base', { extensions: { delta: extension(oids.deltaCrlIndicator, integer(42), true) } }],
  ['crl_freshest_in_delta', { extensions: { delta, freshest: freshest(crlUri) } }],
  ['crl_freshest_critical', { extensions: { freshest: freshest(crlUri, true) } }],
  ['crl_info_access_critical', { extensions: { access: access(oids.accessCaIssuers, true) } }],
  ['crl_info_access_method', { extensions: { access: access(oids.accessOcsp) } }],
  ['crl_extension_unknown_critical', { extensions: { other: extension('1.2.3.4', nullValue(), true) } }],
  [
    'crl_issuing_point_not_critical',
    { extensions: { point: extension(oids.issuingDistributionPoint, sequence([fullName])) } },
  ],
  ['crl_issuing_point_empty', { extensions: { point: point() } }],
  [
    'crl_issuing_point_scopes',
    { extensions: { point: point(contextOctets(1, Buffer.of(0xff)), contextOctets(2, Buffer.of(0xff))) } },
  ],
  ['crl_issuing_point_uri', { extensions: { point: point(context(0, [element(0xa0, [uri('/1.crl')])])) } }],
  ['crl_list_empty', { entries: [] }],
  ['crl_entry_repeated', { entries: [revoked(7), revoked(8), revoked(7, reason(1))] }],
  ['crl_entry_serial', { entries: [revoked(0)] }],
  ['crl_entry_serial', { entries: [revoked(-7)] }],
  ['crl_entry_serial', { entries: [sequence([element(tag.integer, [Buffer.alloc(21, 7)]), time(now)])] }],
  ['crl_entry_revoked_later', { entries: [sequence([integer(7), time(now + 1000)])] }],
  ['crl_entry_extension_repeated', { entries: [revoked(7, reason(1), reason(1))] }],
  ['crl_entry_reason_critical', { entries: [revoked(7, reason(1, true))] }],
  ['crl_entry_reason_unspecified', { entries: [revoked(7, reason(0))] }],
  ['crl_entry_reason_unknown', { entries: [revoked(7, reason(7))] }],
  ['crl_entry_reason_unknown', { entries: [revoked(7, reason(11))] }],
  ['crl_entry_reason_remove', { entries: [revoked(7, reason(8))] }],
  [
    'crl_entry_invalidity_date_critical',
    { entries: [revoked(7, extension(oids.invalidityDate, generalizedTime(now), true))] },
  ],
  [
    'crl_entry_issuer_not_critical',
    { entries: [revoked(7, certificateIssuer(otherIssuer, false))], extensions: { point: indirect } },
  ],
  [
    'crl_entry_issuer_name',
    { entries: [revoked(7, certificateIssuer(dns('ca.example')))], extensions: { point: indirect } },
  ],
  ['crl_entry_issuer_direct', { entries: [revoked(7, certificateIssuer(otherIssuer))] }],
  ['crl_entry_unknown_critical', { entries: [revoked(7, extension('1.2.3.4', nullValue(), true))] }],
];

const webPkiCases: typeof cases = [
  ['web_pki_crl_signature_algorithm', { signature: algorithm.ed25519, outer: algorithm.ed25519 }],
  [
    'web_pki_crl_key_identifier',
    {
      extensions: {
        keyId: extension(
          oids.authorityKeyIdentifier,
          sequence([contextOctets(0, keyIdentifier), element(0xa1, [otherIssuer]), contextOctets(2, Buffer.of(7))]),
        ),
      },
    },
  ],
  ['web_pki_crl_next_update', { nextUpdate: time(now + 11 * day) }],
  ['web_pki_crl_reason', { entries: [revoked(7, reason(6))] }],
];

test('a CRL without fault has no finding, nor has an indirect one, a delta CRL, or one of authorities', () => {
  const attribute = attributeOf([oids.commonName, '1']);
  const ofAuthorities = point(contextOctets(2, Buffer.of(0xff)), namedBits(2, 0x83));
  const fine: readonly Change[] = [
    {},
    { entries: undefined },
    { extensions: { delta }, entries: [revoked(7, reason(8))] },
    { extensions: { delta: extension(oids.deltaCrlIndicator, integer(41), true) }, entries: undefined },
    { extensions: { point: indirect }, entries: [revoked(7), revoked(7, certificateIssuer(otherIssuer)), revoked(8)] },
    { extensions: { point: point(context(0, [element(0xa1, [attribute])])) } },
    { extensions: { point: ofAuthorities }, nextUpdate: time(now + 300 * day) },
    { extensions: { point: undefined, freshest: freshest(crlUri), access: access(oids.accessCaIssuers) } },
    { nextUpdate: generalizedTime(Date.UTC(2050, 0, 1)) },
  ];
  for (const change of fine) assert.deepEqual(lintCrl(encode(change)), []);
  assert.deepEqual(lintCrl(encode(), { profile: 'web_pki' }), []);
  assert.deepEqual(
    lintCrl(encode({ extensions: { point: ofAuthorities }, nextUpdate: time(now + 300 * day) }), {
      profile: 'web_pki',
    }),
    [],
  );
});

for (const [index, [code, change, also = []]] of [...cases, ...webPkiCases].entries()) {
  const profile = index < cases.length ? 'rfc5280' : 'web_pki';
  test(`only ${code} is found in a CRL that breaks it (${index})`, () => {
    const codes = lintCrl(encode(change), { profile }).map((finding) => finding.code);
    assert.deepEqual(codes.toSorted(), [code, ...also].toSorted());
  });
}

test('every rule of CRLs has a CRL that breaks it', () => {
  const tried = new Set([...cases, ...webPkiCases].map(([code]) => code));
  const codes = [...crlRules, ...webPkiCrlRules].map(({ finding }) => finding.code);
  assert.deepEqual(
    codes.filter((code) => !tried.has(code)),
    [],
  );
  assert.equal(new Set(codes).size, codes.length);
});

test('a CRL with 18,000 entries is read to its end: a fault in the last one is found', () => {
  const entries = Array.from({ length: 18_000 }, (_, index) => {
    const serialNumber = Buffer.alloc(20, 0x40);
    serialNumber.writeUInt32BE(index, 16);
    return encodeCrlEntry({ serialNumber, revokedAt: now - day, reason: 'superseded', invalidityDate: now - day });
  });
  const make = (last: Buffer) => {
    const tbs = encodeTbsCertList({
      signatureAlgorithm: algorithm.ecdsa,
      issuer,
      thisUpdate: now,
      nextUpdate: now + day,
      crlNumber: 7,
      authorityKeyIdentifier: keyIdentifier,
      entries: [...entries, last],
    });
    return assembleCrl(tbs, algorithm.ecdsa, Buffer.alloc(70));
  };
  assert.deepEqual(lintCrl(make(revoked(7))), []);
  assert.deepEqual(
    lintCrl(make(revoked(7, reason(0)))).map(({ code }) => code),
    ['crl_entry_reason_unspecified'],
  );
  assert.deepEqual(
    lintCrl(make(entries[0] as Buffer)).map(({ code }) => code),
    ['crl_entry_repeated'],
  );
});

test('a CRL that is cut off or has any one byte changed never makes the linter throw', () => {
  const der = encode();
  for (let length = 0; length < der.length; length++)
    assert.deepEqual(
      lintCrl(der.subarray(0, length)).map(({ code }) => code),
      ['malformed_crl'],
    );
  for (let at = 0; at < der.length; at++) {
    for (const value of [0x00, 0xff, 0x80, 0x30, (der[at] ?? 0) ^ 0x01]) {
      const copy = Buffer.from(der);
      copy[at] = value;
      assert.ok(Array.isArray(lintCrl(copy, { profile: 'web_pki' })));
    }
  }
});
