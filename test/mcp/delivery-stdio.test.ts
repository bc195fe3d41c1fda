import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { keyFingerprint } from '#core/secret-view.ts';
import { foundPki } from '#test/chancery.ts';
import type { BackendReply, OfferedOperation, ToolBackend } from '#mcp/backend.ts';
import { createFileDelivery } from '#mcp/file-delivery.ts';
import { makeKeyRequest } from '#chancery/key-request.ts';
import { keyTypes } from '#engines/pki/x509/algorithm.ts';
import { decodeOnePem } from '#engines/pki/x509/pem.ts';
import { decodeRequest } from '#engines/pki/x509/request.ts';
import { withLocalKeys } from '#mcp/local-keys.ts';
import { until } from '../database/fixture.ts';
import { callOk, connectStdio, startServer } from './world.ts';

/** What a model must not see, over stdio: it goes into files, and keys are made where the client is. */

function folder(context: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'chancery-delivery-'));
  context.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const names = { role: 'web', dns_names: ['a.example.com'] };

test('a key is made here, only its request is sent, and the result holds paths', async (context) => {
  const server = await startServer(context);
  await foundPki(server);
  const out = join(folder(context), 'secrets');
  const client = await connectStdio(context, server, { env: { CHANCERY_MCP_OUT: out } });
  const issued = await callOk(client, 'pki_issue_certificate', names);
  assert.equal(issued.private_key, undefined);
  const { method, fields, files, fingerprints } = issued.delivery;
  assert.deepEqual([method, fields], ['file', ['private_key']]);
  assert.equal(statSync(out).mode & 0o777, 0o700);
  for (const path of Object.values<string>(files)) {
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.match(path, new RegExp(`^${out}/[0-9a-f]{12}-[a-z_]+\\.pem$`));
  }
  const key = readFileSync(files.private_key, 'utf8');
  const certificate = new X509Certificate(readFileSync(files.certificate));
  assert.ok(certificate.checkPrivateKey(createPrivateKey(key)));
  assert.deepEqual(fingerprints, { private_key: keyFingerprint(key) });
  // The server never had the key: it was given a request.
  const [event] = (await server.ok('GET', 'audit/events?operation=pki.issue_certificate')).events;
  assert.equal(event.outcome, 'ok');
  const again = await callOk(client, 'pki_issue_certificate', names);
  assert.notEqual(again.delivery.files.private_key, files.private_key);
  assert.equal(client.stderr(), '');
});

test('a role that takes other keys, another format, and a CSR of the caller', async (context) => {
  const server = await startServer(context);
  await foundPki(server, 'ec-p256', { key_types: ['ed25519', 'rsa-2048'] });
  const out = join(folder(context), 'secrets');
  const client = await connectStdio(context, server, { flags: ['--out-dir', out] });
  const typeOf = (issued: { delivery: { files: { private_key: string } } }) =>
    createPrivateKey(readFileSync(issued.delivery.files.private_key)).asymmetricKeyType;
  assert.equal(typeOf(await callOk(client, 'pki_issue_certificate', names)), 'ed25519');
  assert.equal(typeOf(await callOk(client, 'pki_issue_certificate', { ...names, key_type: 'rsa-2048' })), 'rsa');
  const bundle = await callOk(client, 'pki_issue_certificate', { ...names, format: 'bundle' });
  assert.ok(bundle.delivery.fields.includes('bundle'));
  const file = await callOk(client, 'pki_issue_certificate', {
    ...names,
    format: 'pkcs12',
    password: 'a password of mine',
  });
  assert.match(file.delivery.files.pkcs12, /-certificate\.p12$/);
  const words = ['pkcs12', '-in', file.delivery.files.pkcs12, '-noout', '-passin', 'pass:a password of mine'];
  execFileSync('openssl', words, { stdio: 'pipe' });
  const { csr } = (await makeKeyRequest('ed25519')) ?? {};
  const own = await callOk(client, 'pki_issue_certificate', { ...names, csr });
  assert.equal(own.delivery, undefined);
});

