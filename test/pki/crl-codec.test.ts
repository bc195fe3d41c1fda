import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import test from 'node:test';
import * as fc from 'fast-check';
import { contextConstructed, tag } from '#pki/asn1/tag.ts';
import { bitString, context, element, integer, nullValue, octetString, sequence, time } from '#pki/asn1/writer.ts';
import { reasonFlags } from '#pki/x509/access-extensions.ts';
import { signatureAlgorithmOf, verify } from '#pki/x509/algorithm.ts';
import { assembleCrl, decodeCrl, encodeTbsCertList, maxCrlBytes, type TbsCertListFields } from '#pki/x509/crl.ts';
import { type CrlEntry, encodeCrlEntry } from '#pki/x509/crl-entry.ts';
import { encodeExtension, encodeRawExtension } from '#pki/x509/extension.ts';
import { encodeGeneralNames } from '#pki/x509/general-name.ts';
import type { IssuingDistributionPointInput } from '#pki/x509/issuing-distribution-point.ts';
import { decodeName, encodeName } from '#pki/x509/name.ts';
import { oids } from '#pki/x509/oid.ts';
import { type CrlReason, crlReasons } from '#pki/x509/revocation-reason.ts';
import { damaged, day, makeSigner, now, refuses, run, type TestSigner, withFiles } from './revocation-fixture.ts';

const authority = await makeSigner({ commonName: 'Test CA' });
const publicKey = createPublicKey(authority.key.privateKey);

function fieldsOf(signer: TestSigner, entries: TbsCertListFields['entries']): TbsCertListFields {
  return {
    signatureAlgorithm: signatureAlgorithmOf(signer.keyType),
    issuer: signer.name,
    thisUpdate: now - 3_600_000,
    nextUpdate: now + day,
    crlNumber: 41,
    authorityKeyIdentifier: signer.keyIdentifier,
    entries,
  };
}

function signed(fields: TbsCertListFields, signer: TestSigner = authority): Buffer {
  const tbs = encodeTbsCertList(fields);
  return assembleCrl(tbs, fields.signatureAlgorithm, signer.sign(tbs));
}

function crlOf(entries: TbsCertListFields['entries'], more: Partial<TbsCertListFields> = {}): Buffer {
  return signed({ ...fieldsOf(authority, entries), ...more });
}

/** A CRL whose parts after nextUpdate are given in DER, for what the encoder would never write. */
function rawCrl(...rest: Uint8Array[]): Buffer {
  const algorithm = signatureAlgorithmOf('ec-p256');
  const tbs = sequence([integer(1), algorithm, authority.name, time(now), time(now + day), ...rest]);
  return assembleCrl(tbs, algorithm, authority.sign(tbs));
}

function rawEntry(serial: number, ...extensions: Uint8Array[]): Buffer {
  return sequence([integer(serial), time(now), extensions.length > 0 ? sequence(extensions) : undefined]);
}

const scopes: readonly IssuingDistributionPointInput[] = [
  { onlyContainsUserCerts: true },
  { onlyContainsCaCerts: true },
  { onlyContainsAttributeCerts: true },
];
const reasons = Object.keys(crlReasons) as CrlReason[];
const reasonsOfFullCrls = reasons.filter((reason) => reason !== 'remove_from_crl');
const wholeSeconds = fc.integer({ min: -631_152_000, max: 253_402_300_799 }).map((seconds) => seconds * 1000);
const serialNumber = fc
  .uint8Array({ minLength: 1, maxLength: 20 })
  .filter((octets) => (octets[0] as number) > 0 && (octets.length < 20 || (octets[0] as number) < 0x80))
  .map((octets) => Buffer.from(octets).toString('hex'));
const anyEntry = fc.record(
  {
    serialNumber,
    revokedAt: wholeSeconds,
    reason: fc.constantFrom(...reasonsOfFullCrls),
    invalidityDate: wholeSeconds,
  },
  { requiredKeys: ['serialNumber', 'revokedAt'] },
);

