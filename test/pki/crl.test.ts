import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { test } from 'node:test';
import { lintCrl } from '#engines/pki/lint/crl.ts';
import { nextNumber } from '#engines/pki/revocation/crl-builder.ts';
import { differences } from '#engines/pki/revocation/crl-entries.ts';
import { decodeCrl } from '#engines/pki/x509/crl.ts';
import { type CrlEntry, encodeCrlEntry, readCrlEntries } from '#engines/pki/x509/crl-entry.ts';
import { startChancery } from '#test/chancery.ts';
import { openRevocationHouse, openssl } from './revocation-house.ts';

const day = 86_400_000;

test('the CRL of a shard that nothing stands on is there, for roots as well, and is faultless', async (context) => {
  const house = await openRevocationHouse(context);
  for (const authority of ['root', 'issuing']) {
    for (const file of ['1-0.crl', '1-0-delta.crl']) {
      const reply = await fetch(`${house.url}/pki/${authority}/crl/${file}`);
      assert.equal(reply.headers.get('content-type'), 'application/pkix-crl');
      const der = Buffer.from(await reply.arrayBuffer());
      assert.deepEqual(lintCrl(der), []);
      assert.equal(decodeCrl(der).index().size, 0);
    }
  }
});

test('OpenSSL verifies the signature of CRLs of every kind of key', async (context) => {
  for (const keyType of ['ec-p384', 'ed25519', 'rsa-2048']) {
    const house = await openRevocationHouse(context, { keyType });
    const issued = await house.issue();
    const crl = house.file('x.crl', (await house.crl()).der);
    const issuer = house.file('x.pem', issued.chain[0] ?? '');
    assert.match(await openssl('crl', '-inform', 'der', '-in', crl, '-CAfile', issuer, '-noout'), /verify OK/);
  }
});

test('full and delta CRL name the distribution point of the certificates, and share their number', async (context) => {
  const house = await openRevocationHouse(context);
  const issued = await house.issue();
  await house.revoke(issued, { reason: 'superseded' });
  const full = await house.crl();
  const delta = await house.crl(0, 'delta');
  const text = await openssl('x509', '-in', house.file('l.pem', issued.certificate), '-noout', '-text');
  const name = `${house.url}/pki/issuing/crl/1-0.crl`;
  assert.match(text, new RegExp(`CRL Distribution[^]*${name}`));
  for (const { issuingDistributionPoint } of [full, delta]) {
    assert.deepEqual(issuingDistributionPoint?.name, { fullName: [{ kind: 'uri', value: name }] });
  }
  assert.equal(delta.crlNumber, full.crlNumber);
  assert.equal(full.deltaBase, undefined);
  assert.ok(delta.deltaBase !== undefined && full.freshestCrl !== undefined);
  assert.equal(delta.freshestCrl, undefined);
  assert.deepEqual(lintCrl(full.der), []);
  assert.deepEqual(lintCrl(delta.der), []);
});

test('numbers grow with every CRL, and with the time when a restored backup knows less than was published', async (context) => {
  assert.equal(nextNumber(undefined, 1000), 1000);
  assert.equal(nextNumber(7, 1000), 1000);
  assert.equal(nextNumber(1000, 1000), 1001);
  assert.equal(nextNumber(5000, 1000), 5001);
  const house = await openRevocationHouse(context);
  const numbers: bigint[] = [];
  for (let count = 0; count < 4; count++) {
    await house.revoke(await house.issue());
    numbers.push((await house.crl()).crlNumber ?? 0n);
  }
  assert.deepEqual(
    numbers,
    [...new Set(numbers)].toSorted((a, b) => Number(a - b)),
  );
});

test('a CRL is made anew at half of its life, though nothing changed', async (context) => {
  const house = await openRevocationHouse(context);
  const first = await house.crl();
  assert.equal((await house.crl()).crlNumber, first.crlNumber);
  house.clock.advance(3.4 * day);
  assert.equal((await house.crl()).crlNumber, first.crlNumber);
  house.clock.advance(0.2 * day);
  const second = await house.crl();
  assert.ok((second.crlNumber ?? 0n) > (first.crlNumber ?? 0n));
  assert.ok(second.thisUpdate < (first.nextUpdate ?? 0));
});

