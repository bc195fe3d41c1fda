import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { keyTypes } from '#engines/pki/x509/algorithm.ts';
import { createClient, foundPki, startChancery } from '#test/chancery.ts';

function openssl(...args: string[]): string {
  return execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

function verify(leaf: string, root: string, between: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-verify-'));
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const untrusted = between.length > 0 ? ['-untrusted', file('between.pem', between.join(''))] : [];
  return openssl('verify', '-x509_strict', '-CAfile', file('root.pem', root), ...untrusted, file('leaf.pem', leaf));
}

const opensslKnows = keyTypes.filter((type) => !type.startsWith('ml-dsa'));

for (const keyType of opensslKnows) {
  test(`a chain of ${keyType} keys verifies with openssl`, async (context) => {
    const server = await startChancery(context);
    await foundPki(server, keyType);
    const issued = await server.ok('POST', 'pki/certificates', {
      role: 'web',
      dns_names: ['a.example.com'],
      key_type: keyType,
    });
    const root = await server.ok('GET', 'pki/authorities/root');
    assert.match(verify(issued.certificate, root.certificate, [issued.chain[0]]), /OK/);
    assert.equal(issued.chain.at(-1), root.certificate);
  });
}

test('a role of an authority five levels below its root issues', async (context) => {
  const server = await startChancery(context);
  await server.ok('POST', 'pki/authorities', { name: 'level0', kind: 'root', common_name: 'L0' });
  for (let level = 1; level <= 5; level++)
    await server.ok('POST', 'pki/authorities', {
      name: `level${level}`,
      kind: 'intermediate',
      parent: `level${level - 1}`,
      common_name: `L${level}`,
    });
  await server.ok('POST', 'pki/roles', { name: 'deep', authority: 'level5', allowed_domains: ['example.com'] });
  const issued = await server.ok('POST', 'pki/certificates', { role: 'deep', dns_names: ['example.com'] });
  assert.equal(issued.chain.length, 6);
  assert.match(verify(issued.certificate, issued.chain[5], issued.chain.slice(0, 5)), /OK/);
});

test('an authority whose path length is 0 signs no authority', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const reply = await server.call('POST', 'pki/authorities', {
    name: 'below',
    kind: 'intermediate',
    parent: 'issuing',
    common_name: 'Below',
  });
  assert.equal(reply.status, 422);
  assert.equal(reply.body.code, 'refused');
  assert.match(reply.body.detail, /allows no authority below it/);
  assert.equal((await server.call('GET', 'pki/authorities/below')).status, 404);
});

test('an intermediate without parent gives a CSR that an outside authority signs, and imports the certificate', async (context) => {
  const inside = await startChancery(context);
  const outside = await startChancery(context);
  await outside.ok('POST', 'pki/authorities', { name: 'corporate', kind: 'root', common_name: 'Corporate Root' });
  const pending = await inside.ok('POST', 'pki/authorities', {
    name: 'issuing',
    kind: 'intermediate',
    common_name: 'Our Issuing',
  });
  assert.equal(pending.state, 'pending');
  assert.match(openssl('req', '-verify', '-noout', '-in', fileOf(pending.csr)), /^$|verify OK/);
  const signed = await outside.ok('POST', 'pki/authorities/corporate/sign-intermediate', {
    csr: pending.csr,
    max_path_length: 0,
  });
  const imported = await inside.ok('POST', 'pki/authorities/issuing/import', {
    certificate: signed.certificate,
    chain: signed.chain.join(''),
  });
  assert.equal(imported.state, 'active');
  await inside.ok('POST', 'pki/roles', { name: 'web', authority: 'issuing', allowed_domains: ['example.com'] });
  const issued = await inside.ok('POST', 'pki/certificates', { role: 'web', dns_names: ['example.com'] });
  assert.match(verify(issued.certificate, signed.chain[0], [signed.certificate]), /OK/);
});

function fileOf(text: string): string {
  const path = join(mkdtempSync(join(tmpdir(), 'chancery-file-')), 'file.pem');
  writeFileSync(path, text);
  return path;
}

test('a certificate for another key than that of the CSR is refused', async (context) => {
  const server = await startChancery(context);
  const other = await server.ok('POST', 'pki/authorities', { name: 'other', kind: 'root', common_name: 'Other' });
  await server.ok('POST', 'pki/authorities', { name: 'issuing', kind: 'intermediate', common_name: 'Issuing' });
  const reply = await server.call('POST', 'pki/authorities/issuing/import', { certificate: other.certificate });
  assert.equal(reply.status, 422);
  assert.match(reply.body.detail, /a key that authority issuing does not have/);
});

test('an existing authority made by openssl is taken over with its key, and issues', async (context) => {
  const server = await startChancery(context);
  const folder = mkdtempSync(join(tmpdir(), 'chancery-takeover-'));
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'ca.pem')];
  openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-384',
    '-nodes',
    '-keyout',
    key,
    '-out',
    certificate,
    '-days',
    '3650',
    '-subj',
    '/O=Old Company/CN=Old Root',
    '-addext',
    'keyUsage=critical,keyCertSign,cRLSign',
  );
  const read = (path: string) => execFileSync('cat', [path], { encoding: 'utf8' });
  const imported = await server.ok('POST', 'pki/authorities/old/import', {
    certificate: read(certificate),
    private_key: read(key),
  });
  assert.equal(imported.key_type, 'ec-p384');
  assert.equal(imported.kind, 'root');
  await server.ok('POST', 'pki/roles', { name: 'web', authority: 'old', allowed_domains: ['example.com'] });
  const issued = await server.ok('POST', 'pki/certificates', { role: 'web', dns_names: ['example.com'] });
  assert.match(verify(issued.certificate, read(certificate), []), /OK/);
});

