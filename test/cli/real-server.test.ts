import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { runCli } from '#cli/main.ts';
import { foundPki, type InProcess, startChancery } from '#test/chancery.ts';

/** The command line on the real operations. */

interface Ran {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function chancery({ chancery: { operations }, url, token }: InProcess, ...argv: string[]): Promise<Ran> {
  const said = { stdout: '', stderr: '' };
  const output = (name: keyof typeof said) => ({
    isTTY: false,
    columns: undefined,
    write(text: string | Uint8Array, done: (error?: Error | null) => void) {
      said[name] += String(text);
      done();
      return true;
    },
  });
  const exit = await runCli({
    operations,
    argv,
    env: { NO_COLOR: '1', CHANCERY_URL: url, CHANCERY_TOKEN: token ?? '' },
    stdin: Readable.from([]),
    stdout: output('stdout'),
    stderr: output('stderr'),
    localCommands: {},
    version: '0.0.0',
  });
  return { exit, ...said };
}

function temporaryFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-cli-real-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test('--output-dir also writes fullchain.pem: the certificate and what is above it, without the root', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const folder = temporaryFolder(context);
  const issue = ['pki', 'issue-certificate', '--role', 'web', '--dns-names', 'a.example.com'];
  const { exit, stderr } = await chancery(server, ...issue, '--output-dir', folder);
  assert.equal(exit, 0, stderr);
  assert.deepEqual(readdirSync(folder), ['certificate.pem', 'chain.pem', 'fullchain.pem', 'private_key.pem']);
  const read = (name: string) => readFileSync(join(folder, name), 'utf8');
  const certificates = read('fullchain.pem').match(/-----BEGIN[^]*?END CERTIFICATE-----\n/g) ?? [];
  assert.equal(certificates[0], read('certificate.pem'));
  assert.deepEqual(
    certificates.map((pem) => new X509Certificate(pem).subject ?? ''),
    ['', 'CN=Test Issuing'],
  );
  const alone = join(folder, 'server.pem');
  assert.equal((await chancery(server, ...issue, '--out', `fullchain=${alone}`)).exit, 0);
  assert.equal((readFileSync(alone, 'utf8').match(/BEGIN/g) ?? []).length, 2);
  const authority = await chancery(server, 'pki', 'get-authority', 'issuing', '--output-dir', join(folder, 'ca'));
  assert.equal(authority.exit, 0);
  assert.ok(!readdirSync(join(folder, 'ca')).includes('fullchain.pem'));
});

test('validate-certificate exits 6 when the answer is "not valid", and still prints it', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const folder = temporaryFolder(context);
  await chancery(
    server,
    'pki',
    'issue-certificate',
    '--role',
    'web',
    '--dns-names',
    'a.example.com',
    '--output-dir',
    folder,
  );
  const validate = ['pki', 'validate-certificate', '--certificate', `@${join(folder, 'certificate.pem')}`];
  assert.equal((await chancery(server, ...validate)).exit, 0);
  for (const flags of [['--json'], [], ['--field', 'valid']]) {
    const { exit, stdout, stderr } = await chancery(server, ...validate, '--dns-name', 'b.example.com', ...flags);
    assert.equal(exit, 6);
    assert.equal(stderr, '');
    if (flags[0] === '--json') assert.equal((JSON.parse(stdout) as { valid: boolean }).valid, false);
    assert.match(stdout, /false|not valid/);
  }
  assert.equal((await chancery(server, 'audit', 'verify-log')).exit, 0);
});

test('create-authority with a parent is an intermediate; without parent and kind it is refused before anything is made', async (context) => {
  const server = await startChancery(context);
  const create = (...words: string[]) =>
    chancery(server, 'pki', 'create-authority', ...words, '--common-name', 'X', '--json');
  assert.equal((await create('root', '--kind', 'root')).exit, 0);
  const made = JSON.parse((await create('below', '--parent', 'root')).stdout) as { kind: string; parent: string };
  assert.deepEqual([made.kind, made.parent], ['intermediate', 'root']);
  const vague = await chancery(server, 'pki', 'create-authority', 'what', '--common-name', 'X');
  assert.equal(vague.exit, 6);
  assert.match(vague.stderr, /--kind: is missing without parent; say root, or intermediate/);
  const contrary = await chancery(
    server,
    'pki',
    'create-authority',
    'r',
    '--kind',
    'root',
    '--parent',
    'root',
    '--common-name',
    'X',
  );
  assert.equal(contrary.exit, 6);
  assert.match(contrary.stderr, /--parent: a root signs itself and has no parent/);
  const pending = JSON.parse((await create('out', '--kind', 'intermediate')).stdout) as { state: string };
  assert.equal(pending.state, 'pending');
});
