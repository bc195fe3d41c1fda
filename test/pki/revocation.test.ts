import assert from 'node:assert/strict';
import { test } from 'node:test';
import { revocationReasons } from '#engines/pki/certificate-schema.ts';
import { openRevocationHouse, openssl } from './revocation-house.ts';

const opensslReasons: Readonly<Record<string, RegExp>> = {
  key_compromise: /keyCompromise/,
  ca_compromise: /cACompromise/,
  affiliation_changed: /affiliationChanged/,
  superseded: /superseded/,
  cessation_of_operation: /cessationOfOperation/,
  certificate_hold: /certificateHold/,
  // OpenSSL 3.0 has no names for 9 and 10 in OCSP.
  privilege_withdrawn: /UNKNOWN|privilegeWithdrawn/,
  aa_compromise: /UNKNOWN|aACompromise/,
};

test('a revoked certificate is refused by OpenSSL with the CRL, and OCSP says revoked at once', async (context) => {
  const house = await openRevocationHouse(context);
  const issued = await house.issue();
  assert.match(await house.verify(issued), /: OK/);
  assert.match(await house.ocsp(issued), /: good[^]*Response verify OK/);
  const status = await house.revoke(issued, { reason: 'superseded' });
  assert.equal(status.status, 'revoked');
  assert.match(status.visible.crl_url, /\/pki\/issuing\/crl\/1-0\.crl$/);
  assert.match(await house.ocsp(issued), /: revoked[^]*superseded[^]*Response verify OK/);
  assert.match(await house.verify(issued), /certificate revoked/);
});

test('every reason is published by CRL and OCSP', async (context) => {
  const house = await openRevocationHouse(context);
  for (const reason of revocationReasons) {
    const issued = await house.issue();
    const status = await house.revoke(issued, { reason });
    assert.equal(status.revocation_reason, reason);
    const answer = await house.ocsp(issued);
    assert.match(answer, /: revoked/);
    if (reason === 'unspecified') assert.doesNotMatch(answer, /Reason/);
    else assert.match(answer, opensslReasons[reason] ?? /nothing/);
    const [entry] = (await house.crl()).index().find(issued.serial_number);
    assert.equal(entry?.reason, reason === 'unspecified' ? undefined : reason);
  }
});

test('the invalidity date stands on the CRL, and none in the future is taken', async (context) => {
  const house = await openRevocationHouse(context);
  const issued = await house.issue();
  const path = `pki/certificates/${issued.serial_number}/revoke`;
  const late = await house.call('POST', path, { invalidity_date: '2999-01-01T00:00:00Z' });
  assert.equal(late.status, 400);
  await house.revoke(issued, { reason: 'key_compromise', invalidity_date: '2026-01-02T03:04:05Z' });
  const [entry] = (await house.crl()).index().find(issued.serial_number);
  assert.equal(entry?.invalidityDate, Date.UTC(2026, 0, 2, 3, 4, 5));
});

test('a hold is released, leaves the CRL, and the delta CRL says so', async (context) => {
  const house = await openRevocationHouse(context);
  const issued = await house.issue();
  const held = await house.revoke(issued, { reason: 'certificate_hold' });
  assert.equal(held.status, 'held');
  assert.equal((await house.crl()).index().size, 1);
  // Half of the life of a CRL later a new cycle begins, whose delta CRLs build on a CRL with the hold.
  house.clock.advance(4 * 86_400_000);
  const base = await house.crl();
  const released = await house.ok('POST', `pki/certificates/${issued.serial_number}/release`);
  assert.equal(released.status, 'valid');
  assert.match(await house.ocsp(issued, '-no_nonce', '-validity_period', '999999'), /: good/);
  const full = await house.crl();
  const delta = await house.crl(0, 'delta');
  assert.equal(full.index().size, 0);
  assert.equal(delta.index().find(issued.serial_number)[0]?.reason, 'remove_from_crl');
  assert.equal(delta.crlNumber, full.crlNumber);
  assert.ok((delta.deltaBase ?? 0n) <= (base.crlNumber ?? 0n));
});