/** What decoding gives for an entry: `unspecified` is not written. */
function readBack(entry: CrlEntry): object {
  const { reason, ...rest } = entry;
  return { ...rest, ...(reason === undefined || reason === 'unspecified' ? {} : { reason }), unknownCritical: [] };
}

test('OpenSSL verifies and reads a CRL with every reason, signed by P-256, P-384, RSA and Ed25519 keys', async () => {
  for (const keyType of ['ec-p256', 'ec-p384', 'rsa-2048', 'ed25519'] as const) {
    const signer = await makeSigner({ commonName: `CA ${keyType}`, keyType });
    const entries = reasonsOfFullCrls.map((reason, index) => ({
      serialNumber: (0xa0 + index).toString(16),
      revokedAt: now - day,
      reason,
      invalidityDate: now - 2 * day,
    }));
    const crl = signed(fieldsOf(signer, entries), signer);
    await withFiles({ 'ca.pem': signer.pem, 'crl.der': crl }, async (path) => {
      const text = await run('openssl', [
        'crl',
        '-inform',
        'DER',
        '-in',
        path('crl.der'),
        '-CAfile',
        path('ca.pem'),
        '-text',
        '-noout',
      ]);
      assert.match(text, /verify OK/);
      assert.match(text, /Version 2 \(0x1\)/);
      assert.match(text, /X509v3 CRL Number: *\n *41\n/);
      assert.match(text, /X509v3 Authority Key Identifier/);
      assert.equal(text.match(/Invalidity Date/g)?.length, reasonsOfFullCrls.length);
      for (const words of ['Key Compromise', 'CA Compromise', 'Affiliation Changed', 'Superseded', 'Certificate Hold'])
        assert.match(text, new RegExp(`CRL Reason Code: *\\n *${words}`), words);
      for (const words of ['Cessation Of Operation', 'Privilege Withdrawn', 'AA Compromise'])
        assert.match(text, new RegExp(`CRL Reason Code: *\\n *${words}`), words);
      assert.equal(text.match(/CRL Reason Code/g)?.length, reasonsOfFullCrls.length - 1, 'unspecified is not written');
    });
  }
});

test('OpenSSL refuses a revoked certificate by its shard of the CRL, and lets others pass', async () => {
  const url = 'http://ca.example/crl/1-7.crl';
  const extensions = [encodeExtension('crl_distribution_points', [{ fullName: [{ kind: 'uri', value: url }] }])];
  const revoked = await makeSigner({ commonName: 'a', serialNumber: '0a01', issuer: authority, extensions });
  const valid = await makeSigner({ commonName: 'b', serialNumber: '0a02', issuer: authority, extensions });
  const shard = crlOf([{ serialNumber: '0a01', revokedAt: now - day, reason: 'superseded' }], {
    issuingDistributionPoint: { fullName: [{ kind: 'uri', value: url }], onlyContainsUserCerts: true },
  });
  const other = crlOf([], {
    issuingDistributionPoint: { fullName: [{ kind: 'uri', value: 'http://ca.example/crl/1-8.crl' }] },
  });
  const files = {
    'ca.pem': authority.pem,
    'a.pem': revoked.pem,
    'b.pem': valid.pem,
    'shard.crl': shard,
    'other.crl': other,
  };
  await withFiles(files, async (path) => {
    const check = (crl: string, certificate: string) =>
      run('openssl', [
        'verify',
        '-crl_check',
        '-extended_crl',
        '-CAfile',
        path('ca.pem'),
        '-CRLfile',
        path(crl),
        path(certificate),
      ]);
    assert.match(await check('shard.crl', 'b.pem'), /: OK/);
    await assert.rejects(check('shard.crl', 'a.pem'), /certificate revoked/);
    await assert.rejects(check('other.crl', 'b.pem'), /different CRL scope/);
  });
});

