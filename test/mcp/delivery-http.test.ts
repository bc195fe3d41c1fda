import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { keyFingerprint } from '#core/secret-view.ts';
import { foundPki, type InProcess } from '#test/chancery.ts';
import { compileCache } from '#test/compile-cache.ts';
import { postgresWorld } from '#test/postgres-target.ts';
import { foundDatabase } from '../database/fixture.ts';
import { callOk, connectHttp, startServer } from './world.ts';

/** What a model must not see, over HTTP: it waits on the server, and `chancery claim` fetches it. */

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function chancery(server: InProcess, words: readonly string[], input = ''): Promise<Ended> {
  const child = spawn(join(import.meta.dirname, '../../bin/chancery'), words, {
    env: {
      PATH: process.env['PATH'],
      ...compileCache,
      CHANCERY_URL: server.url,
      CHANCERY_TOKEN: server.token,
      CHANCERY_DATA: '/nowhere',
    },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number];
  return { code, out, err };
}

function folder(context: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'chancery-claim-test-'));
  context.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function withPki(context: TestContext) {
  const server = await startServer(context, { CHANCERY_LOG_LEVEL: 'silent' });
  await foundPki(server);
  const client = await connectHttp(context, server);
  const issue = () => callOk(client, 'pki_issue_certificate', { role: 'web', dns_names: ['a.example.com'] });
  return { server, client, issue };
}

test('a key waits on the server, the result holds its handle, and the command writes it once', async (context) => {
  const { server, issue } = await withPki(context);
  const issued = await issue();
  assert.equal(issued.private_key, undefined);
  const { delivery } = issued;
  assert.deepEqual([delivery.method, delivery.fields], ['claim', ['private_key']]);
  assert.ok(!delivery.next.includes(delivery.claim), 'the handle stands in one place');
  assert.match(delivery.next, /chancery claim - --out FILE/);
  const path = join(folder(context), 'web.key');
  const claimed = await chancery(server, ['claim', '-', '--out', path], delivery.claim);
  assert.deepEqual([claimed.code, claimed.err], [0, '']);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const key = readFileSync(path, 'utf8');
  const fingerprint = keyFingerprint(key);
  assert.equal(claimed.out, `private_key  ${path}  ${fingerprint}\n`);
  assert.deepEqual(delivery.fingerprints, { private_key: fingerprint });
  assert.ok(!claimed.out.includes('BEGIN'));
  const again = await chancery(server, ['claim', delivery.claim, '--out', `${path}.2`]);
  assert.notEqual(again.code, 0);
  assert.match(again.err, /claimed at .* already/);
  assert.throws(() => statSync(`${path}.2`));
  assert.equal((await server.ok('GET', 'claims?alarmed=true')).claims.length, 1);
});

test('what could not be written is not fetched: a file that exists, a link, a full folder, a wrong handle', async (context) => {
  const { server, issue } = await withPki(context);
  const { claim } = (await issue()).delivery;
  const place = folder(context);
  writeFileSync(join(place, 'there'), 'mine');
  symlinkSync(join(place, 'elsewhere'), join(place, 'link'));
  for (const words of [
    ['--out', join(place, 'there')],
    ['--out', join(place, 'link')],
    ['--out', join(place, 'no', 'folder')],
    ['--output-dir', place],
    ['--output-dir', join(place, 'there')],
    [],
    ['--show', '--out', join(place, 'new')],
  ])
    assert.equal((await chancery(server, ['claim', claim, ...words])).code, 2, words.join(' '));
  assert.equal((await chancery(server, ['claim', 'chc_wrong', '--show'])).code, 2);
  assert.equal(readFileSync(join(place, 'there'), 'utf8'), 'mine');
  const shown = await chancery(server, ['claim', '-', '--show'], `${claim}\n`);
  assert.match(JSON.parse(shown.out).private_key, /BEGIN PRIVATE KEY/);
});