test('files are removed with the session when that is asked for', async (context) => {
  const server = await startServer(context);
  await foundPki(server);
  const out = join(folder(context), 'secrets');
  const client = await connectStdio(context, server, { flags: ['--out-dir', out, '--remove-files'] });
  await callOk(client, 'pki_issue_certificate', names);
  assert.equal(readdirSync(out).length, 3);
  await client.close();
  await until('the folder is gone', async () => statSync(out, { throwIfNoEntry: false }) === undefined);
});

test('a folder that others may read, a link and a file are refused', async (context) => {
  const place = folder(context);
  const open = join(place, 'open');
  mkdirSync(open);
  chmodSync(open, 0o755);
  symlinkSync(open, join(place, 'link'));
  await assert.rejects(createFileDelivery(open), /open to other users/);
  await assert.rejects(createFileDelivery(join(place, 'link')), /is not a folder/);
  await assert.rejects(createFileDelivery('/dev/null'), /is not a folder/);
});

const offered: OfferedOperation = {
  id: 'x.make_thing',
  title: '',
  summary: '',
  effect: 'additive',
  idempotent: false,
  openWorld: false,
  sensitive: ['password', '../escape'],
  input: { type: 'object', properties: {}, additionalProperties: false },
  output: { type: 'object', properties: {}, additionalProperties: false },
};

test('nothing that comes from outside names a file, and what cannot be written whole is not left in part', async (context) => {
  const place = join(folder(context), 'secrets');
  const { delivery, removeAll } = await createFileDelivery(place);
  const url = 'postgresql://u:p%40w@h/db';
  const told = await delivery.deliver(offered, { password: '../../etc/passwd', name: 'n', connection_url: url });
  assert.deepEqual(told.output, { name: 'n', connection_url: url });
  assert.equal(told.delivery?.redacted_url, 'postgresql://u:***@h/db');
  assert.equal(told.delivery?.fingerprints, undefined);
  assert.deepEqual(readdirSync(place).length, 1);
  await assert.rejects(delivery.deliver(offered, { password: 'a', '../escape': 'b' }), /is not written/);
  assert.equal(readdirSync(place).length, 1);
  removeAll();
  assert.equal(statSync(place, { throwIfNoEntry: false }), undefined);
});

test('every kind of key that is made here gives a request that the server takes', async () => {
  for (const type of keyTypes.filter((each) => each !== 'rsa-4096')) {
    const made = await makeKeyRequest(type);
    assert.ok(made);
    const request = decodeRequest(decodeOnePem(made.csr, 'CERTIFICATE REQUEST', 65_536));
    assert.deepEqual(request.names, [], type);
  }
  assert.equal(await makeKeyRequest('toString'), undefined);
});

test('a repeat with the same Idempotency-Key sends the same request and has the same key', async () => {
  const sent: unknown[] = [];
  const operation = { ...offered, id: 'pki.issue_certificate' };
  const backend: ToolBackend = {
    operations: [],
    async call(_operation, input): Promise<BackendReply> {
      sent.push(input);
      return { output: { serial_number: '01' }, replayed: sent.length > 1 };
    },
  };
  const local = withLocalKeys(backend, {
    make: makeKeyRequest,
    kept: { find: async () => undefined, keep: async () => undefined, drop: async () => undefined },
    server: 'http://127.0.0.1',
  });
  const context = { signal: new AbortController().signal, idempotencyKey: 'one' };
  const first = await local.call(operation, names, context);
  const second = await local.call(operation, names, context);
  assert.deepEqual(sent[0], sent[1]);
  assert.deepEqual(first.output, second.output);
  const { idempotencyKey: _, ...without } = context;
  const third = await local.call(operation, names, without);
  assert.notDeepEqual(third.output, first.output);
});