test('OpenSSL takes a revocation from a delta CRL, and the end of a hold', async () => {
  const held = await makeSigner({ commonName: 'held', serialNumber: '0b01', issuer: authority });
  const fresh = await makeSigner({ commonName: 'fresh', serialNumber: '0b02', issuer: authority });
  const base = crlOf([{ serialNumber: '0b01', revokedAt: now - day, reason: 'certificate_hold' }], {
    crlNumber: 5,
    freshestCrl: ['http://ca.example/delta.crl'],
  });
  const delta = crlOf(
    [
      { serialNumber: '0b01', revokedAt: now - day, reason: 'remove_from_crl' },
      { serialNumber: '0b02', revokedAt: now - 60_000, reason: 'key_compromise' },
    ],
    { crlNumber: 6, deltaBase: 5 },
  );
  const files = {
    'ca.pem': authority.pem,
    'held.pem': held.pem,
    'fresh.pem': fresh.pem,
    'base.crl': base,
    'delta.crl': delta,
  };
  await withFiles(files, async (path) => {
    const check = (certificate: string, ...more: string[]) =>
      run('openssl', [
        'verify',
        '-crl_check',
        '-CAfile',
        path('ca.pem'),
        '-CRLfile',
        path('base.crl'),
        ...more,
        path(certificate),
      ]);
    const withDelta = ['-use_deltas', '-extended_crl', '-CRLfile', path('delta.crl')];
    await assert.rejects(check('held.pem'), /certificate revoked/);
    assert.match(await check('fresh.pem'), /: OK/);
    assert.match(await check('held.pem', ...withDelta), /: OK/);
    await assert.rejects(check('fresh.pem', ...withDelta), /certificate revoked/);
  });
});

test('GnuTLS reads number, scope and entries of a CRL', async () => {
  const crl = crlOf([{ serialNumber: '7f01', revokedAt: now - day, reason: 'key_compromise' }], {
    issuingDistributionPoint: { fullName: [{ kind: 'uri', value: 'http://ca.example/1.crl' }] },
  });
  await withFiles({ 'crl.der': crl }, async (path) => {
    const text = await run('certtool', ['--crl-info', '--inder', '--infile', path('crl.der')]);
    assert.match(text, /Revoked certificates \(1\)/);
    assert.match(text, /Serial Number \(hex\): 7f01/);
    assert.match(text, /CRL Number \(not critical\): 29/);
  });
});

test('what is written is read back: times, numbers, entries in their order, each found by its serial number', () => {
  const property = fc.property(
    fc.array(anyEntry, { maxLength: 80 }),
    wholeSeconds.filter((at) => at < 253_402_300_799_000),
    fc.bigInt({ min: 0n, max: 2n ** 152n }),
    fc.uint8Array({ minLength: 1, maxLength: 32 }),
    (entries, thisUpdate, crlNumber, keyIdentifier) => {
      const nextUpdate = thisUpdate + 1000;
      const crl = decodeCrl(
        crlOf(entries, { thisUpdate, nextUpdate, crlNumber, authorityKeyIdentifier: keyIdentifier }),
      );
      assert.deepEqual([...crl.entries()], entries.map(readBack));
      assert.equal(crl.index().size, entries.length);
      for (const entry of entries) {
        const same = entries.filter((other) => other.serialNumber === entry.serialNumber);
        assert.deepEqual(crl.index().find(entry.serialNumber), same.map(readBack));
      }
      assert.deepEqual([crl.version, crl.thisUpdate, crl.nextUpdate], [2, thisUpdate, nextUpdate]);
      assert.deepEqual([crl.crlNumber, crl.deltaBase, crl.issuingDistributionPoint], [crlNumber, undefined, undefined]);
      assert.deepEqual(crl.issuer, decodeName(authority.name));
      assert.deepEqual(Buffer.from(crl.authorityKeyIdentifier?.keyIdentifier ?? []), Buffer.from(keyIdentifier));
      assert.ok(verify(publicKey, crl.signatureAlgorithm, crl.tbs, crl.signature));
    },
  );
  fc.assert(property, { numRuns: 60 });
});

