import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { createServer, type TlsOptions } from 'node:tls';
import { type TestContext, test } from 'node:test';
import { runCli } from '#cli/main.ts';
import { readAddress } from '#cli/live-chain.ts';
import { fromManifest } from '#cli/manifest.ts';
import { foundPki, type InProcess, startChancery } from '#test/chancery.ts';

const operations = fromManifest(readFileSync(join(import.meta.dirname, '../../src/cli/operations.json'), 'utf8'));

function chancery(server: InProcess, ...argv: string[]) {
  return chanceryWith(server, '', ...argv);
}

async function chanceryWith(server: Pick<InProcess, 'url' | 'token'>, input: string, ...argv: string[]) {
  let [stdout, stderr] = ['', ''];
  const output = (add: (text: string) => void) => ({
    write(text: string | Uint8Array, done: () => void) {
      add(String(text));
      done();
      return true;
    },
  });
  const exit = await runCli({
    operations,
    argv,
    env: { CHANCERY_URL: server.url, CHANCERY_TOKEN: server.token },
    stdin: Readable.from([Buffer.from(input)]),
    stdout: output((text) => (stdout += text)),
    stderr: output((text) => (stderr += text)),
    localCommands: {},
    version: 'test',
  });
  return { exit, stdout, stderr };
}

interface Issued {
  readonly certificate: string;
  readonly chain: readonly string[];
  readonly private_key: string;
  readonly serial_number: string;
}

async function world(context: TestContext) {
  const server = await startChancery(context);
  await foundPki(server);
  const folder = mkdtempSync(join(tmpdir(), 'chancery-validate-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const issued = (await server.ok('POST', 'pki/certificates', {
    role: 'web',
    dns_names: ['a.example.com'],
    key_type: 'ec-p256',
  })) as Issued;
  const file = join(folder, 'server.pem');
  writeFileSync(file, issued.certificate);
  return { server, issued, file };
}

async function serve(context: TestContext, options: TlsOptions): Promise<number> {
  const live = createServer(options).listen(0, '127.0.0.1');
  live.on('tlsClientError', () => {});
  context.after(() => live.close());
  await once(live, 'listening');
  return (live.address() as AddressInfo).port;
}

test('a file that is valid is shown as a tree, and the command ends well', async (context) => {
  const { server, file } = await world(context);
  const { exit, stdout, stderr } = await chancery(server, 'pki', 'validate', file, '--dns-name', 'a.example.com');
  assert.deepEqual([exit, stderr], [0, '']);
  const lines = stdout.split('\n');
  assert.equal(lines[0], 'valid by the profile rfc5280');
  assert.match(lines[1] ?? '', /^CN=\S.* {2}trust anchor, \d{4}-/);
  assert.match(lines[2] ?? '', /^└─ CN=.* {2}intermediate, .*revocation good$/);
  assert.match(lines[3] ?? '', /^ {3}└─ .* {2}leaf, .*revocation good$/);
});

test('what is wrong stands under the certificate that has it, with what would help, and the command fails', async (context) => {
  const { server, file, issued } = await world(context);
  await server.ok('POST', `pki/certificates/${issued.serial_number}/revoke`, { reason: 'superseded' });
  const { exit, stdout } = await chancery(server, 'pki', 'validate', file, '--dns-name', 'b.example.com');
  assert.equal(exit, 6);
  assert.match(stdout, /^not valid by the profile rfc5280\n/);
  assert.match(
    stdout,
    /\n {6}✗ name_mismatch: dns:a\.example\.com\n {8}expected .*b\.example\.com \(RFC 9525 §6\)\n {8}\S/,
  );
  assert.match(stdout, /\n {6}✗ revoked: revoked since .* \(superseded\)\n/);
  const json = await chancery(server, 'pki', 'validate', file, '--json');
  assert.deepEqual([json.exit, JSON.parse(json.stdout).valid], [6, false]);
});

test('a live server is asked for its chain, and judged by the name it was reached by', async (context) => {
  const { server, issued } = await world(context);
  const cert = [issued.certificate, ...issued.chain].join('');
  const port = await serve(context, { cert, key: issued.private_key });
  const byAddress = await chancery(server, 'pki', 'validate', `127.0.0.1:${port}`);
  assert.equal(byAddress.exit, 6);
  assert.match(byAddress.stdout, /✗ name_mismatch: .*\n.*127\.0\.0\.1/);
  const byName = await chancery(server, 'pki', 'validate', `https://127.0.0.1:${port}/`, '--dns-name', 'a.example.com');
  assert.deepEqual([byName.exit, byName.stdout.split('\n')[0]], [0, 'valid by the profile rfc5280']);
});

