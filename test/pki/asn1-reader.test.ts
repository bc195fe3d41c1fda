import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { DerError } from '#pki/asn1/der-error.ts';
import { type DerReader, maxDepth, maxNodes, readDer } from '#pki/asn1/reader.ts';
import { tag } from '#pki/asn1/tag.ts';
import { element, sequence } from '#pki/asn1/writer.ts';

function read<T>(hex: string, decode: (reader: DerReader) => T): T {
  return readDer(Buffer.from(hex.replaceAll(' ', ''), 'hex'), 100_000, decode);
}

function refuses(hex: string, decode: (reader: DerReader) => unknown, reason: RegExp): void {
  assert.throws(
    () => read(hex, decode),
    (error) => error instanceof DerError && reason.test(error.reason) && error.offset <= hex.length / 2,
    `${hex} must be refused with ${reason.source}`,
  );
}

const any = (reader: DerReader) => reader.readAny();
const integer = (reader: DerReader) => reader.readInteger().toString('hex');
const small = (reader: DerReader) => reader.readSmallInteger(1000);
const bool = (reader: DerReader) => reader.readBoolean();
const bits = (reader: DerReader) => reader.readBitString();
const named = (reader: DerReader) => reader.readNamedBits();
const oid = (reader: DerReader) => reader.readOid();
const time = (reader: DerReader) => reader.readTime();
const setOfIntegers = (reader: DerReader) => reader.readSetOf(integer);

test('lengths must be definite, minimal and inside what contains them', () => {
  for (const decode of [any, integer]) {
    refuses('02', decode, /no length/);
    refuses('0280', decode, /indefinite/);
    refuses('0202', decode, /longer than what contains it/);
    refuses('020201', decode, /longer than what contains it/);
    refuses('02810101', decode, /not minimal/);
    refuses('0282000101', decode, /not minimal/);
    refuses('028500000000017f', decode, /longer than the input/);
    refuses('0284ffffffff', decode, /longer than what contains it/);
    refuses('02ff', decode, /longer than the input/);
    refuses('0281', decode, /longer than the input/);
  }
  refuses('30800000', any, /indefinite/);
  refuses('3003020201', any, /longer than what contains it/);
  refuses(`30820080${'0500'.repeat(64)}`, any, /not minimal/);
  assert.equal(read(`308180${'0500'.repeat(64)}`, any).length, 131);
});

test('nothing may follow the element, nor stay unread inside a constructed one', () => {
  refuses('050000', any, /after the end/);
  refuses('3006020101020102', (reader) => reader.readSequence(integer), /after the end/);
  refuses('30020500', (reader) => reader.readSequence(() => 0), /after the end/);
});

test('an element of another type is refused with both names', () => {
  refuses('0500', integer, /^NULL stands where INTEGER is expected$/);
  refuses('', integer, /^the end stands where INTEGER is expected$/);
  refuses('a000', integer, /^\[0\] stands where INTEGER is expected$/);
  refuses('3000', (reader) => reader.readSequence(integer), /^the end stands where INTEGER/);
});

test('tags that X.509 does not use, and constructed forms of primitive types, are refused', () => {
  refuses('1f810100', any, /no place/);
  refuses('bf8101020500', any, /above 30/);
  refuses('24020400', any, /cannot be constructed/);
  refuses('230403020001', any, /cannot be constructed/);
  refuses('2c030c0161', any, /cannot be constructed/);
  refuses('1000', any, /no place/);
  refuses('1100', any, /no place/);
  refuses('0000', any, /no place/);
  refuses('090180', any, /no place/);
});

test('INTEGER is not empty and minimal', () => {
  for (const decode of [any, integer]) {
    refuses('0200', decode, /empty/);
    refuses('02020001', decode, /needless/);
    refuses('0202007f', decode, /needless/);
    refuses('0202ff80', decode, /needless/);
    refuses('0203ffffff', decode, /needless/);
  }
  assert.equal(read('02020080', integer), '0080');
  assert.equal(read('0202ff7f', integer), 'ff7f');
  assert.equal(read('020100', integer), '00');
});

test('small integers are bounded and not negative, large ones come without their sign octet', () => {
  assert.equal(read('020203e8', small), 1000);
  refuses('020203e9', small, /larger than 1000/);
  refuses('0201ff', small, /negative/);
  refuses('0208 7fffffffffffffff', small, /larger than 1000/);
  const unsigned = (reader: DerReader) => reader.readUnsignedInteger().toString('hex');
  assert.equal(read('02020080', unsigned), '80');
  assert.equal(read('020100', unsigned), '00');
  refuses('020180', unsigned, /negative/);
});

