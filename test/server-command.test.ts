import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { type ChildServer, spawnChancery } from '#test/chancery.ts';
import { compileCache } from '#test/compile-cache.ts';

/** `chancery server …`: what an operator does to a server that is stopped, as docs/operations.md tells it. */

const chancery = join(import.meta.dirname, '../src/chancery.ts');

interface Outcome {
  readonly code: number;
  readonly output: string;
}

function command(
  folder: string,
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  const options = { cwd: folder, env: { PATH: process.env['PATH'], ...compileCache, CHANCERY_DATA: folder, ...env } };
  const all = ['--disable-warning=ExperimentalWarning', chancery, 'server', ...words];
  return new Promise((resolve) => {
    const child = execFile(process.execPath, all, options, (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, output: stdout + stderr }),
    );
  });
}

function newFolder(context: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'chancery-test-'));
  context.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

for (const [where, reason] of [
  ['taken', /no folder stands in the way/],
  ['taken/below', /no folder stands in the way/],
  ['/proc/chancery', /the file system takes no folders there/],
] as const)
  test(`a data folder that cannot be made (${where}) is refused with the reason, at once`, async (context) => {
    const folder = newFolder(context);
    writeFileSync(join(folder, 'taken'), '');
    const { code, output } = await command(folder, ['start'], {
      CHANCERY_DATA: where.startsWith('/') ? where : join(folder, where),
    });
    assert.equal(code, 1, output);
    assert.match(output, reason);
    assert.match(output, /^hint: Give a folder/m);
  });

/** A server with something sealed in its store. */
async function serverWithRoot(context: TestContext): Promise<ChildServer> {
  const server = await spawnChancery(context);
  await server.ok('POST', 'pki/authorities', { name: 'root', kind: 'root', common_name: 'Test Root' });
  return server;
}

/** Only a key that opens can do that. */
async function signsWithRoot(server: ChildServer): Promise<void> {
  const made = { name: 'issuing', kind: 'intermediate', parent: 'root', common_name: 'Test Issuing' };
  assert.equal((await server.call('POST', 'pki/authorities', made)).status, 201);
}

test('a backup of a running server, restored elsewhere with its root key, is that server', async (context) => {
  const server = await serverWithRoot(context);
  const { file } = await server.ok('POST', 'system/backups', {});
  await server.ok('POST', 'pki/authorities', { name: 'later', kind: 'root', common_name: 'Made After' });
  await server.stop();
  const elsewhere = newFolder(context);
  const backup = join(server.folder, 'backups', file);
  const restored = await command(elsewhere, ['restore', '--from', backup]);
  assert.deepEqual(restored, {
    code: 0,
    output: `restored ${backup}; start the server with the root key of the backup\n`,
  });
  renameSync(join(server.folder, 'root.key'), join(elsewhere, 'root.key'));
  renameSync(join(server.folder, 'admin.token'), join(elsewhere, 'admin.token'));
  const again = await spawnChancery(context, { folder: elsewhere });
  const { authorities } = await again.ok('GET', 'pki/authorities');
  assert.deepEqual(
    authorities.map(({ name }: { name: string }) => name),
    ['root'],
  );
  await signsWithRoot(again);
});

test('a store that holds something is not restored over', async (context) => {
  const server = await serverWithRoot(context);
  const { file } = await server.ok('POST', 'system/backups', {});
  await server.stop();
  const { code, output } = await command(server.folder, ['restore', '--from', join(server.folder, 'backups', file)]);
  assert.equal(code, 1, output);
  assert.match(output, /^error: .*\n/);
});

test('the audit log of a stopped server is verified, and that of a running one is left alone', async (context) => {
  const server = await serverWithRoot(context);
  const running = await command(server.folder, ['verify-log']);
  assert.equal(running.code, 1, running.output);
  await server.stop();
  const { code, output } = await command(server.folder, ['verify-log']);
  assert.equal(code, 0, output);
  const report = JSON.parse(output);
  assert.deepEqual(report.findings, []);
  assert.match(report.head.hash, /^[0-9a-f]{64}$/);
  assert.deepEqual([report.checkpoints, report.checkpoints_ignored], [1, 0]);
});

