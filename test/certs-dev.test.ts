import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { createServer, get } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, after, test } from 'node:test';
import { promisify } from 'node:util';

/** The development certificates, made as `npm run certs-dev` makes them. */

const run = promisify(execFile);
const make = join(import.meta.dirname, '../certs-dev/make.ts');
const folder = mkdtempSync(join(tmpdir(), 'chancery-test-certs-'));
const file = (name: string) => join(folder, name);
const read = (name: string) => readFileSync(file(name), 'utf8');
let said = '';

async function makeCertificates(): Promise<string> {
  const { stdout } = await run(process.execPath, ['--disable-warning=ExperimentalWarning', make, folder]);
  return stdout;
}

before(async () => {
  said = await makeCertificates();
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('the certificates verify by openssl for every name, and the key is for its owner alone', async () => {
  assert.match(said, /^Made a certificate for localhost, 127\.0\.0\.1, ::1, until \d{4}-\d\d-\d\d\./);
  const trust = ['-CAfile', file('root.pem'), '-untrusted', file('localhost.pem')];
  for (const name of [
    ['-verify_hostname', 'localhost'],
    ['-verify_ip', '127.0.0.1'],
    ['-verify_ip', '::1'],
  ]) {
    const words = ['verify', '-x509_strict', '-purpose', 'sslserver', ...name, ...trust, file('localhost.pem')];
    const { stdout } = await run('openssl', words);
    assert.equal(stdout, `${file('localhost.pem')}: OK\n`);
  }
  assert.equal(statSync(file('localhost.key')).mode & 0o777, 0o600);
  const { stdout } = await run('openssl', ['x509', '-in', file('localhost.pem'), '-noout', '-text']);
  assert.doesNotMatch(stdout, /CRL Distribution|OCSP/, 'it points to a server that does not run');
});

test('node serves with them, and a client that trusts the root connects by name and by address', async () => {
  const server = createServer({ cert: read('localhost.pem'), key: read('localhost.key') }, (_, reply) =>
    reply.end('ok'),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  try {
    for (const host of ['localhost', '127.0.0.1']) {
      const request = get(`https://${host}:${port}/`, { ca: read('root.pem'), family: 4, agent: false });
      const [reply] = (await once(request, 'response')) as [IncomingMessage];
      assert.equal((await reply.setEncoding('utf8').toArray()).join(''), 'ok');
    }
    const stranger = get(`https://localhost:${port}/`, { family: 4, agent: false });
    await assert.rejects(once(stranger, 'response'), { code: 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY' });
  } finally {
    server.close();
  }
});

test('a second run leaves a good certificate alone, and a damaged one is made anew below the same root', async () => {
  const first = { root: read('root.pem'), certificate: read('localhost.pem') };
  assert.match(await makeCertificates(), /^There is a good certificate for localhost/);
  assert.equal(read('localhost.pem'), first.certificate);
  writeFileSync(file('localhost.key'), 'damaged');
  assert.match(await makeCertificates(), /^Made a certificate/);
  assert.equal(read('root.pem'), first.root);
  assert.notEqual(read('localhost.pem'), first.certificate);
  assert.match(read('localhost.key'), /^-----BEGIN PRIVATE KEY-----\n/);
});