test('the OCSP response that a live server staples counts', async (context) => {
  const { server, issued } = await world(context);
  const outside = await startChancery(context);
  const port = await serve(context, { cert: issued.certificate + issued.chain[0], key: issued.private_key });
  const anchors = join(mkdtempSync(join(tmpdir(), 'chancery-validate-')), 'root.pem');
  context.after(() => rmSync(join(anchors, '..'), { recursive: true, force: true }));
  writeFileSync(anchors, issued.chain[1] ?? '');
  const words = ['--dns-name', 'a.example.com', '--trust-anchors', `@${anchors}`, '--check-revocation', 'hard'];
  const bare = await chancery(outside, 'pki', 'validate', `127.0.0.1:${port}`, ...words);
  assert.match(bare.stdout, /✗ revocation_unknown/);
  // The responder of the installation that issued it gives what a server would staple.
  const der = await stapleOf(server, issued);
  const stapling = createServer({ cert: issued.certificate + issued.chain[0], key: issued.private_key });
  stapling.on('OCSPRequest', (_certificate, _issuer, callback: (error: Error | null, response: Buffer) => void) =>
    callback(null, der),
  );
  stapling.listen(0, '127.0.0.1');
  context.after(() => stapling.close());
  await once(stapling, 'listening');
  const where = `127.0.0.1:${(stapling.address() as AddressInfo).port}`;
  const stapled = await chancery(outside, 'pki', 'validate', where, ...words, '--json');
  assert.equal(JSON.parse(stapled.stdout).path[0].revocation, 'good');
});

async function stapleOf(server: InProcess, issued: Issued): Promise<Buffer> {
  const { decodePem } = await import('#engines/pki/x509/pem.ts');
  const { decodeCertificate } = await import('#engines/pki/x509/certificate.ts');
  const { getExtension } = await import('#engines/pki/x509/extension.ts');
  const { encodeCertId, hashIssuer } = await import('#engines/pki/x509/ocsp-cert-id.ts');
  const { encodeOcspRequest } = await import('#engines/pki/x509/ocsp-request.ts');
  const read = (pem: string | undefined) =>
    decodeCertificate(
      decodePem(pem ?? '', { label: 'CERTIFICATE', maxLength: 100_000, maxBlocks: 1 })[0] ?? Buffer.alloc(0),
    );
  const [leaf, issuer] = [read(issued.certificate), read(issued.chain[0])];
  const access = getExtension(leaf.extensions, 'authority_info_access')?.value ?? [];
  const url = access.flatMap(({ location }) =>
    location.kind === 'uri' && location.value.includes('ocsp') ? [location.value] : [],
  )[0];
  const certId = encodeCertId('sha1', hashIssuer(issuer.subject.der, issuer.spki), issued.serial_number);
  const reply = await fetch(url ?? server.url, {
    method: 'POST',
    headers: { 'content-type': 'application/ocsp-request' },
    body: new Uint8Array(encodeOcspRequest([certId])),
  });
  return Buffer.from(await reply.arrayBuffer());
}

test('standard input is read as a file is, with text around the certificates', async (context) => {
  const { server, issued } = await world(context);
  const input = `subject=leaf\n${issued.certificate}${issued.chain.map((pem) => `issuer\n${pem}`).join('')}`;
  const { exit, stdout } = await chanceryWith(server, input, 'pki', 'validate', '-', '--dns-name', 'a.example.com');
  assert.deepEqual([exit, stdout.split('\n')[0]], [0, 'valid by the profile rfc5280']);
});

test('a private key that stands beside the certificate never leaves the machine', async (context) => {
  const { server, issued, file } = await world(context);
  const bodies: string[] = [];
  const eavesdropper = createHttpServer((request, response) => {
    request.on('data', (chunk: Buffer) => bodies.push(chunk.toString()));
    request.on('end', () => response.writeHead(500).end());
  }).listen(0, '127.0.0.1');
  context.after(() => eavesdropper.close());
  await once(eavesdropper, 'listening');
  const url = `http://127.0.0.1:${(eavesdropper.address() as AddressInfo).port}`;
  const combined = `${issued.private_key.trimEnd()}\r\n${issued.certificate}${issued.private_key}`;
  await chanceryWith({ url, token: server.token }, combined, 'pki', 'validate', '-');
  assert.ok(bodies.join('').includes('BEGIN CERTIFICATE'));
  for (const line of issued.private_key.trim().split('\n')) assert.ok(!bodies.join('').includes(line));
  writeFileSync(file, combined);
  assert.equal((await chancery(server, 'pki', 'validate', file, '--dns-name', 'a.example.com')).exit, 0);
});

test('what cannot be reached, and what does not speak TLS, is said in one line', async (context) => {
  const { server } = await world(context);
  const closed = createTcpServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  const refused = await chancery(server, 'pki', 'validate', `127.0.0.1:${port}`);
  assert.deepEqual([refused.exit, refused.stdout], [7, '']);
  assert.match(refused.stderr, /cannot be asked for its certificate: ECONNREFUSED/);
  const rude = createTcpServer((socket) => socket.end('220 smtp.example\r\n')).listen(0, '127.0.0.1');
  context.after(() => rude.close());
  await once(rude, 'listening');
  const other = await chancery(server, 'pki', 'validate', `127.0.0.1:${(rude.address() as AddressInfo).port}`);
  assert.equal(other.exit, 7);
  const missing = await chancery(server, 'pki', 'validate', '/nonexistent.pem');
  assert.deepEqual([missing.exit, missing.stdout], [2, '']);
});

test('an address is told from the name of a file', () => {
  const words = [
    'a.example:443',
    'https://a.example:8443/',
    '[::1]:443',
    '10.0.0.1:1',
    'server.pem',
    './a:b',
    'a:0',
    'a:99999',
  ];
  assert.deepEqual(
    words.map((word) => {
      const found = readAddress(word);
      return found && `${found.host} ${found.port}`;
    }),
    ['a.example 443', 'a.example 8443', '::1 443', '10.0.0.1 1', undefined, undefined, undefined, undefined],
  );
});
