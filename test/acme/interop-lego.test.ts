import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { type InteropWorld, interopWorld, inventory, readCertificate } from './interop-world.ts';

/** lego as Debian has it, unchanged; its external account key is made by our command line. */

type Lego = (before: readonly string[], ...words: readonly string[]) => Promise<string>;

async function lego(world: InteropWorld, env: Readonly<Record<string, string>> = {}): Promise<Lego> {
  const made = await world.run(
    join(import.meta.dirname, '../../bin/chancery'),
    ['acme', 'create-external-account-key', '--role', 'web', '--json'],
    { CHANCERY_URL: world.url, CHANCERY_TOKEN: world.token, CHANCERY_CA_FILE: world.rootFile },
  );
  const key = JSON.parse(made) as { key_id: string; hmac_key: string };
  const account = ['--accept-tos', '--email', 'ops@interop.test', '--eab', '--kid', key.key_id, '--hmac', key.hmac_key];
  return (before, ...words) =>
    world.run(
      'lego',
      ['--server', world.directory, '--path', join(world.folder, 'lego'), ...account, ...before, ...words],
      { LEGO_CA_CERTIFICATES: world.rootFile, ...env },
    );
}

test('lego: issues over http-01, renews with a new key and revokes', async (context) => {
  const world = await interopWorld(context);
  const run = await lego(world);
  const http = [
    '--domains',
    'a.interop.test',
    '--domains',
    'b.interop.test',
    '--http',
    '--http.port',
    `127.0.0.1:${world.httpPort}`,
  ];
  await run(http, 'run');
  const file = join(world.folder, 'lego/certificates/a.interop.test.crt');
  const first = readCertificate(file);
  assert.equal(first.subjectAltName, 'DNS:a.interop.test, DNS:b.interop.test');
  await run(http, 'renew', '--days', '3650', '--no-random-sleep');
  const second = readCertificate(file);
  assert.notEqual(second.serialNumber, first.serialNumber);
  // It takes every name that it is given for a certificate of its own.
  await run(['--domains', 'a.interop.test'], 'revoke', '--reason', '4');
  const revoked = await inventory(world, second);
  assert.deepEqual([revoked.status, revoked.revocation_reason], ['revoked', 'superseded']);
});

test('lego: issues a wildcard and the name beside it over dns-01, renews and revokes', async (context) => {
  const world = await interopWorld(context);
  const hook = world.script('hook', [
    'if [ "$1" = present ]',
    `then curl -sf -d '{"host":"'"$2"'","value":"'"$3"'"}' ${world.dnsManagement}/set-txt`,
    `else curl -sf -d '{"host":"'"$2"'"}' ${world.dnsManagement}/clear-txt`,
    'fi',
  ]);
  const run = await lego(world, {
    EXEC_PATH: hook,
    EXEC_PROPAGATION_TIMEOUT: '5',
    EXEC_POLLING_INTERVAL: '1',
    EXEC_SEQUENCE_INTERVAL: '1',
  });
  const names = ['--domains', '*.w.interop.test', '--domains', 'w.interop.test'];
  const dns = ['--dns', 'exec', '--dns.disable-cp', '--dns.resolvers', world.dns, ...names];
  await run(dns, 'run');
  const file = join(world.folder, 'lego/certificates/_.w.interop.test.crt');
  const first = readCertificate(file);
  assert.equal(first.subjectAltName, 'DNS:*.w.interop.test, DNS:w.interop.test');
  await run(dns, 'renew', '--days', '3650', '--no-random-sleep');
  const second = readCertificate(file);
  assert.notEqual(second.serialNumber, first.serialNumber);
  await run(['--domains', '*.w.interop.test'], 'revoke');
  assert.equal((await inventory(world, second)).status, 'revoked');
});

test('lego: issues over tls-alpn-01', async (context) => {
  const world = await interopWorld(context);
  const run = await lego(world);
  await run(['--domains', 'a.interop.test', '--tls', '--tls.port', `127.0.0.1:${world.tlsPort}`], 'run');
  const certificate = readCertificate(join(world.folder, 'lego/certificates/a.interop.test.crt'));
  assert.equal(certificate.subjectAltName, 'DNS:a.interop.test');
  assert.equal((await inventory(world, certificate)).status, 'valid');
});
