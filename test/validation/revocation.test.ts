import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeExtension } from '#engines/pki/x509/extension.ts';
import type { RevocationVerdict } from '#engines/pki/validation/revocation.ts';
import { at, certify, codes, crlOf, day, intermediate, leafOf, root, validate } from './fixture.ts';

async function chain(options: Parameters<typeof leafOf>[1] = {}) {
  const anchor = await root();
  const leaf = await leafOf(anchor, { serialNumber: '0a', ...options });
  return { anchor, leaf, anchors: [anchor] };
}

const hard = (...crls: Buffer[]) => ({ crls, checkRevocation: 'hard' as const });
const url = 'http://crl.example.com/1.crl';
const points = encodeExtension('crl_distribution_points', [{ fullName: [{ kind: 'uri', value: url }] }]);
const shard = (value: string) => ({ fullName: [{ kind: 'uri' as const, value }] });

test('a current CRL decides: listed is revoked or on hold, not listed is good', async () => {
  const { anchor, ...given } = await chain();
  assert.equal((await validate(given, hard(crlOf(anchor)))).path[0]?.revocation, 'good');
  const listed = (reason: 'superseded' | 'certificate_hold', serialNumber = '0a') =>
    crlOf(anchor, { entries: [{ serialNumber, revokedAt: at - day, reason }] });
  assert.deepEqual(codes(await validate(given, hard(listed('superseded')))), ['revoked@0']);
  assert.deepEqual(codes(await validate(given, hard(listed('certificate_hold')))), ['on_hold@0']);
  assert.equal((await validate(given, hard(listed('superseded', '0b')))).valid, true);
});

test('without a CRL that can be used, hard refuses and says why, soft accepts', async () => {
  const { anchor, ...given } = await chain();
  const stranger = await root();
  const unusable: [Buffer, RegExp][] = [
    [crlOf(anchor, { thisUpdate: at - 3 * day, nextUpdate: at - day }), /stale/],
    [crlOf(anchor, { thisUpdate: at + day, nextUpdate: at + 2 * day }), /later than/],
    [crlOf(stranger), /not signed by a key of its issuer/],
    [crlOf(anchor, { issuingDistributionPoint: { onlyContainsCaCerts: true } }), /authorities only/],
    [crlOf(anchor, { issuingDistributionPoint: shard(url) }), /another distribution point/],
    [Buffer.from('no CRL'), /malformed/],
  ];
  for (const [crl, problem] of unusable) {
    const result = await validate(given, hard(crl));
    assert.deepEqual(codes(result), ['revocation_unknown@0']);
    assert.match(result.reasons[0]?.found ?? '', problem);
    const soft = await validate(given, { crls: [crl], checkRevocation: 'soft' });
    assert.deepEqual([soft.valid, soft.path[0]?.revocation], [true, 'unknown']);
  }
});

test('a stale CRL still tells of a revocation, but no longer of a hold', async () => {
  const { anchor, ...given } = await chain();
  const stale = (reason: 'key_compromise' | 'certificate_hold') =>
    crlOf(anchor, {
      thisUpdate: at - 3 * day,
      nextUpdate: at - day,
      entries: [{ serialNumber: '0a', revokedAt: at - 4 * day, reason }],
    });
  assert.deepEqual(codes(await validate(given, hard(stale('key_compromise')))), ['revoked@0']);
  assert.deepEqual(codes(await validate(given, hard(stale('certificate_hold')))), ['revocation_unknown@0']);
});

test('an issuer without cRLSign has no say in revocation', async () => {
  const anchor = await root('Root', { usages: ['key_cert_sign'] });
  const given = { leaf: await leafOf(anchor), anchors: [anchor] };
  assert.match((await validate(given, hard(crlOf(anchor)))).reasons[0]?.found ?? '', /no cRLSign/);
});

test('a shard answers for the certificates that point to it, and for no others', async () => {
  const { anchor, ...given } = await chain({ extensions: [points] });
  assert.equal((await validate(given, hard(crlOf(anchor, { issuingDistributionPoint: shard(url) })))).valid, true);
  const other = crlOf(anchor, { issuingDistributionPoint: shard('http://crl.example.com/2.crl') });
  assert.deepEqual(codes(await validate(given, hard(other))), ['revocation_unknown@0']);
});

test('a delta CRL adds to its base and takes back a hold, and alone tells of revocations only', async () => {
  const { anchor, ...given } = await chain();
  const entry = { serialNumber: '0a', revokedAt: at - day };
  const base = crlOf(anchor, { crlNumber: 5 });
  const held = crlOf(anchor, { crlNumber: 5, entries: [{ ...entry, reason: 'certificate_hold' }] });
  const delta = (reason: 'superseded' | 'remove_from_crl', deltaBase = 5) =>
    crlOf(anchor, { crlNumber: 7, deltaBase, entries: [{ ...entry, reason }] });
  assert.deepEqual(codes(await validate(given, hard(base, delta('superseded')))), ['revoked@0']);
  assert.deepEqual(codes(await validate(given, hard(held, delta('remove_from_crl')))), []);
  assert.deepEqual(codes(await validate(given, hard(held, delta('remove_from_crl', 6)))), ['on_hold@0']);
  assert.deepEqual(codes(await validate(given, hard(delta('superseded')))), ['revoked@0']);
  assert.deepEqual(codes(await validate(given, hard(delta('remove_from_crl')))), ['revocation_unknown@0']);
});

