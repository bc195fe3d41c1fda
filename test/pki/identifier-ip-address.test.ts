import assert from 'node:assert/strict';
import { BlockList, isIP } from 'node:net';
import test from 'node:test';
import * as fc from 'fast-check';
import { formatIp, inRange, isReservedAddress, parseIpAddress, parseIpRange } from '#pki/identifier/ip-address.ts';

const good: readonly (readonly [text: string, value: string])[] = [
  ['192.0.2.1', '192.0.2.1'],
  ['0.0.0.0', '0.0.0.0'],
  ['255.255.255.255', '255.255.255.255'],
  ['::', '::'],
  ['::1', '::1'],
  ['1::', '1::'],
  // RFC 5952 §4 and §5
  ['2001:0db8::0001', '2001:db8::1'],
  ['2001:db8:0:0:0:0:2:1', '2001:db8::2:1'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['2001:db8::1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['2001:DB8::AbCd', '2001:db8::abcd'],
  ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
];

const bad: readonly string[] = [
  '',
  ' 192.0.2.1',
  '192.0.2.1 ',
  '192.0.2.1\n',
  '192.0.2.1\0',
  '192.0.2',
  '192.0.2.1.5',
  '192.0.2.256',
  '192.0.02.1',
  '010.0.0.1',
  '0x7f.0.0.1',
  '0x7f000001',
  '2130706433',
  '127.1',
  '1.2.3.-4',
  '1.2.3.+4',
  '1.2.3.4e0',
  '１.2.3.4',
  '1。2.3.4',
  '192.0.2.1/32',
  '192.0.2.0/24',
  '192.0.2.1,192.0.2.2',
  '192.0.2.1:443',
  '*.0.2.1',
  '*',
  '[::1]',
  '::1%eth0',
  'fe80::1%1',
  '::ffff:192.0.2.1',
  '::FFFF:c000:0201',
  '0:0:0:0:0:ffff:192.0.2.1',
  ':::',
  ':',
  '1:::2',
  '1::2::3',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7:8::',
  '::1:2:3:4:5:6:7:8',
  ':1:2:3:4:5:6:7:8',
  '1:2:3:4:5:6:7:',
  '12345::',
  'g::',
  '::1.2.3',
  '::1.2.3.4:5',
  '1.2.3.4::',
  '::01.2.3.4',
  '2001:db8::1 ',
  '::１',
];

test('addresses are read into dotted decimal and RFC 5952', () => {
  for (const [text, value] of good) {
    const address = parseIpAddress(text);
    assert.equal(address.kind === 'ip' && address.value, value, text);
  }
});

test('addresses with a second reading, ranges and zones are refused', () => {
  for (const text of bad) {
    const address = parseIpAddress(text);
    assert.ok(address.kind === 'malformed', `${JSON.stringify(text)} was read as ${JSON.stringify(address)}`);
    assert.match(address.problem, /^[\x20-\x7e§]+$/);
    if (address.suggestion !== undefined) assert.equal(parseIpAddress(address.suggestion).kind, 'ip');
  }
  const mapped = parseIpAddress('::ffff:c000:0201');
  assert.equal(mapped.kind === 'malformed' && mapped.suggestion, '192.0.2.1');
  const zone = parseIpAddress('fe80::1%eth0');
  assert.equal(zone.kind === 'malformed' && zone.suggestion, 'fe80::1');
});

const ipv6 = fc.ipV6().filter((text) => !text.toLowerCase().includes('ffff:'));

test('what is read is an address to node:net, and its spelling is that of the URL standard', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), ipv6), (text) => {
      const address = parseIpAddress(text);
      assert.ok(address.kind === 'ip', text);
      assert.equal(isIP(address.value), address.bytes.length === 4 ? 4 : 6);
      assert.equal(formatIp(address.bytes), address.value);
      assert.deepEqual(parseIpAddress(address.value), address);
      if (address.bytes.length === 16) assert.equal(`[${address.value}]`, new URL(`http://[${text}]/`).hostname);
    }),
    { numRuns: 1000 },
  );
});

