import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { AppError } from '#core/errors.ts';
import { DerError } from '#pki/asn1/der-error.ts';
import { readDer } from '#pki/asn1/reader.ts';
import * as write from '#pki/asn1/writer.ts';
import {
  appendRelativeName,
  attributeValues,
  decodeName,
  encodeName,
  formatName,
  isWithinName,
  nameKey,
  prepareText,
  readRelativeName,
  sameName,
} from '#pki/x509/name.ts';
import { attributeTypes } from '#pki/x509/name-attributes.ts';
import { oids } from '#pki/x509/oid.ts';

type Value = Buffer;
const rdn = (...attributes: readonly [string, Value][]) =>
  write.setOf(attributes.map(([type, value]) => write.sequence([write.oid(type), value])));
const nameOf = (...rdns: Buffer[]) => decodeName(write.sequence(rdns));
const commonName = (value: Value) => nameOf(rdn([oids.commonName, value]));
const utf8 = (text: string) => write.utf8String(text);

test('a name reads back as it was written, in its string types', () => {
  const der = encodeName([
    { type: 'country', value: 'HU' },
    { type: 'organization', value: 'Főtanúsítvány Kft.' },
    { type: 'serial_number', value: '42' },
    { type: 'email_address', value: 'a@b.example' },
    { type: 'domain_component', value: 'example' },
    { type: '1.3.6.1.4.1.99999.1', value: 'own' },
    { type: 'common_name', value: 'a.example' },
  ]);
  const name = decodeName(der);
  assert.deepEqual(
    name.rdns.map(([attribute]) => [attribute?.type, attribute?.value, attribute?.valueTag]),
    [
      ['country', 'HU', 0x13],
      ['organization', 'Főtanúsítvány Kft.', 0x0c],
      ['serial_number', '42', 0x13],
      ['email_address', 'a@b.example', 0x16],
      ['domain_component', 'example', 0x16],
      ['1.3.6.1.4.1.99999.1', 'own', 0x0c],
      ['common_name', 'a.example', 0x0c],
    ],
  );
  assert.deepEqual(name.der, der);
  assert.deepEqual(attributeValues(name, 'common_name'), ['a.example']);
  assert.deepEqual(attributeValues(name, oids.organizationName), ['Főtanúsítvány Kft.']);
  assert.deepEqual(decodeName(encodeName([])).rdns, []);
});

test('every attribute type takes a value at its upper bound and refuses one above it', () => {
  for (const [type, { maxLength, form }] of Object.entries(attributeTypes)) {
    const longest = 'A'.repeat(maxLength);
    assert.deepEqual(attributeValues(decodeName(encodeName([{ type, value: longest }])), type), [longest]);
    assert.throws(() => encodeName([{ type, value: `${longest}A` }]), AppError, type);
    assert.throws(() => encodeName([{ type, value: '' }]), AppError, type);
    if (form !== 'utf8') assert.throws(() => encodeName([{ type, value: 'é*' }]), AppError, type);
  }
  const astral = '😀'.repeat(64);
  assert.deepEqual(attributeValues(decodeName(encodeName([{ type: 'common_name', value: astral }])), 'common_name'), [
    astral,
  ]);
});

test('unknown attribute types, control characters and unpaired surrogates are refused', () => {
  for (const attribute of [
    { type: 'commonName', value: 'x' },
    { type: '1.2.', value: 'x' },
    { type: 'common_name', value: 'a\u0000b' },
    { type: 'common_name', value: 'a\nb' },
    { type: 'common_name', value: 'a\u2028b' },
    { type: 'common_name', value: '\ud800' },
    { type: 'country', value: '1A' },
  ])
    assert.throws(
      () => encodeName([attribute]),
      (error) => error instanceof AppError && error.code === 'invalid_request',
    );
});

test('text follows RFC 4514, with its own examples', () => {
  const dc = (value: string): [string, Value] => [oids.domainComponent, write.ia5String(value)];
  const net = [rdn(dc('net')), rdn(dc('example'))];
  const format = (...last: [string, Value][]) => formatName(nameOf(...net, rdn(...last)));
  assert.equal(format([oids.userId, utf8('jsmith')]), 'UID=jsmith,DC=example,DC=net');
  assert.equal(
    format([oids.organizationalUnitName, utf8('Sales')], [oids.commonName, utf8('J.  Smith')]),
    'OU=Sales+CN=J.  Smith,DC=example,DC=net',
  );
  assert.equal(
    format([oids.commonName, utf8('James "Jim" Smith, III')]),
    String.raw`CN=James \"Jim\" Smith\, III,DC=example,DC=net`,
  );
  assert.equal(format([oids.commonName, utf8('Before\rAfter')]), String.raw`CN=Before\0dAfter,DC=example,DC=net`);
  const unknown = nameOf(rdn(['1.3.6.1.4.1.1466.0', write.octetString(Buffer.from('Hi'))]));
  assert.equal(formatName(unknown), '1.3.6.1.4.1.1466.0=#04024869');
  assert.equal(formatName(commonName(utf8('Lučić'))), 'CN=Lučić');
});

test('text escapes what could be read otherwise or not be seen', () => {
  const format = (text: string) => formatName(commonName(utf8(text)));
  assert.equal(format(' a '), String.raw`CN=\ a\ `);
  assert.equal(format(' '), String.raw`CN=\ `);
  assert.equal(format('#a'), String.raw`CN=\#a`);
  assert.equal(format('a#'), 'CN=a#');
  assert.equal(format(String.raw`\+;<>`), String.raw`CN=\\\+\;\<\>`);
  assert.equal(format('a\u202eb'), String.raw`CN=a\e2\80\aeb`);
  assert.equal(format('a\u0000\u001b[0m'), String.raw`CN=a\00\1b[0m`);
  assert.equal(format('a\u200bb'), String.raw`CN=a\e2\80\8bb`);
});

