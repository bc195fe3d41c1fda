import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { acmeWorld, issue, newExternalKey } from './server-world.ts';

test('RFC 8555 §7.4.2: what a root issued itself comes with the root, since clients want two certificates', async (context) => {
  const world = await acmeWorld(context);
  await world.server.ok('POST', 'pki/roles', {
    name: 'flat',
    authority: 'root',
    allowed_domains: ['example.com'],
    allow_subdomains: true,
  });
  const client = await world.client('flat');
  const key = await newExternalKey(world.server, {
    role: 'flat',
    skip_validation: true,
    allowed_identifiers: ['*.example.com'],
  });
  assert.equal((await client.register({}, key)).status, 201);
  const { chain } = await issue(client, ['www.example.com']);
  const blocks = chain.text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const [leaf, root, ...more] = blocks.map((pem) => new X509Certificate(pem));
  assert.equal(more.length, 0);
  assert.ok(leaf && root && leaf.verify(root.publicKey) && root.verify(root.publicKey));
});
