import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { foundPki } from '#test/chancery.ts';
import { accountAt, type ClientWorld, http, startWorld, until } from './client-world.ts';

/** Orders at Pebble, which refuses nonces and reuses authorizations at random. */

describe('orders at an outside authority', () => {
  let world: ClientWorld;
  const ends: (() => unknown)[] = [];
  before(async () => {
    world = await startWorld({ after: (end: () => unknown) => ends.push(end) } as unknown as TestContext, {
      alternateRoots: 2,
    });
  });
  after(async () => {
    for (const end of ends.toReversed()) await end();
  });

  test('a certificate for several names is obtained over http-01, and its key is returned once and nowhere afterwards', async () => {
    const { server } = world;
    const order = await server.ok('POST', 'acme/orders', http('a.example.com', 'b.example.com'));
    assert.equal(order.state, 'issued', JSON.stringify(order));
    assert.equal(order.next.waiting_for, 'nobody');
    const path = `acme/certificates/${order.certificate_id}`;
    const shown = await server.ok('GET', path);
    assert.deepEqual(shown.identifiers, ['a.example.com', 'b.example.com']);
    assert.equal(shown.key, 'waits');
    assert.equal('private_key' in shown, false);
    const first = await server.ok('POST', `${path}/download`);
    const leaf = new X509Certificate(first.certificate);
    assert.ok(leaf.checkPrivateKey(createPrivateKey(first.private_key)));
    assert.ok(leaf.checkIssued(new X509Certificate(first.chain[0])));
    assert.equal(first.full_chain, [first.certificate, ...first.chain].join(''));
    const second = await server.ok('POST', `${path}/download`);
    assert.equal('private_key' in second, false);
    assert.deepEqual([first.key, second.key], ['returned', 'collected']);
    assert.equal((await server.ok('GET', path)).key, 'collected');
    const audit = JSON.stringify(await server.ok('GET', 'audit/events?limit=1000'));
    assert.doesNotMatch(audit, /PRIVATE KEY/);
    assert.match(audit, /acme\.advance_order/);
  });

  test('an address is certified over http-01 (RFC 8738)', async () => {
    const order = await world.server.ok('POST', 'acme/orders', http('127.0.0.1'));
    assert.equal(order.state, 'issued', JSON.stringify(order));
    const { certificate } = await world.server.ok('GET', `acme/certificates/${order.certificate_id}`);
    assert.equal(new X509Certificate(certificate).checkIP('127.0.0.1'), '127.0.0.1');
  });

  test('a CSR brings its own key, and one for other names is refused', async (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'csr-'));
    context.after(() => rmSync(folder, { recursive: true }));
    const words = ['-newkey', 'rsa:2048', '-nodes', '-keyout', join(folder, 'key'), '-out', join(folder, 'csr')];
    execFileSync(
      'openssl',
      [
        'req',
        '-new',
        ...words,
        '-subj',
        '/CN=c.example.com',
        '-addext',
        'subjectAltName=DNS:c.example.com,DNS:d.example.com',
      ],
      { stdio: 'ignore' },
    );
    const csr = readFileSync(join(folder, 'csr'), 'utf8');
    const wrong = await world.server.call('POST', 'acme/orders', { ...http('c.example.com'), csr });
    assert.equal(wrong.status, 400);
    assert.match(wrong.body.detail, /other names/);
    const order = await world.server.ok('POST', 'acme/orders', { ...http('c.example.com', 'D.example.com'), csr });
    assert.equal(order.state, 'issued', JSON.stringify(order));
    const downloaded = await world.server.ok('POST', `acme/certificates/${order.certificate_id}/download`);
    assert.equal('private_key' in downloaded, false);
    assert.equal(downloaded.key, 'elsewhere');
    const key = createPrivateKey(readFileSync(join(folder, 'key')));
    assert.ok(new X509Certificate(downloaded.certificate).checkPrivateKey(key));
  });

  test('a wildcard is proved by TXT records that the order asks the operator for', async () => {
    const { server, pebble } = world;
    const order = await server.ok('POST', 'acme/orders', {
      account: 'pebble',
      identifiers: ['*.w.example.com', 'w.example.com'],
      challenge: 'dns-01',
      wait: 30,
    });
    assert.equal(order.state, 'operator', JSON.stringify(order));
    assert.equal(order.next.waiting_for, 'operator');
    assert.match(order.next.action, /acme\.complete_order/);
    assert.ok(order.next.records.length > 0);
    for (const { type, name, value } of order.next.records) {
      assert.equal(type, 'TXT');
      assert.equal(name, '_acme-challenge.w.example.com');
      await pebble.setTxt(name, value);
    }
    const done = await server.ok('POST', `acme/orders/${order.id}/complete`, { wait: 30 });
    assert.equal(done.state, 'issued', JSON.stringify(done));
    assert.deepEqual(done.next.records, []);
  });

  test('the chain that somebody prefers is taken, by the issuer or by the fingerprint of its root', async () => {
    const { server, pebble } = world;
    const root = new X509Certificate(await pebble.issuingRoot(1));
    const preferred = /CN=(.*)/.exec(root.subject)?.[1];
    const order = await server.ok('POST', 'acme/orders', { ...http('chain.example.com'), preferred_chain: preferred });
    assert.equal(order.state, 'issued', JSON.stringify(order));
    const { chain } = await server.ok('GET', `acme/certificates/${order.certificate_id}`);
    assert.ok(new X509Certificate(chain.at(-1)).checkIssued(root));
    // A root that does not come with the chain is found by its fingerprint where the account knows it.
    const other = new X509Certificate(await pebble.issuingRoot(2));
    const account = accountAt(pebble, { name: 'roots', ca_certificate: pebble.roots + other.toString() });
    await server.ok('POST', 'acme/accounts', account);
    for (const preferred_chain of [other.fingerprint256, other.fingerprint256.replaceAll(':', '').toLowerCase()]) {
      const wanted = { ...http('chain.example.com'), account: 'roots', preferred_chain };
      const byRoot = await server.ok('POST', 'acme/orders', wanted);
      assert.equal(byRoot.state, 'issued', JSON.stringify(byRoot));
      const found = await server.ok('GET', `acme/certificates/${byRoot.certificate_id}`);
      assert.ok(new X509Certificate(found.chain.at(-1)).checkIssued(other));
    }
  });

  test('a name that fails its validation fails the order, with the words of the authority', async () => {
    const { server, pebble } = world;
    await pebble.clearTxt('_acme-challenge.f.example.com');
    const order = await server.ok('POST', 'acme/orders', {
      account: 'pebble',
      identifiers: ['f.example.com'],
      challenge: 'dns-01',
      wait: 30,
    });
    const unseen = await server.ok('POST', `acme/orders/${order.id}/complete`, {});
    assert.equal(unseen.next.waiting_for, 'dns');
    assert.deepEqual(unseen.next.records, order.next.records);
    // Between two looks nobody works on it, and then the authority looks.
    const failed = await until(
      () =>
        server
          .ok('POST', `acme/orders/${order.id}/complete`, { wait: 1 })
          .catch(() => server.ok('GET', `acme/orders/${order.id}`)),
      ({ state }) => state === 'failed',
    );
    assert.match(failed.error, /f\.example\.com is invalid: dns-01: .*\(unauthorized\)/);
    const again = await server.call('POST', `acme/orders/${order.id}/complete`, {});
    assert.equal(again.status, 409);
    assert.match(again.body.hint, /acme\.create_order/);
  });

  test('an order that waits can be cancelled, and what it answered is gone', async () => {
    const { server } = world;
    const order = await server.ok('POST', 'acme/orders', {
      account: 'pebble',
      identifiers: ['x.example.com'],
      challenge: 'dns-01',
      wait: 30,
    });
    const cancelled = await server.ok('POST', `acme/orders/${order.id}/cancel`);
    assert.equal(cancelled.state, 'cancelled');
    assert.equal((await server.ok('GET', `acme/orders/${order.id}`)).state, 'cancelled');
  });

  test('what cannot be proved in the way that is asked for is refused at once', async () => {
    const { server } = world;
    const refuse = async (order: object, status: number, text: RegExp) => {
      const reply = await server.call('POST', 'acme/orders', { account: 'pebble', ...order });
      assert.equal(reply.status, status, JSON.stringify(reply.body));
      assert.match(reply.body.detail, text);
    };
    await refuse({ identifiers: ['*.example.com'], challenge: 'http-01' }, 400, /dns-01 only/);
    await refuse({ identifiers: ['192.0.2.1'], challenge: 'dns-01' }, 400, /not proved by dns-01/);
    await refuse({ identifiers: ['a_b!.example.com'], challenge: 'http-01' }, 400, /neither a DNS name/);
    await refuse({ identifiers: ['a.example.com'], challenge: 'http-01', account: 'nobody' }, 404, /no ACME account/);
    await refuse(
      { identifiers: ['a.example.com'], challenge: 'dns-01', dns_provider: 'nobody' },
      404,
      /no DNS provider nobody/,
    );
  });

  test('twenty orders at once are all issued', async () => {
    const { server } = world;
    const names = Array.from({ length: 20 }, (_, index) => `n${index}.many.example.com`);
    const orders = await Promise.all(names.map((name) => server.ok('POST', 'acme/orders', http(name))));
    assert.deepEqual([...new Set(orders.map(({ state }) => state))], ['issued'], JSON.stringify(orders));
    const listed = await server.ok('GET', 'acme/certificates?name=n7.many.example.com');
    assert.equal(listed.certificates.length, 1);
    const soon = await server.ok('GET', 'acme/certificates?expires_within=30d');
    assert.equal(soon.certificates.length, 0);
  });

  test('a certificate is revoked by the account that ordered it, once', async () => {
    const { server, pebble } = world;
    const order = await server.ok('POST', 'acme/orders', http('r.example.com'));
    const path = `acme/certificates/${order.certificate_id}`;
    const revoked = await server.ok('POST', `${path}/revoke`, { reason: 'superseded' });
    assert.equal(revoked.status, 'revoked');
    assert.equal(revoked.renewal.on, false);
    assert.equal(await pebble.statusOf(revoked.serial_number), 'Revoked');
    assert.equal((await server.ok('POST', `${path}/revoke`, {})).status, 'revoked');
  });

  test('certificates from outside stand in the inventory and in the report of what expires, beside our own', async () => {
    const { server } = world;
    await foundPki(server);
    const own = await server.ok('POST', 'pki/certificates', { role: 'web', dns_names: ['own.example.com'] });
    const ordered = { ...http('beside.example.com'), purpose: 'the inventory' };
    const order = await server.ok('POST', 'acme/orders', ordered);
    const found = await server.ok('GET', 'pki/certificates?name=beside.example.com');
    assert.equal(found.certificates.length, 1);
    const [shown] = found.certificates;
    assert.equal(shown.kind, 'outside');
    assert.equal(shown.outside_id, order.certificate_id);
    assert.equal(shown.authority, 'pebble');
    assert.equal(shown.purpose, 'the inventory');
    assert.deepEqual(shown.names, ['dns:beside.example.com']);
    const pageThrough = async (path: string) => {
      const seen: { serial_number: string; not_after: string; kind: string }[] = [];
      for (let cursor: string | null = ''; cursor !== null; ) {
        const page: { certificates: typeof seen; next_cursor: string | null } = await server.ok(
          'GET',
          `${path}limit=3${cursor === '' ? '' : `&cursor=${cursor}`}`,
        );
        seen.push(...page.certificates);
        cursor = page.next_cursor;
      }
      return seen;
    };
    const outside = (await server.ok('GET', 'acme/certificates?limit=1000')).certificates as object[];
    for (const path of ['pki/certificates?', 'pki/certificates/expiring?within=100d&']) {
      const seen = await pageThrough(path);
      const serials = seen.map((each) => each.serial_number);
      assert.equal(new Set(serials).size, serials.length, path);
      assert.ok(serials.includes(own.serial_number) && serials.includes(shown.serial_number), path);
      if (!path.includes('expiring'))
        assert.equal(seen.filter(({ kind }) => kind === 'outside').length, outside.length);
      else
        assert.deepEqual(
          seen,
          seen.toSorted((a, b) => (a.not_after < b.not_after ? -1 : a.not_after > b.not_after ? 1 : 0)),
        );
    }
    assert.deepEqual((await server.ok('GET', 'pki/certificates?role=web')).certificates.length, 1);
    const only = await server.ok('GET', 'pki/certificates?kind=outside&limit=1000');
    assert.equal(only.certificates.length, outside.length);
    assert.equal((await server.call('POST', `pki/certificates/${shown.serial_number}/revoke`, {})).status, 404);
  });

  test('other namespaces see nothing of it', async () => {
    const { server } = world;
    const [order] = (await server.ok('GET', 'acme/orders?limit=1')).orders;
    const { key } = await server.ok('POST', 'namespaces', { name: 'other' });
    const stranger = server.as(key);
    assert.equal((await stranger.call('GET', `acme/orders/${order.id}`)).status, 404);
    assert.equal((await stranger.call('GET', `acme/certificates/${order.certificate_id}`)).status, 404);
    assert.deepEqual((await stranger.ok('GET', 'acme/accounts')).accounts, []);
    assert.deepEqual((await stranger.ok('GET', 'pki/certificates')).certificates, []);
    assert.deepEqual((await stranger.ok('GET', 'pki/certificates/expiring?within=1y')).certificates, []);
  });
});