test('the scope of a CRL is read back as it was written, and it and the delta indicator are critical', () => {
  const scope = fc.record(
    {
      fullName: fc
        .array(fc.nat(), { minLength: 1, maxLength: 3 })
        .map((numbers) => numbers.map((n) => ({ kind: 'uri' as const, value: `http://ca.example/${n}.crl` }))),
      onlySomeReasons: fc
        .subarray(Object.values(reasonFlags), { minLength: 1 })
        .map((bits) => bits.reduce((a, b) => a | b)),
      indirectCrl: fc.constant(true),
    },
    { requiredKeys: ['fullName'] },
  );
  const only = fc.constantFrom({}, ...scopes);
  fc.assert(
    fc.property(scope, only, fc.bigInt({ min: 0n, max: 2n ** 64n }), (parts, limit, deltaBase) => {
      const issuingDistributionPoint = { ...parts, ...limit };
      const crl = decodeCrl(crlOf([], { issuingDistributionPoint, deltaBase }));
      const { name, ...rest } = crl.issuingDistributionPoint ?? assert.fail();
      assert.deepEqual(name, { fullName: parts.fullName });
      assert.deepEqual(rest, {
        onlyContainsUserCerts: false,
        onlyContainsCaCerts: false,
        onlyContainsAttributeCerts: false,
        indirectCrl: parts.indirectCrl ?? false,
        onlySomeReasons: parts.onlySomeReasons,
        ...limit,
      });
      assert.equal(crl.deltaBase, deltaBase);
      assert.deepEqual(crl.unknownCritical, []);
      assert.deepEqual(
        [...crl.extensions.values()].map(({ oid: dotted, critical }) => [dotted, critical]),
        [
          [oids.authorityKeyIdentifier, false],
          [oids.crlNumber, false],
          [oids.deltaCrlIndicator, true],
          [oids.issuingDistributionPoint, true],
        ],
      );
    }),
    { numRuns: 60 },
  );
});

test('a full CRL names its delta CRL in freshestCRL', () => {
  const crl = decodeCrl(crlOf([], { freshestCrl: ['http://ca.example/d.crl'] }));
  const name = { fullName: [{ kind: 'uri', value: 'http://ca.example/d.crl' }] };
  assert.deepEqual(crl.freshestCrl, [{ name, reasons: undefined, crlIssuer: undefined }]);
});

test('entries encoded before, alone or joined, give the same bytes as entries encoded now', () => {
  fc.assert(
    fc.property(fc.array(anyEntry, { minLength: 1, maxLength: 20 }), (entries) => {
      const tbs = encodeTbsCertList(fieldsOf(authority, entries));
      const encoded = entries.map(encodeCrlEntry);
      assert.deepEqual(encodeTbsCertList(fieldsOf(authority, encoded)), tbs);
      assert.deepEqual(encodeTbsCertList(fieldsOf(authority, [Buffer.concat(encoded)])), tbs);
    }),
    { numRuns: 30 },
  );
});

test('the encoding leaves out what RFC 5280 wants left out: an empty list, and the reason unspecified', () => {
  const plain = encodeCrlEntry({ serialNumber: '0102', revokedAt: now });
  assert.deepEqual(encodeCrlEntry({ serialNumber: '0102', revokedAt: now, reason: 'unspecified' }), plain);
  assert.deepEqual(plain, sequence([integer(0x0102), time(now)]));
  const { signatureAlgorithm, issuer, thisUpdate, nextUpdate, ...rest } = fieldsOf(authority, []);
  const before = [integer(1), signatureAlgorithm, issuer, time(thisUpdate), time(nextUpdate)];
  const tbs = encodeTbsCertList({ signatureAlgorithm, issuer, thisUpdate, nextUpdate, ...rest });
  const afterNextUpdate = 2 + Buffer.concat(before).length;
  assert.deepEqual([tbs[1], tbs[afterNextUpdate]], [tbs.length - 2, contextConstructed(0)]);
});

