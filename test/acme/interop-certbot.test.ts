import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { interopWorld, type InteropWorld, inventory, readCertificate } from './interop-world.ts';

/** certbot as Debian has it, unchanged. */

async function certbot(world: InteropWorld, ...words: readonly string[]): Promise<string> {
  const folders = ['config', 'work', 'logs'].flatMap((each) => [`--${each}-dir`, join(world.folder, each)]);
  return world.run('certbot', [...words, '--non-interactive', '--server', world.directory, ...folders], {
    REQUESTS_CA_BUNDLE: world.rootFile,
  });
}

async function registration(world: InteropWorld): Promise<string[]> {
  const key = await world.externalKey();
  return ['--agree-tos', '--register-unsafely-without-email', '--eab-kid', key.key_id, '--eab-hmac-key', key.hmac_key];
}

test('certbot: issues over http-01, renews, revokes with a reason, and unregisters', async (context) => {
  const world = await interopWorld(context);
  const standalone = ['--standalone', '--http-01-port', String(world.httpPort), '--http-01-address', '127.0.0.1'];
  const names = ['-d', 'a.interop.test', '-d', 'b.interop.test'];
  await certbot(world, 'certonly', ...standalone, ...names, ...(await registration(world)));
  const file = join(world.folder, 'config/live/a.interop.test/cert.pem');
  const first = readCertificate(file);
  assert.equal(first.subjectAltName, 'DNS:a.interop.test, DNS:b.interop.test');
  assert.equal((await inventory(world, first)).status, 'valid');

  await certbot(world, 'renew', '--force-renewal', '--no-random-sleep-on-renew');
  const second = readCertificate(file);
  assert.notEqual(second.serialNumber, first.serialNumber);
  assert.equal(second.subjectAltName, first.subjectAltName);

  await certbot(world, 'revoke', '--cert-name', 'a.interop.test', '--reason', 'superseded', '--no-delete-after-revoke');
  const revoked = await inventory(world, second);
  assert.deepEqual([revoked.status, revoked.revocation_reason], ['revoked', 'superseded']);
  assert.equal((await inventory(world, first)).status, 'valid');

  await certbot(world, 'unregister');
  const { subscribers } = await world.server.ok('GET', 'acme/subscribers');
  assert.deepEqual(
    subscribers.map(({ status }: { status: string }) => status),
    ['deactivated'],
  );
});

test('certbot: issues a wildcard over dns-01 with hooks, renews it, and revokes it by its own key', async (context) => {
  const world = await interopWorld(context);
  const txt = (path: string, value: string) =>
    `curl -sf -d '{"host":"_acme-challenge.'"$CERTBOT_DOMAIN"'."${value}}' ${world.dnsManagement}/${path}`;
  const hooks = [
    '--manual-auth-hook',
    world.script('present', [txt('set-txt', `,"value":"'"$CERTBOT_VALIDATION"'"`)]),
    '--manual-cleanup-hook',
    world.script('remove', [txt('clear-txt', '')]),
  ];
  const manual = ['--manual', '--preferred-challenges', 'dns', ...hooks];
  const names = ['-d', '*.w.interop.test', '-d', 'w.interop.test'];
  await certbot(world, 'certonly', ...manual, ...names, ...(await registration(world)));
  const live = join(world.folder, 'config/live/w.interop.test');
  const first = readCertificate(join(live, 'cert.pem'));
  assert.equal(first.subjectAltName, 'DNS:*.w.interop.test, DNS:w.interop.test');
  await certbot(world, 'renew', '--force-renewal', '--no-random-sleep-on-renew');
  const second = readCertificate(join(live, 'cert.pem'));
  assert.notEqual(second.serialNumber, first.serialNumber);

  const byKey = ['--cert-path', join(live, 'cert.pem'), '--key-path', join(live, 'privkey.pem')];
  await certbot(world, 'revoke', ...byKey, '--reason', 'keycompromise', '--no-delete-after-revoke');
  const revoked = await inventory(world, second);
  assert.deepEqual([revoked.status, revoked.revocation_reason], ['revoked', 'key_compromise']);
});