test('the CRL of every issuer in the path is needed, but none of the trust anchor itself', async () => {
  const anchor = await root();
  const authority = await intermediate(anchor, 'CA', { serialNumber: '0c' });
  const given = { leaf: await leafOf(authority), between: [authority], anchors: [anchor] };
  assert.deepEqual(codes(await validate(given, hard(crlOf(authority)))), ['revocation_unknown@1']);
  assert.equal((await validate(given, hard(crlOf(authority), crlOf(anchor)))).valid, true);
  const revoked = crlOf(anchor, { entries: [{ serialNumber: '0c', revokedAt: at - day, reason: 'ca_compromise' }] });
  assert.deepEqual(codes(await validate(given, hard(crlOf(authority), revoked))), ['revoked@1']);
});

test('what the caller knows of its own authorities counts beside the CRLs, and the worse of the two holds', async () => {
  const { anchor, ...given } = await chain();
  const asked: string[] = [];
  const answer = (verdict: RevocationVerdict | undefined, ...crls: Buffer[]) =>
    validate(given, {
      ...hard(...crls),
      revocation: async (certificate, issuer) => {
        asked.push(`${certificate.serialNumber} ${issuer.serialNumber}`);
        return verdict;
      },
    });
  assert.equal((await answer({ status: 'good' })).valid, true);
  assert.deepEqual(codes(await answer(undefined)), ['revocation_unknown@0']);
  assert.deepEqual(codes(await answer({ status: 'revoked', reason: 'superseded', at }, crlOf(anchor))), ['revoked@0']);
  assert.equal((await answer({ status: 'unknown' }, crlOf(anchor))).valid, true);
  assert.equal(asked.length, 4);
});

test('of two paths the one without a revoked authority is taken', async () => {
  const [first, second] = [await root('First'), await root('Second')];
  const authority = await intermediate(first, 'CA', { serialNumber: '0c' });
  const crossed = certify(authority, second);
  const revoked = crlOf(first, { entries: [{ serialNumber: '0c', revokedAt: at - day, reason: 'ca_compromise' }] });
  const given = { leaf: await leafOf(authority), between: [authority, crossed], anchors: [first, second] };
  const result = await validate(given, hard(revoked, crlOf(second), crlOf(authority)));
  assert.equal(result.valid, true);
  assert.equal(result.path[2]?.subject, 'CN=Second');
});

test('a list that came out after the time asked about tells of what was revoked by then, and of nothing that is good', async () => {
  const { anchor, ...given } = await chain();
  const later = (revokedAt: number, reason: 'superseded' | 'key_compromise' | 'certificate_hold') =>
    crlOf(anchor, {
      thisUpdate: at + 30 * day,
      nextUpdate: at + 60 * day,
      entries: [{ serialNumber: '0a', revokedAt, reason }],
    });
  assert.deepEqual(codes(await validate(given, hard(later(at - day, 'superseded')))), ['revoked@0']);
  assert.deepEqual(codes(await validate(given, hard(later(at + day, 'key_compromise')))), ['revoked@0']);
  assert.deepEqual(codes(await validate(given, hard(later(at + day, 'superseded')))), ['revocation_unknown@0']);
  assert.deepEqual(codes(await validate(given, hard(later(at - day, 'certificate_hold')))), ['revocation_unknown@0']);
});

test('a clock that is a little behind that of the issuer does no harm', async () => {
  const { anchor, ...given } = await chain();
  const ahead = (milliseconds: number) => crlOf(anchor, { thisUpdate: at + milliseconds, nextUpdate: at + day });
  assert.deepEqual(codes(await validate(given, hard(ahead(60_000)))), []);
  assert.deepEqual(codes(await validate(given, hard(ahead(61_000)))), ['revocation_unknown@0']);
});

test('of lists of one scope the newest counts, and of two that are equally new the worse, in any order', async () => {
  const { anchor, ...given } = await chain();
  const clean = crlOf(anchor, { crlNumber: 2 });
  const entries = [{ serialNumber: '0a', revokedAt: at - day, reason: 'certificate_hold' }] as const;
  const [older, equal] = [1, 2].map((crlNumber) => crlOf(anchor, { crlNumber, entries }));
  assert.ok(older && equal);
  for (const lists of [
    [older, clean],
    [clean, older],
  ])
    assert.deepEqual(codes(await validate(given, hard(...lists))), []);
  for (const lists of [
    [equal, clean],
    [clean, equal],
  ])
    assert.deepEqual(codes(await validate(given, hard(...lists))), ['on_hold@0']);
});
