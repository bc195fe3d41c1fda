import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import test from 'node:test';
import { createSecureContext } from 'node:tls';
import * as fc from 'fast-check';
import { encodePkcs12, type Pkcs12Contents } from '#pki/x509/pkcs12.ts';
import { encodePkcs7Bundle } from '#pki/x509/pkcs7.ts';
import { makeSigner, run, withFiles } from './revocation-fixture.ts';

const root = await makeSigner({ commonName: 'Root CA' });
const leaf = await makeSigner({ commonName: 'leaf.example', serialNumber: '0e01', issuer: root });
const contents: Pkcs12Contents = {
  privateKeyPkcs8: leaf.key.pkcs8,
  certificate: leaf.certificate,
  chain: [root.certificate],
  friendlyName: 'leaf.example',
  password: 'correct horse "battery" staple',
};
const file = await encodePkcs12(contents);

test('OpenSSL opens the file: key, certificate and chain under PBES2 with 100,000 iterations', async () => {
  await withFiles({ 'a.p12': file }, async (path) => {
    const password = `pass:${contents.password}`;
    const text = await run('openssl', ['pkcs12', '-in', path('a.p12'), '-info', '-nodes', '-passin', password]);
    assert.match(text, /MAC: sha256, Iteration 100000/);
    assert.match(text, /Shrouded Keybag: PBES2, PBKDF2, AES-256-CBC, Iteration 100000, PRF hmacWithSHA256/);
    assert.match(text, /PKCS7 Encrypted data: PBES2, PBKDF2, AES-256-CBC, Iteration 100000, PRF hmacWithSHA256/);
    assert.equal(text.match(/friendlyName: leaf\.example/g)?.length, 2);
    const certificates = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
    assert.deepEqual(
      certificates.map((pem) => new X509Certificate(pem).raw),
      [leaf.certificate, root.certificate],
    );
    const [key] = text.match(/-----BEGIN PRIVATE KEY-----[^-]*-----END PRIVATE KEY-----/) ?? [];
    assert.ok(new X509Certificate(leaf.certificate).checkPrivateKey(createPrivateKey(key ?? '')));
    await assert.rejects(
      run('openssl', ['pkcs12', '-in', path('a.p12'), '-nodes', '-passin', 'pass:wrong']),
      /Mac verify error: invalid password\?/,
    );
  });
});

test('Java finds the key with its chain, and signs with it', async () => {
  await withFiles({ 'a.p12': file }, async (path) => {
    const store = ['-storetype', 'PKCS12', '-keystore', path('a.p12'), '-storepass', contents.password];
    const text = await run('keytool', ['-list', '-v', ...store]);
    assert.match(text, /contains 1 entry/);
    assert.match(text, /Alias name: leaf\.example\n/);
    assert.match(text, /Entry type: PrivateKeyEntry/);
    assert.match(text, /Certificate chain length: 2/);
    await run('keytool', ['-certreq', '-alias', 'leaf.example', '-file', path('a.csr'), ...store]);
    assert.match(await run('openssl', ['req', '-in', path('a.csr'), '-verify', '-noout']), /verify OK/);
  });
});

test('NSS imports the file into a database: the key, the certificate under its name, and the chain', async () => {
  await withFiles({ 'a.p12': file }, async (path) => {
    const database = ['-d', `sql:${path('nss')}`];
    await mkdir(path('nss'));
    await run('certutil', ['-N', ...database, '--empty-password']);
    await run('pk12util', ['-i', path('a.p12'), ...database, '-W', contents.password]);
    assert.match(await run('certutil', ['-K', ...database]), /ec\s+[0-9a-f]{40}\s+leaf\.example/);
    const list = await run('certutil', ['-L', ...database]);
    assert.match(list, /leaf\.example\s+u,u,u/);
    assert.match(list, /Root CA\s/);
  });
});