test('everything goes into a new folder of its own, or into files that a command is given', async (context) => {
  const { server, issue } = await withPki(context);
  const place = join(folder(context), 'web');
  const first = (await issue()).delivery.claim;
  assert.equal((await chancery(server, ['claim', first, '--output-dir', place])).code, 0);
  const certificate = new X509Certificate(readFileSync(join(place, 'certificate.pem')));
  assert.ok(certificate.subjectAltName?.includes('a.example.com'));
  assert.equal(statSync(place).mode & 0o777, 0o700);
  assert.equal(statSync(join(place, 'private_key.pem')).mode & 0o777, 0o600);
  const second = (await issue()).delivery.claim;
  const script =
    'cat "$CHANCERY_KEY_FILE" "$CHANCERY_CHAIN_FILE"; echo "$CHANCERY_KEY_FILE"; echo "[$CHANCERY_TOKEN]"; exit 7';
  const ran = await chancery(server, ['claim', second, '--', 'sh', '-c', script]);
  assert.equal(ran.code, 7);
  assert.match(ran.out, /BEGIN PRIVATE KEY[\s\S]+BEGIN CERTIFICATE/);
  assert.match(ran.out, /\[\]\n$/);
  const file = /^\/.*private_key\.pem$/m.exec(ran.out)?.[0] ?? '';
  assert.throws(() => statSync(file));
});

test('a field that is not there is told, and nothing is lost', async (context) => {
  const { server, issue } = await withPki(context);
  const path = join(folder(context), 'answer');
  const { claim } = (await issue()).delivery;
  const claimed = await chancery(server, ['claim', claim, '--field', 'password', '--out', path]);
  assert.match(claimed.err, /no field password/);
  assert.match(JSON.parse(readFileSync(path, 'utf8')).private_key, /BEGIN PRIVATE KEY/);
});

test('a database user that an agent leased is used by a command, and its password is in no result', async (context) => {
  const world = await postgresWorld();
  context.after(() => world.stop());
  const server = await startServer(context);
  await foundDatabase(server, world);
  const client = await connectHttp(context, server);
  const leased = await callOk(client, 'database_issue_credentials', { role: 'readonly' });
  assert.deepEqual(leased.delivery.fields, ['password', 'connection_url']);
  assert.match(leased.delivery.redacted_url, /^postgresql:\/\/chy_[a-z0-9_]+:\*\*\*@/);
  const script = 'echo "$PGUSER $PGDATABASE $CHANCERY_LEASE_ID ${#PGPASSWORD}"; echo "$DATABASE_URL"';
  const ran = await chancery(server, ['claim', leased.delivery.claim, '--', 'sh', '-c', script]);
  const [facts = '', url = ''] = ran.out.split('\n');
  assert.equal(facts, `${leased.username} app ${leased.lease_id} 32`);
  const password = decodeURIComponent(new URL(url).password);
  const session = await world.logIn({ username: leased.username }, password);
  await session.close();
  assert.ok(!JSON.stringify(leased).includes(password));
  const answer = await callOk(client, 'database_run_query', { role: 'readonly', sql: 'SELECT note FROM notes' });
  assert.deepEqual(answer.rows, [['first']]);
});

test('a narrowed token that is asked for by MCP is claimed by the principal and works', async (context) => {
  const { server } = await withPki(context);
  const client = await connectHttp(context, server, { path: '/mcp/x/all' });
  const made = await callOk(client, 'auth_create_token', {
    operations: ['pki.list_roles'],
    resources: ['**'],
    ttl: '1h',
  });
  assert.deepEqual(made.delivery.fields, ['token']);
  const ran = await chancery(server, ['claim', made.delivery.claim, '--', 'sh', '-c', 'printf %s "$CHANCERY_TOKEN"']);
  assert.match(ran.out, /^chy_/);
  assert.equal((await server.as(ran.out).call('GET', 'pki/roles')).status, 200);
  assert.equal((await server.as(ran.out).call('GET', 'pki/authorities')).status, 403);
});

test('with CHANCERY_MCP_REVEAL the secret is in the result, and no claim is made', async (context) => {
  const server = await startServer(context, { CHANCERY_MCP_REVEAL: 'true' });
  await foundPki(server);
  const client = await connectHttp(context, server);
  const issued = await callOk(client, 'pki_issue_certificate', { role: 'web', dns_names: ['a.example.com'] });
  assert.match(issued.private_key, /BEGIN PRIVATE KEY/);
  assert.deepEqual((await server.ok('GET', 'claims')).claims, []);
});
