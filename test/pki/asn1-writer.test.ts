import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { decodeOid, encodeOid, isOid } from '#pki/asn1/oid.ts';
import { type DerReader, readDer } from '#pki/asn1/reader.ts';
import { tag } from '#pki/asn1/tag.ts';
import * as write from '#pki/asn1/writer.ts';
import { encodeTree, parseTree } from './asn1-tree.ts';

function read<T>(der: Buffer, decode: (reader: DerReader) => T): T {
  return readDer(der, 1_000_000, decode);
}

function fromTwosComplement(octets: Buffer): bigint {
  return BigInt.asIntN(octets.length * 8, BigInt(`0x${octets.toString('hex')}`));
}

test('every INTEGER reads back, in as few octets as it needs', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 200n), max: 2n ** 200n }), (value) => {
      const octets = read(write.integer(value), (reader) => reader.readInteger());
      assert.equal(fromTwosComplement(octets), value);
    }),
  );
  assert.equal(write.integer(65_537).toString('hex'), '0203010001');
  assert.equal(write.integer(-1).toString('hex'), '0201ff');
  assert.throws(() => write.integer(0.5), RangeError);
});

test('a magnitude loses its leading zeros and gains a sign octet only where it needs one', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (magnitude) => {
      const octets = read(write.unsignedInteger(magnitude), (reader) => reader.readUnsignedInteger());
      assert.equal(BigInt(`0x0${octets.toString('hex')}`), BigInt(`0x0${Buffer.from(magnitude).toString('hex')}`));
    }),
  );
});

test('lengths of every size read back', () => {
  for (const length of [0, 1, 127, 128, 255, 256, 65_535, 65_536, 70_000]) {
    const der = write.octetString(Buffer.alloc(length, 7));
    assert.equal(read(der, (reader) => reader.readOctetString()).length, length);
    assert.deepEqual(encodeTree(parseTree(der)), der);
  }
});

test('object identifiers read back, with arcs of any size', () => {
  const arc = fc.bigInt({ min: 0n, max: 2n ** 120n });
  const dotted = fc.oneof(
    fc.tuple(fc.constantFrom(0n, 1n), fc.bigInt({ min: 0n, max: 39n }), fc.array(arc, { maxLength: 3 })),
    fc.tuple(fc.constant(2n), arc, fc.array(arc, { maxLength: 2 })),
  );
  fc.assert(
    fc.property(dotted, ([first, second, rest]) => {
      const text = [first, second, ...rest].join('.');
      assert.equal(
        read(write.oid(text), (reader) => reader.readOid()),
        text,
      );
    }),
  );
});

test('what is no dotted object identifier is not encoded', () => {
  for (const text of [
    '',
    '1',
    '3.1',
    '1.40',
    '0.40',
    '1.2.',
    '1..2',
    '01.2',
    '1.02',
    '1.-2',
    '1.2 ',
    '1.a',
    '2.999.3\n',
  ]) {
    assert.equal(isOid(text), false, text);
    assert.throws(() => encodeOid(text), RangeError, text);
  }
  assert.throws(() => encodeOid(`1.2${'.9999999999999999999'.repeat(8)}`), RangeError);
});

test('identifiers with one hash keep apart, and the cache holds no bytes of an input', () => {
  const colliding = [Buffer.of(0x2a, 3, 31), Buffer.of(0x2a, 4, 0)];
  const input = Buffer.alloc(3);
  for (let round = 0; round < 2; round++)
    assert.deepEqual(
      colliding.map((octets) => {
        octets.copy(input);
        return decodeOid(input, 0, input.length);
      }),
      ['1.2.3.31', '1.2.4.0'],
    );
});