test('names match whatever their case, spaces and string types (RFC 5280 §7.1)', () => {
  const base = commonName(utf8('A Example  Name'));
  for (const value of [
    write.printableString('a example name'),
    write.printableString(' A  EXAMPLE NAME '),
    utf8('a example\u00a0name'),
    utf8('a exa\u00admple name'),
    write.element(0x1e, [Buffer.from('a example name', 'utf16le').swap16()]),
  ]) {
    assert.equal(sameName(base, commonName(value)), true);
    assert.equal(nameKey(base), nameKey(commonName(value)));
  }
  for (const other of [
    commonName(utf8('a examplename')),
    commonName(utf8('a example name x')),
    nameOf(rdn([oids.organizationName, utf8('A Example Name')])),
    nameOf(),
    nameOf(rdn([oids.commonName, utf8('A Example Name')]), rdn([oids.commonName, utf8('A Example Name')])),
    nameOf(rdn([oids.commonName, utf8('A Example Name')], [oids.commonName, utf8('B')])),
  ])
    assert.equal(sameName(base, other), false);
});

test('folding covers what lower-casing alone would miss', () => {
  assert.equal(prepareText('STRASSE'), prepareText('straße'));
  assert.equal(prepareText('ΣΑΣ'), prepareText('σας'));
  assert.equal(prepareText('\uff21'), prepareText('a'));
  assert.equal(prepareText('e\u0301'), prepareText('É'));
  assert.notEqual(prepareText('a'), prepareText('á'));
});

test('runs of combining marks are put in order in parts, since the time for it grows with the square of their number', () => {
  const [above, below] = ['\u0301', '\u0323'];
  assert.equal(prepareText(`a${above}${below}`), prepareText(`A${below}${above}`));
  for (const marks of [above.repeat(20_000) + below.repeat(20_000), `\uff9e${above}`.repeat(20_000)]) {
    const prepared = prepareText(`a${marks}`);
    assert.doesNotMatch(prepared, /[^\u034f\P{M}]{32}/u);
    assert.equal(prepareText(`A${marks}`), prepared);
    assert.notEqual(prepareText(`a${marks}${above}`), prepared);
  }
});

test('values that are no text match only byte for byte', () => {
  const opaque = (hex: string) => commonName(write.octetString(Buffer.from(hex, 'hex')));
  assert.equal(sameName(opaque('4142'), opaque('4142')), true);
  assert.equal(sameName(opaque('4142'), opaque('6162')), false);
  assert.equal(sameName(opaque('4142'), commonName(utf8('#04024142'))), false);
});

test('keys cannot be made equal by separators inside values', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', '=', ';', ':', '1', '0', ','), maxLength: 6 });
  const attribute = fc.tuple(fc.constantFrom(oids.commonName, oids.organizationName), letters);
  const anyName = fc.array(fc.array(attribute, { minLength: 1, maxLength: 2 }), { maxLength: 3 });
  const shape = (rdns: [string, string][][]) =>
    JSON.stringify(rdns.map((each) => each.map((pair) => JSON.stringify(pair)).toSorted()));
  fc.assert(
    fc.property(anyName, anyName, (left, right) => {
      const build = (rdns: [string, string][][]) =>
        nameOf(...rdns.map((each) => rdn(...each.map(([type, value]): [string, Value] => [type, utf8(value)]))));
      assert.equal(sameName(build(left), build(right)), shape(left) === shape(right));
      assert.equal(nameKey(build(left)) === nameKey(build(right)), shape(left) === shape(right));
    }),
    { numRuns: 500 },
  );
});

test('a name lies in the subtree of every name that begins it, and of no other', () => {
  const of = (...values: string[]) => nameOf(...values.map((value) => rdn([oids.organizationName, utf8(value)])));
  assert.equal(isWithinName(of(), of('a')), true);
  assert.equal(isWithinName(of('A'), of('a', 'b')), true);
  assert.equal(isWithinName(of('a', 'b'), of('a', 'b')), true);
  assert.equal(isWithinName(of('a', 'b'), of('a')), false);
  assert.equal(isWithinName(of('b'), of('a', 'b')), false);
});

test('a relative name goes below its issuer', () => {
  const relative = readDer(write.retag(0xa1, rdn([oids.commonName, utf8('crl')])), 100, (reader) =>
    readRelativeName(reader, 0xa1),
  );
  const base = decodeName(encodeName([{ type: 'organization', value: 'o' }]));
  const whole = appendRelativeName(base, relative);
  assert.equal(formatName(whole), 'CN=crl,O=o');
  assert.deepEqual(decodeName(whole.der), { der: whole.der, rdns: whole.rdns });
});

test('an RDN without attributes, or with attributes out of order, is refused', () => {
  assert.throws(() => decodeName(write.sequence([write.element(0x31, [])])), DerError);
  const sorted = rdn([oids.commonName, utf8('b')], [oids.commonName, utf8('a')]);
  const [first, second] = [sorted.subarray(2, 2 + sorted[3]! + 2), sorted.subarray(2 + sorted[3]! + 2)];
  assert.throws(() => decodeName(write.sequence([write.element(0x31, [second, first])])), DerError);
});