test('a rotated root signs with its new key, and what it signs verifies under the old root by the cross-certificate', async (context) => {
  const server = await startChancery(context);
  const old = await server.ok('POST', 'pki/authorities', { name: 'root', kind: 'root', common_name: 'Root' });
  await server.ok('POST', 'pki/roles', { name: 'web', authority: 'root', allowed_domains: ['example.com'] });
  const before = await server.ok('POST', 'pki/certificates', { role: 'web', dns_names: ['example.com'] });
  const rotated = await server.ok('POST', 'pki/authorities/root/rotate', {});
  assert.notEqual(rotated.certificate, old.certificate);
  const shown = await server.ok('GET', 'pki/authorities/root');
  assert.deepEqual(
    shown.issuers.map((issuer: { state: string }) => issuer.state),
    ['retiring', 'active'],
  );
  const after = await server.ok('POST', 'pki/certificates', { role: 'web', dns_names: ['example.com'] });
  assert.match(verify(before.certificate, old.certificate, []), /OK/);
  assert.match(verify(after.certificate, shown.certificate, []), /OK/);
  assert.match(verify(after.certificate, old.certificate, shown.issuers[1].cross_certificates), /OK/);
});

test('a rotated intermediate is signed by its parent again', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const before = await server.ok('GET', 'pki/authorities/issuing');
  const rotated = await server.ok('POST', 'pki/authorities/issuing/rotate', { key_type: 'ec-p384' });
  assert.equal(rotated.key_type, 'ec-p384');
  assert.notEqual(rotated.serial_number, before.serial_number);
  const issued = await server.ok('POST', 'pki/certificates', { role: 'web', dns_names: ['a.example.com'] });
  assert.match(verify(issued.certificate, issued.chain[1], [issued.chain[0]]), /OK/);
});

test('two rotations at once leave one active issuer', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  await Promise.all(Array.from({ length: 4 }, () => server.call('POST', 'pki/authorities/issuing/rotate', {})));
  const shown = await server.ok('GET', 'pki/authorities/issuing');
  assert.equal(shown.issuers.filter((issuer: { state: string }) => issuer.state === 'active').length, 1);
});

test('a retired authority issues no more and says why', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  await server.ok('POST', 'pki/authorities/issuing/retire', {});
  const reply = await server.call('POST', 'pki/certificates', { role: 'web', dns_names: ['a.example.com'] });
  assert.equal(reply.status, 422);
  assert.match(JSON.stringify(reply.body), /authority_state/);
  for (const life of [{}, { ttl: '1d' }, { not_after: new Date(Date.now() + 3_600_000).toISOString() }]) {
    const plan = await server.ok('POST', 'pki/certificates/plan', {
      role: 'web',
      dns_names: ['a.example.com'],
      ...life,
    });
    assert.deepEqual(
      plan.refusals.map(({ rule }: { rule: string }) => rule),
      ['authority_state'],
    );
    assert.match(plan.refusals[0].message, /Authority issuing of role web is not active/);
    assert.doesNotMatch(JSON.stringify(plan), /1970|ttl/);
  }
});

test('an authority of ours is cross-signed by another, and what it signs verifies under both', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const other = await server.ok('POST', 'pki/authorities', { name: 'other', kind: 'root', common_name: 'Other Root' });
  const cross = await server.ok('POST', 'pki/authorities/other/cross-sign', { authority: 'issuing' });
  const issued = await server.ok('POST', 'pki/certificates', { role: 'web', dns_names: ['a.example.com'] });
  assert.match(verify(issued.certificate, other.certificate, [cross.certificate]), /OK/);
  assert.match(verify(issued.certificate, issued.chain[1], [issued.chain[0]]), /OK/);
});

test('name constraints of an authority refuse what lies outside, with the rule, and openssl agrees with what is issued', async (context) => {
  const server = await startChancery(context);
  await server.ok('POST', 'pki/authorities', {
    name: 'root',
    kind: 'root',
    common_name: 'Constrained',
    name_constraints: {
      permitted: { dns_names: ['example.com'], ip_ranges: ['10.0.0.0/8'] },
      excluded: { dns_names: ['secret.example.com'] },
    },
  });
  await server.ok('POST', 'pki/roles', {
    name: 'web',
    authority: 'root',
    allowed_domains: ['example.com', 'example.org'],
    allow_subdomains: true,
    allowed_ip_ranges: ['0.0.0.0/0'],
  });
  const good = await server.ok('POST', 'pki/certificates', {
    role: 'web',
    dns_names: ['a.example.com'],
    ip_addresses: ['10.1.2.3'],
  });
  assert.match(verify(good.certificate, good.chain[0], []), /OK/);
  for (const request of [
    { dns_names: ['a.example.org'] },
    { dns_names: ['x.secret.example.com'] },
    { ip_addresses: ['192.168.0.1'] },
  ]) {
    const reply = await server.call('POST', 'pki/certificates', { role: 'web', ...request });
    assert.equal(reply.status, 422, JSON.stringify(request));
    assert.match(JSON.stringify(reply.body.refusals), /name_constraints/);
  }
});

test('authorities of one namespace are not seen from another', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const made = await server.ok('POST', 'namespaces', { name: 'other' });
  const foreign = createClient(server.url, made.key ?? made.admin_key ?? made.token);
  assert.equal((await foreign.call('GET', 'pki/authorities/root')).status, 404);
  assert.deepEqual((await foreign.ok('GET', 'pki/authorities')).authorities, []);
});
