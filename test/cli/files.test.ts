import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { toCommands } from '#cli/command.ts';
import { reserveFiles } from '#cli/files.ts';
import { present } from '#cli/present.ts';
import { createScreen } from '#cli/screen.ts';
import { run } from './harness.ts';
import { operations } from './operations.ts';
import type { TestServer } from './server.ts';
import { startServer, token } from './server.ts';

const issue = ['pki', 'issue-certificate', '--role', 'web'];

describe('files for keys and certificates', () => {
  let server: TestServer;
  let folder: string;
  let env: Record<string, string>;
  before(async () => {
    server = await startServer();
    env = { CHANCERY_URL: server.url, CHANCERY_TOKEN: token };
  });
  beforeEach(() => {
    if (folder !== undefined) rmSync(folder, { recursive: true });
    folder = mkdtempSync(join(tmpdir(), 'chancery-cli-'));
  });
  after(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });

  test('a symbolic link that lies in the way is not followed', async () => {
    const target = join(folder, 'target');
    symlinkSync(target, join(folder, 'key.pem'));
    const result = await run({ argv: [...issue, '--out', `private_key=${join(folder, 'key.pem')}`], env });
    assert.equal(result.exit, 2);
    assert.deepEqual(readdirSync(folder), ['key.pem']);
  });

  test('--force replaces the link, not what it points to', async () => {
    const target = join(folder, 'target');
    writeFileSync(target, 'precious');
    symlinkSync(target, join(folder, 'key.pem'));
    const result = await run({ argv: [...issue, '--out', `private_key=${join(folder, 'key.pem')}`, '--force'], env });
    assert.equal(result.exit, 0);
    assert.equal(readFileSync(target, 'utf8'), 'precious');
    assert.match(readFileSync(join(folder, 'key.pem'), 'utf8'), /PRIVATE KEY/);
    assert.equal(statSync(join(folder, 'key.pem')).mode & 0o777, 0o600);
  });

  test('--force cannot replace a folder, and leaves nothing behind', async () => {
    const result = await run({ argv: [...issue, '--out', `private_key=${folder}`, '--force'], env });
    assert.equal(result.exit, 2);
    assert.match(result.stderr, /it is a folder; nothing was sent/);
    assert.deepEqual(readdirSync(folder), []);
  });

  test('a folder that cannot be made is refused, below /proc as well, and one in another is made', async () => {
    const result = await run({ argv: [...issue, '--output-dir', '/proc/chancery/web'], env });
    assert.equal(result.exit, 2);
    assert.match(result.stderr, /cannot write \/proc\/chancery\/web\/.*nothing was sent/);
    const made = await run({ argv: [...issue, '--output-dir', join(folder, 'one', 'two')], env });
    assert.equal(made.exit, 0);
    assert.equal(statSync(join(folder, 'one')).mode & 0o777, 0o700);
  });

  test('when one of several files cannot be made, none is', async () => {
    const argv = [
      ...issue,
      '--out',
      `certificate=${join(folder, 'a.pem')}`,
      '--out',
      `private_key=${join(folder, 'no/b')}`,
    ];
    const result = await run({ argv, env });
    assert.equal(result.exit, 2);
    assert.deepEqual(readdirSync(folder), []);
  });

  test('a server that cannot be reached leaves no empty files', async () => {
    const argv = [...issue, '--out', `private_key=${join(folder, 'a.key')}`];
    const result = await run({ argv, env: { ...env, CHANCERY_URL: 'http://127.0.0.1:1' } });
    assert.equal(result.exit, 7);
    assert.deepEqual(readdirSync(folder), []);
  });

  test('a certificate in DER is recognised, and the hint says how to make PEM of it', async () => {
    const path = join(folder, 'request.der');
    writeFileSync(path, Buffer.from('3082ff', 'hex'));
    const result = await run({ argv: [...issue, '--csr', `@${path}`], env });
    assert.equal(result.exit, 2);
    assert.match(result.stderr, /is not UTF-8 text\nhint: it looks like DER; .*: openssl req -inform der\n/);
  });

  test('a file that no request could hold is refused before it is read to the end', async () => {
    const path = join(folder, 'large.pem');
    writeFileSync(path, Buffer.alloc(2_000_000, 'x'));
    const result = await run({ argv: [...issue, '--csr', `@${path}`], env });
    assert.equal(result.exit, 2);
    assert.match(result.stderr, /is larger than 1048576 bytes/);
  });

  test('a key that cannot be written after all is printed, because there is no other copy', async () => {
    const command = toCommands(operations).find(({ verb }) => verb === 'issue-certificate');
    assert.ok(command);
    const reserved = await reserveFiles([{ field: 'private_key', path: join(folder, 'k'), wanted: true }], false);
    await reserved[0]?.handle.close();
    let printed = '';
    const output = {
      write: (text: string | Uint8Array, done: () => void) => {
        printed += String(text);
        done();
        return true;
      },
    };
    const view = { json: false, field: 'serial_number', beside: [], all: false, watch: false };
    const answer = {
      serial_number: '01',
      private_key: '-----BEGIN PRIVATE KEY-----\nMIGHkey\n-----END PRIVATE KEY-----\n',
    };
    await assert.rejects(
      present(createScreen(output, output, {}), command, answer, view, reserved),
      /private_key could not be written .* it is printed instead/,
    );
    assert.match(printed, /MIGHkey/);
  });
});
