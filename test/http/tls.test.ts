import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type ConnectionOptions, connect } from 'node:tls';
import { fileTls, type TlsMaterial } from '#http/tls.ts';
import { peculiar as x509 } from '../pki/x509-peculiar.ts';
import { startServer } from './harness.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

async function makeMaterial(commonName: string): Promise<TlsMaterial> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${commonName}`,
    keys,
    signingAlgorithm: algorithm,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }])],
  });
  const key = await crypto.subtle.exportKey('pkcs8', keys.privateKey);
  return { cert: certificate.toString('pem'), key: x509.PemConverter.encode(key, 'PRIVATE KEY') };
}

/** Common name of the certificate that the server shows. */
async function shownBy(url: string, options: ConnectionOptions = {}): Promise<string | undefined> {
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(url).port), rejectUnauthorized: false, ...options });
  try {
    await once(socket, 'secureConnect');
    const { CN } = socket.getPeerCertificate().subject;
    return typeof CN === 'string' ? CN : undefined;
  } finally {
    socket.destroy();
  }
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) {
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
}

async function filesFor(context: TestContext, material: TlsMaterial) {
  const folder = await mkdtemp(join(tmpdir(), 'chancery-tls-'));
  context.after(() => rm(folder, { recursive: true }));
  const files = { cert: join(folder, 'server.pem'), key: join(folder, 'server.key') };
  const write = async ({ cert, key }: TlsMaterial): Promise<void> => {
    for (const [path, text] of [
      [files.cert, cert],
      [files.key, key],
    ] as const) {
      await writeFile(`${path}.new`, text);
      await rename(`${path}.new`, path);
    }
  };
  await write(material);
  return { files, write };
}

test('a server with a certificate speaks TLS, and nothing older than TLS 1.2', async (context) => {
  const material = await makeMaterial('first');
  const { url } = await startServer(context, { tls: { load: async () => material } });
  assert.match(url, /^https:/);
  assert.equal(await shownBy(url), 'first');
  assert.equal(await shownBy(url, { maxVersion: 'TLSv1.2' }), 'first');
  const old: ConnectionOptions = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' };
  await assert.rejects(shownBy(url, old), { code: /^(?:ERR_SSL_|ECONNRESET)/ });
});

test('requests over TLS go the same way as others', async (context) => {
  const material = await makeMaterial('first');
  const { url } = await startServer(context, { tls: { load: async () => material } });
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(url).port), rejectUnauthorized: false });
  socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  let answer = '';
  for await (const chunk of socket) answer += String(chunk);
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
});

test('a certificate that is replaced on disk is served without a restart', async (context) => {
  const { files, write } = await filesFor(context, await makeMaterial('first'));
  const { url } = await startServer(context, { tls: fileTls(files, 20) });
  assert.equal(await shownBy(url), 'first');
  await write(await makeMaterial('second'));
  await until(async () => (await shownBy(url)) === 'second');
});

test('a certificate whose key does not fit is logged and not used', async (context) => {
  const { files } = await filesFor(context, await makeMaterial('first'));
  const { url, server, lines } = await startServer(context, { tls: fileTls(files, 20) });
  await writeFile(files.cert, (await makeMaterial('second')).cert);
  await until(async () => lines.some(({ msg }) => msg === 'tls certificate not reloaded; the old one stays'));
  await assert.rejects(server.reloadTls());
  assert.equal(await shownBy(url), 'first');
});

test('a server whose certificate cannot be used does not start', async () => {
  const [first, second] = [await makeMaterial('first'), await makeMaterial('second')];
  const load = async (): Promise<TlsMaterial> => ({ cert: first.cert, key: second.key });
  await assert.rejects(startServer({ after: () => undefined }, { tls: { load } }));
});

test('a provider that renews by itself is asked again when it says so, and reloadTls asks at any time', async (context) => {
  let material = await makeMaterial('first');
  let changed = (): void => undefined;
  const watch = (callback: () => void) => {
    changed = callback;
    return () => undefined;
  };
  const { url, server } = await startServer(context, { tls: { load: async () => material, watch } });
  material = await makeMaterial('second');
  assert.equal(await shownBy(url), 'first');
  changed();
  await until(async () => (await shownBy(url)) === 'second');
  material = await makeMaterial('third');
  await server.reloadTls();
  assert.equal(await shownBy(url), 'third');
});