test('a CRL begins a minute before it is made, so that clients whose clock is late take it', async (context) => {
  const house = await openRevocationHouse(context);
  const minute = 60_000;
  const issued = await house.issue();
  await house.crl();
  await house.revoke(issued);
  const revoked = house.clock.now();
  const madeBy = async (kind: 'full' | 'delta') => {
    const crl = await house.crl(0, kind);
    assert.ok(crl.thisUpdate <= house.clock.now() - minute, 'it is backdated');
    assert.equal((crl.nextUpdate ?? 0) - crl.thisUpdate, 7 * day, 'its life is crl_ttl');
    assert.deepEqual(lintCrl(crl.der), []);
    const [entry] = crl.index().find(issued.serial_number);
    assert.ok(entry, 'what was revoked within that minute is on it');
    return { crl, entry };
  };
  const first = await madeBy('full');
  // A client that is late would take a revocation for one to come.
  assert.ok(first.entry.revokedAt <= first.crl.thisUpdate);
  assert.ok((await madeBy('delta')).entry.revokedAt <= first.crl.thisUpdate);
  house.clock.advance(2 * minute);
  await house.revoke(await house.issue());
  const second = await madeBy('full');
  assert.ok(Math.abs(second.entry.revokedAt - revoked) < 5000, 'later CRLs say when it was');
  assert.ok((second.crl.crlNumber ?? 0n) > (first.crl.crlNumber ?? 0n));
  assert.equal((await house.crl(0, 'delta')).crlNumber, second.crl.crlNumber);
});

test('a CRL does not begin before the certificate of its issuer', async (context) => {
  const house = await openRevocationHouse(context);
  const notBefore = Math.floor(house.clock.now() / 1000) * 1000 - 5000;
  const root = { name: 'young', kind: 'root', common_name: 'Young', not_before: new Date(notBefore).toISOString() };
  await house.ok('POST', 'pki/authorities', root);
  const reply = await fetch(`${house.url}/pki/young/crl/1-0.crl`);
  assert.equal(decodeCrl(Buffer.from(await reply.arrayBuffer())).thisUpdate, notBefore);
});

test('a CRL that was made within the minute by which CRLs are backdated is not taken for the one before', async (context) => {
  const house = await openRevocationHouse(context);
  const url = `${house.url}/pki/issuing/crl/1-0.crl`;
  const issued = await house.issue();
  assert.equal((await fetch(url)).status, 200);
  house.clock.advance(2000);
  const since = { headers: { 'if-modified-since': new Date(house.clock.now()).toUTCString() } };
  assert.equal((await fetch(url, since)).status, 304);
  house.clock.advance(10_000);
  await house.revoke(issued);
  assert.equal((await fetch(url, since)).status, 200);
});

test('a life of CRLs that is too short for the backdating is refused', async (context) => {
  const house = await openRevocationHouse(context);
  const root = { name: 'brief', kind: 'root', common_name: 'Brief', crl_ttl: '9m' };
  assert.equal((await house.call('POST', 'pki/authorities', root)).status, 400);
  await house.ok('POST', 'pki/authorities', { ...root, crl_ttl: '10m' });
});

test('a revocation is published though nobody asks for the CRL, and the audit log says by which job', async (context) => {
  const house = await openRevocationHouse(context);
  await house.revoke(await house.issue());
  const status = () => house.ok('GET', 'pki/authorities/issuing/crl');
  let [crl] = (await status()).crls;
  while (crl.stale || crl.entries === 0) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    [crl] = (await status()).crls;
  }
  assert.equal(crl.entries, 1);
  const { events } = await house.ok('GET', 'audit/events?operation=pki.rebuild_crls');
  assert.ok(events.some((event: { principal: string }) => event.principal === 'pki.publish_crls'));
});

test('an expired certificate leaves only after a scheduled CRL was made beyond its end', async (context) => {
  const house = await openRevocationHouse(context);
  await house.crl();
  const issued = await house.issue({ ttl: '1d' });
  await house.revoke(issued);
  const has = async () => (await house.crl()).index().find(issued.serial_number).length === 1;
  assert.ok(await has());
  house.clock.advance(1.5 * day);
  await house.revoke(await house.issue());
  assert.ok(await has(), 'a CRL between two scheduled ones keeps what has expired');
  house.clock.advance(2.5 * day);
  assert.ok(await has(), 'the first scheduled CRL beyond its end still lists it');
  house.clock.advance(4 * day);
  assert.ok(!(await has()), 'the next one does not');
});