test('keys of every type that OpenSSL 3.0 knows can be carried', async () => {
  for (const keyType of ['ec-p384', 'ec-p521', 'ed25519', 'rsa-2048'] as const) {
    const signer = await makeSigner({ commonName: keyType, keyType });
    const { pkcs8 } = signer.key;
    const der = await encodePkcs12({
      ...contents,
      privateKeyPkcs8: pkcs8,
      certificate: signer.certificate,
      chain: [],
      iterations: 1000,
    });
    await withFiles({ 'a.p12': der }, async (path) => {
      const password = `pass:${contents.password}`;
      const text = await run('openssl', ['pkcs12', '-in', path('a.p12'), '-nodes', '-passin', password]);
      const key = createPrivateKey(text.slice(text.indexOf('-----BEGIN PRIVATE KEY')));
      assert.deepEqual(key.export({ type: 'pkcs8', format: 'der' }), pkcs8, keyType);
    });
  }
});

test('the file opens with its password and no other, whatever the password, the name and the iterations', async () => {
  const printable = fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 200 });
  const property = fc.asyncProperty(
    printable,
    fc.string({ unit: fc.integer({ min: 0x20, max: 0xd7ff }).map((code) => String.fromCharCode(code)), minLength: 1 }),
    fc.integer({ min: 1, max: 3000 }),
    async (password, friendlyName, iterations) => {
      const pfx = await encodePkcs12({ ...contents, password, friendlyName, iterations });
      createSecureContext({ pfx, passphrase: password });
      assert.throws(() => createSecureContext({ pfx, passphrase: `${password}x` }), /mac verify failure/);
    },
  );
  await fc.assert(property, { numRuns: 40 });
});

test('a name outside ASCII is stored as what it is', async () => {
  const der = await encodePkcs12({ ...contents, friendlyName: 'Zürich', iterations: 1 });
  assert.ok(der.includes(Buffer.from('Zürich', 'utf16le').swap16()));
});

test('passwords and names that some reader could not take are refused', async () => {
  for (const password of ['', 'pässword', 'tab\there', 'nul\0', '\u007f', 'x'.repeat(1025)])
    await assert.rejects(encodePkcs12({ ...contents, password }), { name: 'RangeError', message: /password/ });
  for (const friendlyName of ['', '🔑', '\ud800', 'x'.repeat(256)])
    await assert.rejects(encodePkcs12({ ...contents, friendlyName }), { name: 'RangeError', message: /friendly name/ });
});

test('two files of the same contents share no salt and no initialization vector, and show nothing of the contents', async () => {
  const make = () => encodePkcs12({ ...contents, iterations: 1 });
  const files = [await make(), await make()];
  // OCTET STRINGs of 16 octets: two salts, two vectors, and the salt of the MAC.
  const random = files.map((der) => der.toString('hex').match(/0410[0-9a-f]{32}/g) ?? []);
  assert.ok(random.every((values) => values.length >= 5));
  assert.equal(new Set(random.flat()).size, random.flat().length);
  for (const der of files)
    for (const secret of [leaf.key.pkcs8, leaf.certificate, root.certificate])
      assert.ok(!der.includes(secret.subarray(-32)));
});

test('the event loop turns while the MAC key of 100,000 iterations is derived', async () => {
  let turns = 0;
  let done = false;
  const count = () => {
    turns += 1;
    if (!done) setImmediate(count);
  };
  setImmediate(count);
  await encodePkcs12(contents);
  done = true;
  assert.ok(turns >= 99, `${turns} turns`);
});

test('OpenSSL and Java read a PKCS#7 bundle and find every certificate in it', async () => {
  const bundle = encodePkcs7Bundle([leaf.certificate, root.certificate]);
  await withFiles({ 'a.p7b': bundle }, async (path) => {
    const text = await run('openssl', ['pkcs7', '-inform', 'DER', '-in', path('a.p7b'), '-print_certs']);
    const certificates = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
    const found = certificates.map((pem) => new X509Certificate(pem).raw.toString('hex'));
    assert.deepEqual(found.toSorted(), [leaf, root].map(({ certificate }) => certificate.toString('hex')).toSorted());
    const java = await run('keytool', ['-printcert', '-file', path('a.p7b')]);
    assert.match(java, /Owner: CN=leaf\.example\n/);
    assert.match(java, /Owner: CN=Root CA\n/);
  });
});

test('a PKCS#7 bundle is the same in whatever order the certificates are given', () => {
  const bundle = encodePkcs7Bundle([leaf.certificate, root.certificate]);
  assert.deepEqual(encodePkcs7Bundle([root.certificate, leaf.certificate]), bundle);
});