test('BOOLEAN is 00 or FF, and a default is not encoded', () => {
  assert.equal(read('0101ff', bool), true);
  assert.equal(read('010100', bool), false);
  refuses('010101', bool, /neither 00 nor FF/);
  refuses('0100', bool, /neither 00 nor FF/);
  refuses('0102ffff', bool, /neither 00 nor FF/);
  refuses('010180', any, /neither 00 nor FF/);
  const defaulted = (reader: DerReader) => reader.readSequence(() => reader.readDefaultFalse());
  assert.equal(read('3000', defaulted), false);
  assert.equal(read('30030101ff', defaulted), true);
  refuses('3003010100', defaulted, /default/);
});

test('BIT STRING counts its unused bits right and leaves them zero', () => {
  for (const decode of [any, bits]) {
    refuses('0300', decode, /empty/);
    refuses('030108', decode, /counts its unused bits wrong/);
    refuses('030101', decode, /counts its unused bits wrong/);
    refuses('03020801', decode, /counts its unused bits wrong/);
    refuses('03020101', decode, /not zero/);
    refuses('03020788', decode, /not zero/);
  }
  assert.deepEqual(read('0302 0780', bits), { bytes: Buffer.of(0x80), unusedBits: 7 });
  refuses('03020780', (reader) => reader.readOctetBitString(), /has unused bits/);
});

test('named bits have no trailing zeros', () => {
  assert.equal(read('03020780', named), 1);
  assert.equal(read('03020106', named), (1 << 5) | (1 << 6));
  assert.equal(read('0303070080', named), 1 << 8);
  assert.equal(read('030100', named), 0);
  refuses('03020680', named, /ends with zero bits/);
  refuses('0303000600', named, /ends with zero bits/);
  refuses('03050000000001', named, /more named bits/);
});

test('NULL is empty', () => {
  refuses('050100', any, /NULL is not empty/);
  refuses('050100', (reader) => reader.readNull(), /NULL is not empty/);
});

test('OBJECT IDENTIFIER is whole, minimal and of bounded size', () => {
  assert.equal(read('06062a864886f70d', oid), '1.2.840.113549');
  assert.equal(read('0603883703', oid), '2.999.3');
  assert.equal(read('060100', oid), '0.0');
  assert.equal(read('06014f', oid), '1.39');
  assert.equal(read('060150', oid), '2.0');
  for (const decode of [any, oid]) {
    refuses('0600', decode, /empty/);
    refuses('060180', decode, /not minimal/);
    refuses('06022a80', decode, /not minimal/);
    refuses('06032a8001', decode, /not minimal/);
    refuses('06022a86', decode, /not finished/);
    refuses(`0641${'2a'.repeat(65)}`, decode, /longer than 64/);
  }
});

test('SET OF stands in ascending order', () => {
  assert.deepEqual(read('3106020101020102', setOfIntegers), ['01', '02']);
  assert.deepEqual(read('3106020101020101', setOfIntegers), ['01', '01']);
  refuses('3106020102020101', setOfIntegers, /ascending/);
  refuses('3106020102020101', any, /ascending/);
  refuses('3107020200800201 01', any, /ascending/);
  refuses('3100', setOfIntegers, /empty/);
});

test('lists that must hold something are refused when empty', () => {
  refuses('3000', (reader) => reader.readSequenceOf(integer), /empty/);
  assert.deepEqual(
    read('3000', (reader) => reader.readSequenceOf(integer, 0)),
    [],
  );
});