test('after a rotation each key answers with CRLs of its own', async (context) => {
  const house = await openRevocationHouse(context);
  const old = await house.issue();
  await house.ok('POST', 'pki/authorities/issuing/rotate', {});
  const fresh = await house.issue();
  await house.revoke(old);
  await house.revoke(fresh);
  const first = await house.crl(0, 'full', 1);
  const second = await house.crl(0, 'full', 2);
  assert.equal(first.index().find(old.serial_number).length, 1);
  assert.equal(first.index().size, 1);
  assert.equal(second.index().find(fresh.serial_number).length, 1);
  assert.notDeepEqual(first.authorityKeyIdentifier, second.authorityKeyIdentifier);
});

test('a client that has the CRL gets 304, and a new one after a revocation', async (context) => {
  const house = await openRevocationHouse(context);
  const url = `${house.url}/pki/issuing/crl/1-0.crl`;
  const first = await fetch(url);
  await first.arrayBuffer();
  const etag = first.headers.get('etag') ?? '';
  assert.match(first.headers.get('cache-control') ?? '', /^max-age=300, public/);
  assert.ok(Date.parse(first.headers.get('last-modified') ?? '') > 0);
  const again = { headers: { 'if-none-match': etag } };
  assert.equal((await fetch(url, again)).status, 304);
  assert.equal(
    (await fetch(url, { headers: { 'if-modified-since': new Date(house.clock.now() + 1000).toUTCString() } })).status,
    304,
  );
  await house.revoke(await house.issue());
  assert.equal((await fetch(url, again)).status, 200);
  assert.equal((await fetch(url, { method: 'HEAD' })).status, 200);
});

test('addresses that no certificate names are not found', async (context) => {
  const house = await openRevocationHouse(context);
  const hostile = [
    'issuing/crl/1-1.crl',
    'issuing/crl/2-0.crl',
    'issuing/crl/01-0.crl',
    'issuing/crl/1-00.crl',
    'issuing/crl/1-0.crl%00',
    'issuing/crl/1--1.crl',
    'issuing/crl/1-999999999.crl',
    'issuing/crl/..%2f..%2fadmin.token',
    'root.issuing/crl/1-0.crl',
    'other.issuing/crl/1-0.crl',
    'nobody/crl/1-0.crl',
    'nobody/ca.pem',
    'issuing/ca/2.cer',
    `${'a'.repeat(400)}/crl/1-0.crl`,
  ];
  for (const path of hostile) {
    const reply = await fetch(`${house.url}/pki/${path}`);
    assert.equal(reply.status, 404, path);
    assert.match(reply.headers.get('content-type') ?? '', /problem\+json/);
    await reply.arrayBuffer();
  }
});

test('certificates of authorities are published: roots, chain, and each key', async (context) => {
  const house = await openRevocationHouse(context);
  const issued = await house.issue();
  const roots = await (await fetch(`${house.url}/pki/roots.pem`)).text();
  assert.ok(roots.includes(issued.chain[1] ?? 'none'));
  assert.equal(await (await fetch(`${house.url}/pki/issuing/ca.pem`)).text(), issued.chain.join(''));
  const der = new Uint8Array(await (await fetch(`${house.url}/pki/issuing/ca/1.cer`)).arrayBuffer());
  const pem = await openssl('x509', '-inform', 'der', '-in', house.file('ca.cer', der));
  assert.equal(pem, issued.chain[0]);
  const root = await house.ok('GET', 'pki/authorities/root');
  await house.ok('POST', `pki/certificates/${root.serial_number}/revoke`, { reason: 'key_compromise' });
  assert.ok(!(await (await fetch(`${house.url}/pki/roots.pem`)).text()).includes('BEGIN'));
});