/** As somebody with the file of the store would, so that what is left is consistent in itself. */
function cutTail(folder: string): void {
  const database = new DatabaseSync(join(folder, 'chancery.db'));
  database.exec(`DELETE FROM audit_events WHERE seq > 2;
    UPDATE audit_head SET seq = 2, hash = (SELECT hash FROM audit_events WHERE seq = 2)`);
  database.close();
}

test('an audit log whose end was cut off is found by the checkpoints in the data folder, also without the root key', async (context) => {
  const server = await serverWithRoot(context);
  await server.stop();
  cutTail(server.folder);
  const { code, output } = await command(server.folder, ['verify-log']);
  assert.equal(code, 1, output);
  assert.deepEqual(
    JSON.parse(output).findings.map(({ kind }: { kind: string }) => kind),
    ['truncated'],
  );
  rmSync(join(server.folder, 'root.key'));
  const without = await command(server.folder, ['verify-log']);
  assert.equal(without.code, 1, without.output);
  assert.match(without.output, /"truncated"/);
  assert.match(without.output, /warning: the signatures of .*checkpoints\.log were not verified: .*root\.key/);
  assert.ok(!existsSync(join(server.folder, 'root.key')));
});

test('a checkpoint that another key signed says nothing of the log', async (context) => {
  const [server, other] = [await serverWithRoot(context), await serverWithRoot(context)];
  await server.stop();
  await other.stop();
  renameSync(join(other.folder, 'checkpoints.log'), join(server.folder, 'checkpoints.log'));
  const { code, output } = await command(server.folder, ['verify-log']);
  assert.equal(code, 0, output);
  const report = JSON.parse(output);
  assert.deepEqual([report.checkpoints, report.checkpoints_ignored], [0, 1]);
});

test('with a wrong current root key no new one is made', async (context) => {
  const server = await serverWithRoot(context);
  await server.stop();
  const next = join(newFolder(context), 'next.key');
  const env = { CHANCERY_ROOT_KEY: randomBytes(32).toString('base64') };
  const { code, output } = await command(server.folder, ['change-root-key', '--to', next], env);
  assert.equal(code, 1, output);
  assert.match(output, /wrapped by root key/);
  assert.ok(!existsSync(next));
});

test('another root key takes over, the old one opens nothing more, and a running server is left alone', async (context) => {
  const server = await serverWithRoot(context);
  const next = join(newFolder(context), 'next.key');
  assert.equal((await command(server.folder, ['change-root-key', '--to', next])).code, 1);
  assert.ok(!existsSync(next));
  await server.stop();
  const { code, output } = await command(server.folder, ['change-root-key', '--to', next]);
  assert.equal(code, 0, output);
  assert.match(output, /^root key [0-9a-f]{16}: it holds data key 1; start the server with CHANCERY_ROOT_KEY_FILE=/);
  assert.equal(statSync(next).mode & 0o777, 0o600);
  assert.ok(!output.includes(readFileSync(next, 'utf8').trim()), 'the key is shown');
  const old = await command(server.folder, ['start']);
  assert.equal(old.code, 1, old.output);
  assert.match(old.output, /wrapped by root key/);
  const again = await spawnChancery(context, { folder: server.folder, env: { CHANCERY_ROOT_KEY_FILE: next } });
  await signsWithRoot(again);
});

test('a new root key that others may read is refused, and nothing is changed', async (context) => {
  const server = await serverWithRoot(context);
  await server.stop();
  const next = join(newFolder(context), 'next.key');
  renameSync(join(server.folder, 'root.key'), next);
  chmodSync(next, 0o644);
  const env = { CHANCERY_ROOT_KEY: readFileSync(next, 'utf8').trim() };
  const { code, output } = await command(server.folder, ['change-root-key', '--to', next], env);
  assert.equal(code, 1, output);
  assert.match(output, /hint: Run: chmod 600/);
});

test('a command with a missing or an unknown word shows the usage and does nothing', async (context) => {
  const empty = newFolder(context);
  for (const words of [
    ['restore'],
    ['restore', '--to', 'x'],
    ['change-root-key'],
    ['change-root-key', 'x'],
    ['stop'],
  ]) {
    const { code, output } = await command(empty, words);
    assert.equal(code, 2, output);
    assert.match(output, /^usage: chancery server <command>/);
  }
  assert.ok(!existsSync(join(empty, 'chancery.db')));
});