test('an entry takes 39 octets, 53 with a reason, 79 with an invalidity date as well', () => {
  const entry = { serialNumber: '7f'.repeat(20), revokedAt: now };
  assert.equal(encodeCrlEntry(entry).length, 39);
  assert.equal(encodeCrlEntry({ ...entry, reason: 'key_compromise' }).length, 53);
  assert.equal(encodeCrlEntry({ ...entry, reason: 'key_compromise', invalidityDate: now }).length, 79);
});

test('serial numbers may be given as octets, and are never cut to make them fit', () => {
  const revokedAt = now;
  assert.deepEqual(
    encodeCrlEntry({ serialNumber: Buffer.from('00ff01', 'hex'), revokedAt }),
    encodeCrlEntry({ serialNumber: 'ff01', revokedAt }),
  );
  for (const bad of ['', '0', 'abc', '0g', '-01', '00', '80'.repeat(20), '01'.repeat(21), ' 01', '0x01'])
    assert.throws(() => encodeCrlEntry({ serialNumber: bad, revokedAt }), RangeError, bad);
});

test('the encoder refuses what RFC 5280 §5.2 forbids', () => {
  const forbidden: readonly [RegExp, TbsCertListFields['entries'], Partial<TbsCertListFields>][] = [
    [/delta CRLs only/, [{ serialNumber: '01', revokedAt: now, reason: 'remove_from_crl' }], {}],
    [/no other delta/, [], { deltaBase: 1, freshestCrl: ['http://a/'] }],
    [/CRL number/, [], { crlNumber: -1 }],
    [/CRL number/, [], { crlNumber: 2n ** 160n }],
    [/CRL number/, [], { deltaBase: -1n }],
    [/whole number/, [], { crlNumber: 1.5 }],
    [/later/, [], { nextUpdate: now - 3_600_000 }],
    [/later/, [], { nextUpdate: Number.NaN }],
    [/must say something/, [], { issuingDistributionPoint: {} }],
    [/must say something/, [], { issuingDistributionPoint: { indirectCrl: false } }],
    [/one kind/, [], { issuingDistributionPoint: { onlyContainsCaCerts: true, onlyContainsUserCerts: true } }],
    [/not ASCII/, [], { freshestCrl: ['http://ä/'] }],
  ];
  for (const [message, entries, more] of forbidden)
    assert.throws(() => crlOf(entries, more), { name: 'RangeError', message }, String(message));
});

test('a CRL of 30,000 entries is read whole, although one reader reads at most 20,000 elements', () => {
  const entries = Array.from({ length: 30_000 }, (_, index) =>
    encodeCrlEntry({ serialNumber: (0x1000_0000 + index).toString(16), revokedAt: now, reason: 'superseded' }),
  );
  const index = decodeCrl(crlOf(entries)).index();
  assert.equal(index.size, 30_000);
  assert.equal(index.find('10000000').length, 1);
  assert.equal(index.find((0x1000_0000 + 29_999).toString(16))[0]?.reason, 'superseded');
  assert.deepEqual(index.find((0x1000_0000 + 30_000).toString(16)), []);
});

test('on an indirect CRL an entry without certificateIssuer belongs to the issuer of the one before', () => {
  const names = [{ kind: 'directory' as const, name: { der: encodeName([{ type: 'common_name', value: 'Other' }]) } }];
  const other = encodeRawExtension(oids.certificateIssuer, true, encodeGeneralNames(names));
  const reason = encodeRawExtension(oids.reasonCode, false, Buffer.from([tag.enumerated, 1, 4]));
  const crl = decodeCrl(
    crlOf([rawEntry(1), rawEntry(2, other), rawEntry(3), rawEntry(1, reason), rawEntry(4, other)], {
      issuingDistributionPoint: { indirectCrl: true },
    }),
  );
  const issuers = [...crl.entries()].map(({ certificateIssuer }) => {
    const [name] = certificateIssuer ?? [];
    return name?.kind === 'directory' ? name.name.rdns[0]?.[0]?.value : undefined;
  });
  assert.deepEqual(issuers, [undefined, 'Other', 'Other', 'Other', 'Other']);
  const all = [...crl.entries()];
  assert.deepEqual(crl.index().find('01'), [all[0], all[3]]);
  assert.deepEqual(crl.index().find('03'), [all[2]]);
  assert.deepEqual(crl.index().find('04'), [all[4]]);
  assert.deepEqual(crl.index().unknownCritical, []);
});