test('the state of CRLs is shown, and they are made anew on demand', async (context) => {
  const house = await openRevocationHouse(context);
  await house.issue();
  await house.crl();
  const { crls } = await house.ok('GET', 'pki/authorities/issuing/crl');
  assert.equal(crls.length, 1);
  assert.deepEqual([crls[0].shard, crls[0].entries, crls[0].published, crls[0].stale], [0, 0, true, false]);
  assert.equal(crls[0].bytes, (await house.crl()).der.length);
  const rebuilt = await house.ok('POST', 'pki/authorities/issuing/crl/rebuild', {});
  assert.ok(rebuilt.crls[0].number > crls[0].number);
  assert.equal((await house.call('POST', 'pki/authorities/issuing/crl/rebuild', { shard: 7 })).status, 404);
});

test('the difference of two lists of entries is what a delta CRL says', async () => {
  const entry = (serial: string, reason: NonNullable<CrlEntry['reason']>) =>
    encodeCrlEntry({ serialNumber: serial, revokedAt: 1_700_000_000_000, reason });
  const base = Buffer.concat([
    entry('40aa', 'superseded'),
    entry('40bb', 'certificate_hold'),
    entry('40cc', 'superseded'),
  ]);
  const current = Buffer.concat([
    entry('4001', 'unspecified'),
    entry('40aa', 'superseded'),
    entry('40cc', 'key_compromise'),
    entry('40dd', 'superseded'),
  ]);
  const { der, count } = await differences(base, current);
  const said = [...readCrlEntries(der)].map(({ entry: { serialNumber, reason } }) => [serialNumber, reason]);
  assert.equal(count, 4);
  assert.deepEqual(said, [
    ['4001', undefined],
    ['40bb', 'remove_from_crl'],
    ['40cc', 'key_compromise'],
    ['40dd', 'superseded'],
  ]);
  assert.equal((await differences(current, current)).count, 0);
});

test('others have their turns while the entries of a whole shard leave it', async () => {
  const serial = (index: number) => `40${index.toString(16).padStart(38, '0')}`;
  const base = Buffer.concat(
    Array.from({ length: 12_000 }, (_, index) => encodeCrlEntry({ serialNumber: serial(index), revokedAt: 0 })),
  );
  let turns = 0;
  const count = (): void => {
    turns += 1;
    if (!done) setImmediate(count);
  };
  let done = false;
  setImmediate(count);
  const { count: removed } = await differences(base, Buffer.alloc(0));
  done = true;
  assert.equal(removed, 12_000);
  assert.ok(turns >= 10, `${turns} turns`);
});

test('a hundred thousand revoked certificates stand on nine CRLs of less than a megabyte each', async (context) => {
  const house = await openRevocationHouse(context);
  const issued = await house.issue();
  await house.stop();
  const database = new DatabaseSync(join(house.folder, 'chancery.db'));
  database.exec(`
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99999)
    INSERT INTO pki_certificates (id, namespace, serial_number, issuer_id, authority, principal, kind, certificate,
      subject, spki_sha256, not_before, not_after, issued_at, status, revoked_at, revocation_reason, invalidity_date, crl_shard)
    SELECT printf('crt_%032x', i), namespace, printf('40%038x', i), issuer_id, authority, principal, kind, certificate,
      subject, spki_sha256, not_before, not_after + 86400000, issued_at, 'revoked', issued_at, 'key_compromise', issued_at, i / 12000
    FROM n, (SELECT * FROM pki_certificates WHERE serial_number = '${issued.serial_number}');
    INSERT OR IGNORE INTO pki_crl_shards (issuer_id, shard, reserved)
      SELECT DISTINCT issuer_id, crl_shard, 12000 FROM pki_certificates WHERE status = 'revoked';
    DELETE FROM pki_crl_states`);
  database.close();
  const server = await startChancery(context, { folder: house.folder });
  let entries = 0;
  for (let shard = 0; shard <= 8; shard++) {
    const reply = await fetch(`${server.url}/pki/issuing/crl/1-${shard}.crl`);
    const crl = decodeCrl(Buffer.from(await reply.arrayBuffer()));
    assert.ok(crl.der.length < 1_000_000, `${crl.der.length} bytes`);
    entries += crl.index().size;
  }
  assert.equal(entries, 100_000);
});
