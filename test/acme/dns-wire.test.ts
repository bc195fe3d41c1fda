import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { alpnCertificateFault, encodeAlpnCertificate } from '#acme/challenge/alpn-certificate.ts';
import { caaValue, decodeMessage, encodeQuery, nameValue, txtData, txtValue } from '#acme/dns/message.ts';
import { addressOctets, decodeName, DnsFormatError, encodeName, parentName, reverseName } from '#acme/dns/name.ts';

/** Bytes of strangers: whatever they are, they end as a value or as the one error of their kind. */

const label = fc.string({ unit: fc.constantFrom(...'abcxyz019-_'.split('')), minLength: 1, maxLength: 63 });

test('every name is read as it was written, and any octet of a label survives', () => {
  const name = fc
    .array(label, { maxLength: 6 })
    .map((labels) => labels.join('.'))
    .filter((each) => each.length < 250);
  fc.assert(
    fc.property(name, (each) =>
      assert.deepEqual(decodeName(encodeName(each), 0), { name: each, end: encodeName(each).length }),
    ),
  );
  const octets = fc.uint8Array({ minLength: 1, maxLength: 63 });
  fc.assert(
    fc.property(octets, (bytes) => {
      const wire = Buffer.concat([Buffer.of(bytes.length), bytes, Buffer.of(0)]);
      const { name: text } = decodeName(wire, 0);
      assert.equal(parentName(text), '');
      const lower = wire.toString('latin1').replace(/[A-Z]/g, (each) => each.toLowerCase());
      assert.equal(encodeName(text).subarray(1).toString('latin1'), lower.slice(1));
    }),
  );
});

test('names that RFC 1035 does not allow are refused', () => {
  for (const name of ['a..b', '.a', 'a'.repeat(64), Array(60).fill('abcde').join('.'), 'a'.repeat(5000)])
    assert.throws(() => encodeName(name), DnsFormatError, name.slice(0, 40));
});

test('reverse names and octets of addresses', () => {
  assert.equal(reverseName('192.0.2.5'), '5.2.0.192.in-addr.arpa');
  assert.equal(reverseName('2001:db8::1'), '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa');
  const cases = {
    '::': '00'.repeat(16),
    '::1': `${'00'.repeat(15)}01`,
    '1::': `0001${'00'.repeat(14)}`,
    '::ffff:1.2.3.4': `${'00'.repeat(10)}ffff01020304`,
  };
  for (const [text, hex] of Object.entries(cases)) assert.equal(addressOctets(text).toString('hex'), hex, text);
  for (const text of ['', 'a.test', '1.2.3', 'fe80::1%lo'])
    assert.throws(() => addressOctets(text), DnsFormatError, text);
});

test('messages of any bytes, and good ones with any byte changed, never fail in another way', () => {
  const good = goodMessage();
  const read = (bytes: Buffer): void => {
    try {
      const message = decodeMessage(bytes);
      for (const record of [...message.answers, ...message.authorities, ...message.additional])
        for (const value of [txtValue, caaValue, (each: typeof record) => nameValue(each, message)])
          try {
            value(record);
          } catch (thrown) {
            assert.ok(thrown instanceof DnsFormatError);
          }
    } catch (thrown) {
      assert.ok(thrown instanceof DnsFormatError);
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => read(Buffer.from(bytes))));
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), (at, value, cut) => {
      const changed = Buffer.from(good);
      changed[at] = value;
      read(changed);
      read(changed.subarray(0, cut));
    }),
    { numRuns: 2000 },
  );
});

test('TXT values of any length are read as they were written', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1000 }), (bytes) => {
      const data = txtData(Buffer.from(bytes).toString('latin1'));
      assert.equal(txtValue({ data } as never), Buffer.from(bytes).toString('latin1'));
    }),
  );
});

test('a proof with any byte changed is a proof no more, or is one whose changed part proves nothing', () => {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const digest = Buffer.alloc(32, 7);
  const identifier = { type: 'dns', value: 'a.test' } as const;
  const der = encodeAlpnCertificate(identifier, digest, keys, Date.UTC(2049, 11, 31, 12));
  assert.equal(alpnCertificateFault(der, identifier, digest), undefined);
  assert.equal(typeof alpnCertificateFault(der, identifier, Buffer.alloc(32, 8)), 'string');
  const proving = der.indexOf(digest);
  fc.assert(
    fc.property(fc.nat(der.length - 1), fc.nat(255), (at, value) => {
      const changed = Buffer.from(der);
      changed[at] = value;
      const fault = alpnCertificateFault(changed, identifier, digest);
      if (at >= proving && at < proving + 32) assert.equal(fault === undefined, value === der[at]);
      else assert.ok(fault === undefined || typeof fault === 'string');
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) =>
      assert.equal(typeof alpnCertificateFault(Buffer.from(bytes), identifier, digest), 'string'),
    ),
  );
});

/** An answer with a TXT, a CAA and a CNAME record, with compressed names. */
function goodMessage(): Buffer {
  const query = encodeQuery(1, 'a.test', 16, false);
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(0x81_80, 2);
  header.writeUInt16BE(3, 6);
  const record = (type: number, data: Buffer) =>
    Buffer.concat([Buffer.of(0xc0, 12, type >> 8, type & 0xff, 0, 1, 0, 0, 0, 60, 0, data.length), data]);
  return Buffer.concat([
    header,
    query.subarray(12),
    record(16, txtData('value')),
    record(257, Buffer.from('\0\x05issueca.test', 'latin1')),
    record(5, Buffer.of(1, 0x62, 0xc0, 14)),
  ]);
}