test('critical extensions that are not understood are reported, of the CRL and of its entries', () => {
  const critical = (dotted: string) => encodeRawExtension(dotted, true, nullValue());
  const ignorable = encodeRawExtension('1.2.3.9', false, nullValue());
  const extensions = context(0, [sequence([critical('1.2.3.4'), ignorable])]);
  const entries = [rawEntry(1), rawEntry(2, critical('1.2.3.5'), ignorable), rawEntry(3, critical('1.2.3.5'))];
  const crl = decodeCrl(rawCrl(sequence(entries), extensions));
  assert.deepEqual(crl.unknownCritical, ['1.2.3.4']);
  assert.deepEqual(crl.index().unknownCritical, ['1.2.3.5']);
  assert.deepEqual(crl.index().find('02')[0]?.unknownCritical, ['1.2.3.5']);
});

test('a CRL of version 1, one without nextUpdate and one with an empty list are read', () => {
  const algorithm = signatureAlgorithmOf('ec-p256');
  const body = [algorithm, authority.name, time(now)];
  const assemble = (tbs: Buffer) => decodeCrl(assembleCrl(tbs, algorithm, authority.sign(tbs)));
  const first = assemble(sequence([...body, sequence([rawEntry(9)])]));
  assert.deepEqual([first.version, first.nextUpdate, first.index().find('09').length], [1, undefined, 1]);
  const second = assemble(sequence([integer(1), ...body, sequence([])]));
  assert.deepEqual([second.version, second.nextUpdate, second.index().size], [2, undefined, 0]);
});

test('negative serial numbers do not hide a certificate behind another', () => {
  const crl = decodeCrl(rawCrl(sequence([rawEntry(-1), rawEntry(255)])));
  assert.deepEqual(crl.index().find('ff').length, 1);
  assert.deepEqual(
    [...crl.entries()].map((entry) => entry.serialNumber),
    ['-01', 'ff'],
  );
});

test('a CRL that says two things, or something that has no meaning, is refused', () => {
  const p256 = signatureAlgorithmOf('ec-p256');
  const tbs = encodeTbsCertList(fieldsOf(authority, []));
  const number = encodeRawExtension(oids.crlNumber, false, integer(1));
  const bad: readonly [string, Buffer][] = [
    ['another algorithm outside', assembleCrl(tbs, signatureAlgorithmOf('ec-p384'), authority.sign(tbs))],
    ['something behind it', Buffer.concat([crlOf([]), nullValue()])],
    [
      'version 1 with extensions',
      (() => {
        const old = sequence([p256, authority.name, time(now), context(0, [sequence([number])])]);
        return assembleCrl(old, p256, authority.sign(old));
      })(),
    ],
    [
      'version 1 written out',
      (() => {
        const old = sequence([integer(0), p256, authority.name, time(now)]);
        return assembleCrl(old, p256, authority.sign(old));
      })(),
    ],
    ['a number twice', rawCrl(context(0, [sequence([number, number])]))],
    ['a negative number', rawCrl(context(0, [sequence([encodeRawExtension(oids.crlNumber, false, integer(-1))])]))],
    [
      'a number of 21 octets',
      rawCrl(context(0, [sequence([encodeRawExtension(oids.crlNumber, false, integer(2n ** 160n))])])),
    ],
    ['no extensions in the place for them', rawCrl(context(0, [sequence([])]))],
    ['two scopes', rawCrl(scopeExtension(element(0x81, [Buffer.of(0xff)]), element(0x82, [Buffer.of(0xff)])))],
    ['a default that is written out', rawCrl(scopeExtension(element(0x81, [Buffer.of(0)])))],
    [
      'scope parts in the wrong order',
      rawCrl(scopeExtension(element(0x84, [Buffer.of(0xff)]), element(0x81, [Buffer.of(0xff)]))),
    ],
    ['a bit string with unused bits as signature', sequence([tbs, p256, element(tag.bitString, [Buffer.of(1, 0x80)])])],
    ['a signature that is no bit string', sequence([tbs, p256, octetString(authority.sign(tbs))])],
  ];
  for (const [what, der] of bad)
    assert.ok(
      refuses(() => decodeCrl(der)),
      what,
    );
});

