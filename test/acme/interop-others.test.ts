import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect } from 'node:tls';
import { type InteropWorld, interopWorld, inventory, readCertificate } from './interop-world.ts';

/** Other clients as Debian has them, unchanged: dehydrated (shell), acme-tiny (Python), Caddy (a server that is one). */

/** A web server for a folder of answers, as these clients expect one. */
async function webroot(context: TestContext, world: InteropWorld): Promise<string> {
  const folder = join(world.folder, 'well-known');
  mkdirSync(folder);
  const server = createServer(({ url = '' }, response) => {
    const token = /^\/\.well-known\/acme-challenge\/([\w-]+)$/.exec(url)?.[1] ?? 'none';
    try {
      response.end(readFileSync(join(folder, token)));
    } catch {
      response.writeHead(404).end();
    }
  }).listen(world.httpPort, '127.0.0.1');
  context.after(() => void server.close());
  await once(server, 'listening');
  return folder;
}

test('dehydrated: registers with an external account, issues, renews and revokes over http-01', async (context) => {
  const world = await interopWorld(context);
  const key = await world.externalKey();
  const config = join(world.folder, 'config');
  writeFileSync(
    config,
    [
      `CA=${world.directory}`,
      `BASEDIR=${world.folder}`,
      `WELLKNOWN=${await webroot(context, world)}`,
      `CURL_OPTS="--cacert ${world.rootFile}"`,
      'KEY_ALGO=prime256v1',
      `EAB_KID=${key.key_id}`,
      `EAB_HMAC_KEY=${key.hmac_key}`,
      '',
    ].join('\n'),
  );
  const dehydrated = (...words: string[]) => world.run('dehydrated', [...words, '--config', config]);
  await dehydrated('--register', '--accept-terms');
  await dehydrated('--cron', '--domain', 'a.interop.test b.interop.test');
  const file = join(world.folder, 'certs/a.interop.test/cert.pem');
  const first = readCertificate(file);
  assert.equal(first.subjectAltName, 'DNS:a.interop.test, DNS:b.interop.test');
  await dehydrated('--cron', '--force', '--domain', 'a.interop.test b.interop.test');
  const second = readCertificate(file);
  assert.notEqual(second.serialNumber, first.serialNumber);
  await dehydrated('--revoke', file);
  assert.equal((await inventory(world, second)).status, 'revoked');
});

test('acme-tiny: issues over http-01 at a directory that is open to anybody', async (context) => {
  const world = await interopWorld(context, { external_account_required: false });
  const folder = await webroot(context, world);
  const account = join(world.folder, 'account.key');
  const request = join(world.folder, 'a.csr');
  await world.run('openssl', ['genrsa', '-out', account, '2048']);
  const ecKey = [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    join(world.folder, 'a.key'),
  ];
  const name = ['-subj', '/', '-addext', 'subjectAltName=DNS:a.interop.test'];
  await world.run('openssl', ['req', '-new', ...ecKey, ...name, '-out', request]);
  const words = ['--account-key', account, '--csr', request, '--acme-dir', folder, '--directory-url', world.directory];
  // Its own check would ask port 80 of the name.
  const output = await world.run('acme-tiny', [...words, '--disable-check'], { SSL_CERT_FILE: world.rootFile });
  const pem = output.slice(output.indexOf('-----BEGIN CERTIFICATE-----'));
  const certificate = new X509Certificate(pem);
  assert.equal(certificate.subjectAltName, 'DNS:a.interop.test');
  assert.equal((await inventory(world, certificate)).status, 'valid');
});

test('Caddy: gets certificates by itself over http-01 and tls-alpn-01, and serves them', async (context) => {
  const world = await interopWorld(context);
  // It registers anew for each name that it orders before the first account is saved.
  const key = await world.externalKey({ max_accounts: 2 });
  const issuer = (challenges: object) => ({
    module: 'acme',
    ca: world.directory,
    trusted_roots_pem_files: [world.rootFile],
    external_account: { key_id: key.key_id, mac_key: key.hmac_key },
    challenges: { http: { disabled: true }, 'tls-alpn': { disabled: true }, ...challenges },
  });
  const config = {
    admin: { disabled: true },
    storage: { module: 'file_system', root: join(world.folder, 'caddy') },
    apps: {
      http: {
        http_port: world.httpPort,
        https_port: world.tlsPort,
        servers: { web: { listen: [`127.0.0.1:${world.tlsPort}`], automatic_https: { disable_redirects: true } } },
      },
      tls: {
        certificates: { automate: ['a.interop.test', 'b.interop.test'] },
        automation: {
          policies: [
            { subjects: ['a.interop.test'], issuers: [issuer({ http: {} })] },
            { subjects: ['b.interop.test'], issuers: [issuer({ 'tls-alpn': {} })] },
          ],
        },
      },
    },
  };
  const file = join(world.folder, 'caddy.json');
  writeFileSync(file, JSON.stringify(config));
  const caddy = world.serve('caddy', ['run', '--config', file]);
  for (const name of ['a.interop.test', 'b.interop.test']) {
    const certificate = await servedFor(name, world.tlsPort, caddy);
    assert.equal(certificate.subjectAltName, `DNS:${name}`);
    assert.equal((await inventory(world, certificate)).status, 'valid');
  }
});

/** The certificate that is served for a name, once there is one. */
async function servedFor(name: string, port: number, server: { output(): string }): Promise<X509Certificate> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const socket = connect({ host: '127.0.0.1', port, servername: name, rejectUnauthorized: false });
    const isSecure = await once(socket, 'secureConnect').then(
      () => true,
      () => false,
    );
    const certificate = isSecure ? socket.getPeerX509Certificate() : undefined;
    socket.destroy();
    if (certificate !== undefined) return certificate;
    if (Date.now() > deadline) throw new Error(`no certificate for ${name} after 30 s:\n${server.output()}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