test('states follow each other: valid, held, revoked; only key_compromise replaces another reason', async (context) => {
  const house = await openRevocationHouse(context);
  const issued = await house.issue();
  const path = `pki/certificates/${issued.serial_number}`;
  const first = await house.revoke(issued, { reason: 'certificate_hold' });
  assert.deepEqual(
    await house.revoke(issued, { reason: 'certificate_hold' }).then((again) => again.revoked_at),
    first.revoked_at,
  );
  const revoked = await house.revoke(issued, { reason: 'superseded' });
  assert.equal(revoked.revoked_at, first.revoked_at, 'what was held is revoked from the day it was held');
  assert.equal((await house.call('POST', `${path}/release`)).body.code, 'wrong_state');
  assert.equal((await house.call('POST', `${path}/revoke`, { reason: 'certificate_hold' })).status, 409);
  assert.equal((await house.call('POST', `${path}/revoke`, { reason: 'privilege_withdrawn' })).status, 409);
  assert.equal((await house.revoke(issued)).revocation_reason, 'superseded');
  assert.equal((await house.revoke(issued, { reason: 'key_compromise' })).revocation_reason, 'key_compromise');
  const [entry] = (await house.crl()).index().find(issued.serial_number);
  assert.equal(entry?.reason, 'key_compromise');
});

test('a certificate that is not the expected one is not revoked', async (context) => {
  const house = await openRevocationHouse(context);
  const issued = await house.issue();
  const path = `pki/certificates/${issued.serial_number}/revoke`;
  for (const expected of [{ name: 'b.example.com' }, { authority: 'root' }, { role: 'mail' }]) {
    assert.equal((await house.call('POST', path, { expected })).status, 409);
  }
  assert.equal((await house.ok('GET', `pki/certificates/${issued.serial_number}`)).status, 'valid');
  await house.revoke(issued, { expected: { name: 'a.example.com', authority: 'issuing', role: 'web' } });
});

test('by filter: dry run changes nothing, a repeat finds them revoked already, others stay', async (context) => {
  const house = await openRevocationHouse(context);
  const two = [await house.issue(), await house.issue()];
  const other = await house.issue({ dns_names: ['b.example.com'] });
  const filter = { name: 'a.example.com', role: 'web', reason: 'superseded' };
  assert.equal((await house.call('POST', 'pki/certificates/revoke', { reason: 'superseded' })).status, 400);
  const dry = await house.ok('POST', 'pki/certificates/revoke', { ...filter, dry_run: true });
  assert.equal(dry.revoked, 2);
  assert.equal((await house.crl()).index().size, 0);
  const done = await house.ok('POST', 'pki/certificates/revoke', filter);
  assert.deepEqual([done.revoked, done.already, done.left], [2, 0, 0]);
  assert.deepEqual(done.serial_numbers.toSorted(), two.map((issued) => issued.serial_number).toSorted());
  const again = await house.ok('POST', 'pki/certificates/revoke', filter);
  assert.deepEqual([again.revoked, again.already], [0, 2]);
  const byPem = await house.ok('POST', 'pki/certificates/revoke', { certificate: other.certificate });
  assert.deepEqual(byPem.serial_numbers, [other.serial_number]);
  assert.equal((await house.crl()).index().size, 3);
});

