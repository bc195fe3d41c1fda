import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { AppError } from '#core/errors.ts';
import { decodeOnePem, decodePem, decodePemBlocks, encodePem } from '#pki/x509/pem.ts';

const limits = { label: 'CERTIFICATE', maxLength: 10_000, maxBlocks: 3 };

function refuses(text: string, reason: RegExp, code = 'invalid_request'): void {
  assert.throws(
    () => decodePem(text, limits),
    (error) => error instanceof AppError && error.code === code && reason.test(error.message),
    JSON.stringify(text),
  );
}

test('PEM reads back, in lines of 64 characters', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 500 }), (bytes) => {
      const text = encodePem('CERTIFICATE', bytes);
      assert.deepEqual(decodeOnePem(text, 'CERTIFICATE', 10_000), Buffer.from(bytes));
      const lines = text.split('\n');
      assert.equal(lines.at(-1), '');
      for (const line of lines.slice(1, -3)) assert.equal(line.length, 64);
      assert.ok((lines.at(-3)?.length ?? 65) <= 64);
    }),
  );
});

test('several blocks, CRLF, blank lines around and lines of any length are read', () => {
  const one = encodePem('CERTIFICATE', Buffer.from('first block'));
  const two = encodePem('CERTIFICATE', Buffer.alloc(100, 7));
  const expected = [Buffer.from('first block'), Buffer.alloc(100, 7)];
  assert.deepEqual(decodePem(one + two, limits), expected);
  assert.deepEqual(decodePem(`\n\n${one}\n \t\n${two}\n`.replaceAll('\n', '\r\n'), limits), expected);
  assert.deepEqual(decodePem((one + two).trimEnd(), limits), expected);
  const body = Buffer.alloc(100, 7).toString('base64');
  const unwrapped = `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----`;
  assert.deepEqual(decodePem(unwrapped, limits), [expected[1]]);
  const narrow = `-----BEGIN CERTIFICATE-----  \n${body.replaceAll(/.{10}/g, '$& \n')}\n-----END CERTIFICATE-----`;
  assert.deepEqual(decodePem(narrow, limits), [expected[1]]);
  assert.deepEqual(
    decodePemBlocks(encodePem('PRIVATE KEY', Buffer.of(1)) + one, 10_000).map((block) => block.label),
    ['PRIVATE KEY', 'CERTIFICATE'],
  );
});

test('everything else is refused with the reason', () => {
  const block = (body: string, label = 'CERTIFICATE') => `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----\n`;
  refuses('', /holds no block/);
  refuses('\n\n', /holds no block/);
  refuses(`text before\n${block('AAAA')}`, /where a block begins/);
  refuses(`${block('AAAA')}text after`, /where a block begins/);
  refuses(block('AAAA').replace('BEGIN', 'BEGiN'), /where a block begins/);
  refuses(block('AAAA').replace('-----BEGIN', '----BEGIN'), /where a block begins/);
  refuses(` ${block('AAAA')}`, /where a block begins/);
  refuses('-----BEGIN CERTIFICATE-----\nAAAA\n', /does not end/);
  refuses('-----BEGIN CERTIFICATE-----', /does not end/);
  refuses('-----BEGIN CERTIFICATE-----\nAAAA\n-----END PRIVATE KEY-----', /does not end/);
  refuses(
    '-----BEGIN CERTIFICATE-----\nAAAA\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----',
    /does not end/,
  );
  refuses(block('AAAA', 'NEW CERTIFICATE REQUEST'), /labelled NEW CERTIFICATE REQUEST; CERTIFICATE is needed/);
  refuses(block('AAAA', 'PRIVATE KEY'), /labelled PRIVATE KEY; CERTIFICATE is needed/);
  refuses(block('Proc-Type: 4,ENCRYPTED\n\nAAAA'), /not canonical base64/);
  for (const body of [
    '',
    'A',
    'AA',
    'AAA',
    'AA=A',
    'AAAA=',
    'AA==AAAA',
    'AB==',
    'AAB=',
    'AA-_',
    'AA AA',
    'AA\u00a0AA',
    'é',
    'AAAA\u0000',
  ])
    refuses(block(body), /not canonical base64/);
  refuses(block('AAAA').repeat(4), /more than 3 blocks/);
  refuses('-'.repeat(10_001), /at most 10000/, 'too_large');
  assert.throws(() => decodeOnePem(block('AAAA').repeat(2), 'CERTIFICATE', 1000), /more than 1 block\./);
});

test('explanatory text around blocks is passed over where it is allowed', () => {
  const block = encodePem('CERTIFICATE', Buffer.from('one'));
  const explained = { ...limits, explained: true };
  const one = Buffer.from('one');
  // openssl req -new -text and openssl x509 -text write the like.
  const text = `Certificate Request:\n    Data:\n        Version: 1 (0x0)\r\n\n${block}`;
  assert.deepEqual(decodePem(text, explained), [one]);
  assert.deepEqual(decodePem(`${text}${text}the end`, explained), [one, one]);
  assert.deepEqual(decodeOnePem(text, 'CERTIFICATE', 1000, true), one);
  assert.throws(() => decodeOnePem(text, 'CERTIFICATE', 1000), /where a block begins/);
  assert.throws(() => decodeOnePem(text, 'CERTIFICATE', text.length - 1, true), /at most/);
  assert.throws(() => decodePem('only text', explained), /holds no block/);
  for (const wrong of [` ${block}`, block.replace('BEGIN', 'BEGiN'), `-----END CERTIFICATE-----\n${block}`])
    assert.throws(() => decodePem(wrong, explained), /where a block begins/, wrong);
  assert.throws(() => decodePem(`${text}${text}${text}${text}`, explained), /more than 3 blocks/);
  assert.throws(() => decodePem(block.replace('\n', '\na: b\n'), explained), /not canonical base64/);
});