function scopeExtension(...parts: Buffer[]): Buffer {
  return context(0, [sequence([encodeRawExtension(oids.issuingDistributionPoint, true, sequence(parts))])]);
}

test('one malformed entry makes the whole list unreadable', () => {
  const reason = (code: number) => encodeRawExtension(oids.reasonCode, false, Buffer.from([tag.enumerated, 1, code]));
  const bad: readonly [string, Buffer][] = [
    ['reason 7', rawEntry(5, reason(7))],
    ['reason 11', rawEntry(5, reason(11))],
    ['a reason that is an INTEGER', rawEntry(5, encodeRawExtension(oids.reasonCode, false, integer(1)))],
    ['a reason twice', rawEntry(5, reason(1), reason(1))],
    ['an invalidity date in UTCTime', rawEntry(5, encodeRawExtension(oids.invalidityDate, false, time(now)))],
    ['no names', rawEntry(5, encodeRawExtension(oids.certificateIssuer, true, sequence([])))],
    ['an empty list of extensions', sequence([integer(5), time(now), sequence([])])],
    ['no time', sequence([integer(5)])],
    ['a third part', sequence([integer(5), time(now), sequence([reason(1)]), nullValue()])],
    ['not a sequence', integer(5)],
    ['half an entry', rawEntry(5).subarray(0, 6)],
  ];
  for (const [what, entry] of bad) {
    const list = element(tag.sequence, [rawEntry(1), entry]);
    const crl = decodeCrl(rawCrl(list));
    assert.ok(
      refuses(() => crl.index()),
      what,
    );
    assert.ok(
      refuses(() => [...crl.entries()]),
      what,
    );
  }
});

test('a CRL larger than the limit is refused before it is read', () => {
  assert.throws(() => decodeCrl(Buffer.alloc(maxCrlBytes + 1)), { name: 'DerError', message: /larger than/ });
  const crl = crlOf([]);
  assert.ok(refuses(() => decodeCrl(crl, crl.length - 1)));
  assert.equal(decodeCrl(crl, crl.length).version, 2);
});

test('whatever is done to a CRL, reading it ends in a value or in a DerError', () => {
  const names = [{ kind: 'directory' as const, name: { der: authority.name } }];
  const crl = crlOf(
    [
      ...reasons.map((reason, index) => ({
        serialNumber: `0${(index % 9) + 1}`,
        revokedAt: now,
        reason,
        invalidityDate: now,
      })),
      rawEntry(3, encodeRawExtension(oids.certificateIssuer, true, encodeGeneralNames(names))),
    ],
    {
      deltaBase: 3,
      issuingDistributionPoint: { fullName: names, onlySomeReasons: reasonFlags.superseded, indirectCrl: true },
    },
  );
  let refused = 0;
  let total = 0;
  for (const der of damaged(crl)) {
    total += 1;
    if (refuses(() => readAll(der))) refused += 1;
  }
  assert.ok(refused > total / 3 && refused < total, `${refused} of ${total} refused`);
});

test('random bytes and random DER are never read as a CRL by accident, nor break the reader', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      assert.ok(refuses(() => readAll(Buffer.from(bytes))));
      assert.ok(
        refuses(() => readAll(sequence([sequence([bytes]), signatureAlgorithmOf('ec-p256'), bitString(bytes)]))),
      );
    }),
  );
});

function readAll(der: Buffer): void {
  const crl = decodeCrl(der);
  for (const { serialNumber: serial } of crl.entries()) crl.index().find(serial);
}