test('a serial number is taken as programs print it: in either case, with colons, with leading zeros', async (context) => {
  const house = await openRevocationHouse(context);
  const issued = await house.issue();
  const serial: string = issued.serial_number;
  const upper = serial.toUpperCase();
  const colons = upper.replaceAll(/..(?=.)/g, '$&:');
  for (const spelling of [upper, colons, `00${serial}`, `00:${colons}`, serial.replace(/^0+/, '')]) {
    const found = await house.ok('GET', `pki/certificates/${encodeURIComponent(spelling)}`);
    assert.equal(found.serial_number, serial);
    const filter = { serial_numbers: [spelling, serial], dry_run: true };
    assert.equal((await house.ok('POST', 'pki/certificates/revoke', filter)).revoked, 1);
  }
  for (const wrong of ['0x01', '1::2', ':1', '1:', '-01', 'a'.repeat(41), '0'.repeat(65)])
    assert.equal((await house.call('GET', `pki/certificates/${encodeURIComponent(wrong)}`)).status, 400, wrong);
  const hold = { reason: 'certificate_hold' };
  assert.equal((await house.ok('POST', `pki/certificates/${colons}/revoke`, hold)).status, 'held');
  assert.equal((await house.ok('POST', `pki/certificates/${upper}/release`)).status, 'valid');
  const events = (await house.ok('GET', 'audit/events?operation=pki.release_certificate')).events;
  assert.equal(events[0]?.resource, `pki/certificates/${serial}`);
});

test('a filter by a name that does not exist is not found; one that exists or has certificates revokes none', async (context) => {
  const house = await openRevocationHouse(context);
  const revoke = (filter: object) => house.call('POST', 'pki/certificates/revoke', filter);
  for (const kind of ['authority', 'role', 'principal']) {
    for (const dryRun of [false, true]) {
      const reply = await revoke({ [kind]: 'nope', dry_run: dryRun });
      assert.equal(reply.status, 404);
      assert.match(reply.body.detail, new RegExp(`There is no ${kind} nope`));
    }
  }
  assert.equal((await revoke({ role: 'web', principal: 'nope' })).status, 404);
  assert.equal((await house.ok('POST', 'pki/certificates/revoke', { authority: 'issuing', role: 'web' })).revoked, 0);
  await house.issue();
  await house.ok('POST', 'pki/certificates/revoke', { role: 'web' });
  await house.ok('DELETE', 'pki/roles/web');
  assert.equal((await house.ok('POST', 'pki/certificates/revoke', { role: 'web' })).already, 1);
});

test('an authority whose certificate is revoked signs no more, and its parent says so', async (context) => {
  const house = await openRevocationHouse(context);
  await house.issue();
  const authority = await house.ok('GET', 'pki/authorities/issuing');
  const status = await house.ok('POST', `pki/certificates/${authority.serial_number}/revoke`, {
    reason: 'cessation_of_operation',
  });
  assert.equal(status.notes.length, 2);
  assert.equal((await house.ok('GET', 'pki/authorities/issuing')).state, 'retired');
  const refused = await house.call('POST', 'pki/certificates', { role: 'web', dns_names: ['a.example.com'] });
  assert.ok(refused.status >= 400);
  const reply = await fetch(`${house.url}/pki/root/crl/1-0.crl`);
  const path = house.file('root.crl', new Uint8Array(await reply.arrayBuffer()));
  assert.match(await openssl('crl', '-inform', 'der', '-in', path, '-noout', '-text'), /Cessation Of Operation/);
});

test('other namespaces see nothing and revoke nothing', async (context) => {
  const house = await openRevocationHouse(context);
  const issued = await house.issue();
  const { key } = await house.ok('POST', 'namespaces', { name: 'other' });
  const stranger = house.as(key);
  assert.equal((await stranger.call('POST', `pki/certificates/${issued.serial_number}/revoke`, {})).status, 404);
  assert.equal((await stranger.call('POST', `pki/certificates/${issued.serial_number}/release`)).status, 404);
  const filter = { serial_numbers: [issued.serial_number] };
  assert.equal((await stranger.ok('POST', 'pki/certificates/revoke', filter)).revoked, 0);
  const report = await stranger.ok('POST', 'pki/compromised-keys', { certificate: issued.certificate });
  assert.equal(report.revoked, 0);
  assert.equal((await house.ok('GET', `pki/certificates/${issued.serial_number}`)).status, 'valid');
});
