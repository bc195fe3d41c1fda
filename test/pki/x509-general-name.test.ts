import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DerError } from '#pki/asn1/der-error.ts';
import { readDer } from '#pki/asn1/reader.ts';
import * as write from '#pki/asn1/writer.ts';
import {
  encodeGeneralName,
  encodeGeneralNames,
  formatGeneralName,
  type GeneralNameInput,
  readGeneralName,
  readGeneralNames,
} from '#pki/x509/general-name.ts';
import { decodeName, encodeName } from '#pki/x509/name.ts';
import { oids } from '#pki/x509/oid.ts';

const directory = decodeName(encodeName([{ type: 'common_name', value: 'x' }]));
const ip6 = Buffer.from('20010db8000000000000000000000001', 'hex');

const inputs: readonly [GeneralNameInput, string][] = [
  [{ kind: 'dns', value: 'a.example' }, 'dns:a.example'],
  [{ kind: 'uri', value: 'spiffe://a.example/b' }, 'uri:spiffe://a.example/b'],
  [{ kind: 'email', value: 'a@b.example' }, 'email:a@b.example'],
  [{ kind: 'ip', bytes: Buffer.of(10, 0, 0, 1) }, 'ip:10.0.0.1'],
  [{ kind: 'ip', bytes: ip6 }, 'ip:2001:db8::1'],
  [{ kind: 'directory', name: directory }, 'directory:CN=x'],
  [{ kind: 'registered_id', value: '1.2.3' }, 'registered_id:1.2.3'],
  [{ kind: 'upn', value: 'jürgen@corp.example' }, `other:${oids.userPrincipalName}:jürgen@corp.example`],
  [{ kind: 'other', typeId: '1.2.3.4', der: write.nullValue() }, 'other:1.2.3.4:#0500'],
];

const read = (der: Uint8Array) => readDer(der, 10_000, readGeneralName);

test('every kind of general name reads back as it was written', () => {
  for (const [input, text] of inputs) {
    const name = read(encodeGeneralName(input));
    assert.equal(formatGeneralName(name), text);
    assert.deepEqual(encodeGeneralName(name), encodeGeneralName(input));
  }
  const all = encodeGeneralNames(inputs.map(([input]) => input));
  assert.equal(readDer(all, 10_000, readGeneralNames).length, inputs.length);
});

test('the text of names cannot carry control characters into a log', () => {
  assert.equal(formatGeneralName(read(write.ia5String('a\u001b[2J\\', 0x82))), String.raw`dns:a\1b[2J\\`);
});

test('kinds that are not understood are carried along', () => {
  const x400 = read(Buffer.from('a3023000', 'hex'));
  assert.deepEqual([x400.kind, formatGeneralName(x400)], ['x400', 'x400:#a3023000']);
  assert.equal(read(Buffer.from('a500', 'hex')).kind, 'edi_party');
  assert.equal(encodeGeneralName(x400).toString('hex'), 'a3023000');
});

test('malformed general names are refused', () => {
  for (const hex of [
    '8703010203',
    '8700',
    `8720${'00'.repeat(32)}`,
    '8201ff',
    '830161',
    '8902aabb',
    'a403020101',
    'a400',
    'a00506032a0304',
    'a0020500',
    '8800',
    '0c0161',
    'a20382 0161'.replace(' ', ''),
  ])
    assert.throws(() => read(Buffer.from(hex, 'hex')), DerError, hex);
  assert.throws(() => readDer(Buffer.from('3000', 'hex'), 10, readGeneralNames), DerError);
});

test('what does not fit its type is not encoded', () => {
  assert.throws(() => encodeGeneralName({ kind: 'dns', value: 'bücher.example' }), RangeError);
  assert.throws(() => encodeGeneralName({ kind: 'ip', bytes: Buffer.alloc(5) }), RangeError);
  assert.throws(() => encodeGeneralNames([]), RangeError);
});