test('times are cut to seconds and written in the form that their year demands', () => {
  const years = { min: Date.parse('0000-01-01T00:00:00Z'), max: Date.parse('9999-12-31T23:59:59.999Z') };
  fc.assert(
    fc.property(fc.integer(years), (milliseconds) => {
      const whole = Math.floor(milliseconds / 1000) * 1000;
      const der = write.time(milliseconds);
      const year = new Date(milliseconds).getUTCFullYear();
      assert.equal(der[0], year >= 1950 && year < 2050 ? tag.utcTime : tag.generalizedTime);
      assert.equal(
        read(der, (reader) => reader.readTime()),
        whole,
      );
      assert.equal(
        read(write.generalizedTime(milliseconds), (reader) => reader.readGeneralizedTime()),
        whole,
      );
    }),
  );
  assert.equal(write.time(Date.UTC(2049, 11, 31, 23, 59, 59, 999)).toString('latin1', 2), '491231235959Z');
  assert.equal(write.time(Date.UTC(2050, 0, 1)).toString('latin1', 2), '20500101000000Z');
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, years.min - 1, years.max + 1])
    assert.throws(() => write.time(bad), RangeError);
});

test('named bits read back without trailing zeros', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0x7fff_ffff }), (bits) => {
      assert.equal(
        read(write.namedBits(bits), (reader) => reader.readNamedBits()),
        bits,
      );
    }),
  );
  assert.throws(() => write.namedBits(-1), RangeError);
});

test('SET OF is sorted, whatever the order of its items', () => {
  fc.assert(
    fc.property(fc.array(fc.bigInt({ min: 0n, max: 2n ** 70n }), { minLength: 1, maxLength: 8 }), (values) => {
      const items = values.map((value) => write.integer(value));
      const found = read(write.setOf(items), (reader) => reader.readSetOf(() => reader.readAny().toString('hex')));
      assert.deepEqual(found.toSorted(), items.map((item) => item.toString('hex')).toSorted());
      assert.deepEqual(write.setOf(items.toReversed()), write.setOf(items));
    }),
  );
});

test('text is written in its alphabet or refused', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 30 }), (text) => {
      assert.equal(
        read(write.utf8String(text), (reader) => reader.readText(tag.utf8String)),
        text,
      );
    }),
  );
  assert.throws(() => write.utf8String('\ud800'), RangeError);
  assert.throws(() => write.printableString('a*b'), RangeError);
  assert.throws(() => write.ia5String('é'), RangeError);
});

test('BOOLEAN, NULL, ENUMERATED, BIT STRING and context tags have their encodings', () => {
  assert.equal(write.boolean(true).toString('hex'), '0101ff');
  assert.equal(write.boolean(false).toString('hex'), '010100');
  assert.equal(write.defaultFalse(false), undefined);
  assert.equal(write.nullValue().toString('hex'), '0500');
  assert.equal(write.enumerated(4).toString('hex'), '0a0104');
  assert.equal(write.bitString(Buffer.of(1, 2)).toString('hex'), '0303000102');
  assert.equal(write.context(3, [write.boolean(true), undefined]).toString('hex'), 'a3030101ff');
  assert.equal(write.contextOctets(2, Buffer.from('ab')).toString('hex'), '82026162');
  assert.equal(write.retag(0x81, write.boolean(true)).toString('hex'), '8101ff');
});

/** Any DER of the types that the reader knows. */
const anyDer = fc.letrec<{ der: Buffer }>((tie) => ({
  der: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.bigInt().map((value) => write.integer(value)),
    fc.boolean().map(write.boolean),
    fc.uint8Array({ maxLength: 20 }).map((bytes) => write.octetString(bytes)),
    fc.uint8Array({ maxLength: 20 }).map((bytes) => write.bitString(bytes)),
    fc.string({ unit: 'grapheme', maxLength: 8 }).map((text) => write.utf8String(text)),
    fc.array(tie('der'), { maxLength: 4 }).map(write.sequence),
    fc.array(tie('der'), { maxLength: 4 }).map(write.setOf),
    fc.array(tie('der'), { maxLength: 3 }).map((parts) => write.context(1, parts)),
  ),
})).der;

test('whatever is written is accepted, and is the only encoding of itself', () => {
  fc.assert(
    fc.property(anyDer, (der) => {
      assert.deepEqual(
        read(der, (reader) => reader.readAny()),
        der,
      );
    }),
  );
});