test('times have one form and name a moment that exists', () => {
  const ascii = (type: number, text: string) =>
    Buffer.concat([Buffer.of(type, text.length), Buffer.from(text)]).toString('hex');
  const utc = (text: string) => ascii(tag.utcTime, text);
  const generalized = (text: string) => ascii(tag.generalizedTime, text);
  assert.equal(read(utc('500101000000Z'), time), Date.UTC(1950, 0, 1));
  assert.equal(read(utc('491231235959Z'), time), Date.UTC(2049, 11, 31, 23, 59, 59));
  assert.equal(read(generalized('99991231235959Z'), time), Date.UTC(9999, 11, 31, 23, 59, 59));
  assert.equal(read(generalized('00000101000000Z'), time), Date.parse('0000-01-01T00:00:00Z'));
  assert.equal(read(generalized('20240229120000Z'), time), Date.UTC(2024, 1, 29, 12));
  const malformed = [
    utc('5001010000Z'),
    utc('500101000000'),
    utc('500101000000+0000'),
    utc('50010100000 Z'),
    utc('5001010000-1Z'),
    utc('20500101000000Z'),
    generalized('20500101000000'),
    generalized('20500101000000.5Z'),
    generalized('20500101000000+0100'),
    generalized('500101000000Z'),
    utc('501301000000Z'),
    utc('500001000000Z'),
    utc('500100000000Z'),
    utc('500132000000Z'),
    utc('230229000000Z'),
    generalized('21000229000000Z'),
    utc('500101240000Z'),
    utc('500101006000Z'),
    utc('500101000060Z'),
  ];
  for (const hex of malformed) for (const decode of [any, time]) refuses(hex, decode, /time|Time/);
});

test('character strings hold what their alphabet allows', () => {
  const text = (type: number) => (reader: DerReader) => reader.readText(type);
  assert.equal(read('1303412e42', text(tag.printableString)), 'A.B');
  assert.equal(read('0c02c3a9', text(tag.utf8String)), 'é');
  assert.equal(read('1e0400e90041', text(tag.bmpString)), 'éA');
  assert.equal(read('1c040001f600', text(tag.universalString)), '😀');
  assert.equal(read('1401e9', text(tag.teletexString)), 'é');
  assert.equal(
    read('82 02 6162', (reader) => reader.readText(tag.ia5String, 0x82)),
    'ab',
  );
  for (const [hex, type, reason] of [
    ['13012a', tag.printableString, /alphabet of PrintableString/],
    ['130140', tag.printableString, /alphabet of PrintableString/],
    ['130100', tag.printableString, /alphabet of PrintableString/],
    ['120141', tag.numericString, /alphabet of NumericString/],
    ['160180', tag.ia5String, /alphabet of IA5String/],
    ['1a017f', tag.visibleString, /alphabet of VisibleString/],
    ['1a011f', tag.visibleString, /alphabet of VisibleString/],
    ['0c01c3', tag.utf8String, /not valid UTF-8/],
    ['0c02c080', tag.utf8String, /not valid UTF-8/],
    ['0c03eda080', tag.utf8String, /not valid UTF-8/],
    ['1e0141', tag.bmpString, /odd length/],
    ['1e02d800', tag.bmpString, /surrogate/],
    ['1c0400110000', tag.universalString, /no character/],
    ['1c03000041', tag.universalString, /multiple of 4/],
  ] as const) {
    for (const decode of [any, text(type)]) refuses(hex, decode, reason);
  }
});

test('nesting is bounded: the deepest allowed is read, one more is refused', () => {
  const nest = (depth: number) => {
    let der: Buffer = Buffer.from([0x05, 0x00]);
    for (let level = 0; level < depth; level++) der = sequence([der]);
    return der.toString('hex');
  };
  assert.equal(read(nest(maxDepth), any).length > 0, true);
  refuses(nest(maxDepth + 1), any, /nested deeper/);
  refuses(nest(5000), any, /nested deeper/);
});

test('the number of elements is bounded', () => {
  const wide = (count: number) => element(tag.sequence, [Buffer.alloc(count * 2, Buffer.from([0x05, 0x00]))]);
  assert.equal(read(wide(maxNodes - 1).toString('hex'), any).length > 0, true);
  refuses(wide(maxNodes).toString('hex'), any, /more than 20000 elements/);
});

test('the size of the input is bounded by the caller', () => {
  assert.throws(() => readDer(Buffer.alloc(101), 100, any), /larger than 100 bytes/);
});

test('views are exact and share the memory of the input', () => {
  const der = Buffer.from('3006020101020102', 'hex');
  const raw = readDer(der, 100, (reader) =>
    reader.readSequence(() => {
      reader.readInteger();
      const start = reader.offset;
      reader.skip();
      return reader.since(start);
    }),
  );
  assert.equal(raw.toString('hex'), '020102');
  assert.equal(raw.buffer, der.buffer);
  const plain = new Uint8Array([0, 0x05, 0x00, 9]).subarray(1, 3);
  assert.equal(readDer(plain, 10, any).buffer, plain.buffer);
});

test('whatever the bytes are, the reader answers with a value or a DerError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        readDer(bytes, 64, any);
      } catch (error) {
        assert.ok(error instanceof DerError);
      }
    }),
    { numRuns: 5000 },
  );
});