test('an arbitrary text is read only if node:net reads it as well', () => {
  const noise = fc.oneof(
    fc.string({ maxLength: 20 }),
    fc.stringMatching(/^[0-9a-f:.x%/]{0,24}$/),
    fc.stringMatching(/^[0-9]{1,4}(?:\.[0-9]{1,4}){0,4}$/),
  );
  fc.assert(
    fc.property(noise, (text) => {
      if (parseIpAddress(text).kind === 'ip') assert.notEqual(isIP(text), 0, text);
    }),
    { numRuns: 3000 },
  );
});

test('ranges are canonical and refuse bits beyond their prefix', () => {
  const value = (text: string) => {
    const range = parseIpRange(text);
    return range.kind === 'range' ? range.value : `? ${range.suggestion ?? ''}`;
  };
  assert.equal(value('10.0.0.0/8'), '10.0.0.0/8');
  assert.equal(value('0.0.0.0/0'), '0.0.0.0/0');
  assert.equal(value('2001:DB8::/32'), '2001:db8::/32');
  assert.equal(value('10.1.2.3'), '10.1.2.3/32');
  assert.equal(value('10.0.0.1/8'), '? 10.0.0.0/8');
  assert.equal(value('2001:db8::1/32'), '? 2001:db8::/32');
  for (const text of [
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/',
    '10.0.0.0/08',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    '10/8',
    '/8',
    '10.0.0.0/ 8',
    '10.0.0.0/1e1',
  ]) {
    assert.equal(parseIpRange(text).kind, 'malformed', text);
  }
});

test('an address is in a range exactly when node:net says so', () => {
  const v4 = fc.tuple(fc.ipV4(), fc.ipV4(), fc.integer({ min: 0, max: 32 }));
  const v6 = fc.tuple(ipv6, ipv6, fc.integer({ min: 0, max: 128 }));
  const near = fc.tuple(
    fc.integer({ min: 0, max: 255 }),
    fc.integer({ min: 0, max: 255 }),
    fc.integer({ min: 20, max: 32 }),
  );
  const nearby = near.map(([one, two, prefix]): [string, string, number] => [
    `10.0.0.${one}`,
    `10.0.${two & 1}.${two}`,
    prefix,
  ]);
  fc.assert(
    fc.property(fc.oneof(v4, v6, nearby), ([network, text, prefix]) => {
      const given = parseIpRange(`${network}/${prefix}`);
      const range = given.kind === 'range' ? given : parseIpRange(given.suggestion ?? '');
      const address = parseIpAddress(text);
      assert.ok(range.kind === 'range' && address.kind === 'ip');
      const family = range.bytes.length === 4 ? 'ipv4' : 'ipv6';
      const model = new BlockList();
      model.addSubnet(network, prefix, family);
      assert.equal(inRange(range, address), model.check(text, family), `${text} in ${network}/${prefix}`);
    }),
    { numRuns: 2000 },
  );
});

test('an IPv4 address is in no IPv6 range and the other way round', () => {
  const [all4, all6] = [parseIpRange('0.0.0.0/0'), parseIpRange('::/0')];
  const [one4, one6] = [parseIpAddress('192.0.2.1'), parseIpAddress('2001:db8::1')];
  assert.ok(all4.kind === 'range' && all6.kind === 'range' && one4.kind === 'ip' && one6.kind === 'ip');
  assert.deepEqual(
    [inRange(all4, one4), inRange(all6, one6), inRange(all4, one6), inRange(all6, one4)],
    [true, true, false, false],
  );
});

test('addresses that are not reachable everywhere are known as reserved', () => {
  const reserved = [
    '10.1.2.3',
    '127.0.0.1',
    '169.254.169.254',
    '192.168.0.1',
    '172.31.255.255',
    '100.64.0.1',
    '224.0.0.1',
  ];
  const reserved6 = ['::1', '::', 'fe80::1', 'fc00::1', 'ff02::1', '2001:db8::1', '64:ff9b::1', '2002:7f00:1::'];
  const open = ['8.8.8.8', '172.32.0.1', '100.128.0.1', '2606:4700::1111', '2a00::1'];
  const check = (text: string) => {
    const address = parseIpAddress(text);
    assert.ok(address.kind === 'ip');
    return isReservedAddress(address);
  };
  assert.deepEqual(
    [...reserved, ...reserved6].filter((text) => !check(text)),
    [],
  );
  assert.deepEqual(open.filter(check), []);
});
