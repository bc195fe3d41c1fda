import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';

const source = join(import.meta.dirname, '../../bin/chancery');

/** A package around the real launcher, whose program prints what it was started with. */
describe('bin/chancery', () => {
  let folder: string;
  let root: string;
  let launcher: string;
  /** Folders for PATH: coreutils only, and one that adds an old Node. */
  let plain: string;
  let old: string;
  before(() => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'chancery cli-')));
    root = join(folder, 'a package');
    launcher = join(root, 'bin/chancery');
    for (const part of ['bin', 'src', 'node_modules/.bin']) mkdirSync(join(root, part), { recursive: true });
    copyFileSync(source, launcher);
    chmodSync(launcher, 0o755);
    writeFileSync(
      join(root, 'src/chancery.ts'),
      `const words: readonly string[] = process.argv.slice(2);
console.log(JSON.stringify({ words, node: process.execPath, cache: process.env['NODE_COMPILE_CACHE'] ?? null }));
process.exitCode = words.includes('--fail') ? 4 : 0;
`,
    );
    plain = join(folder, 'plain');
    old = join(folder, 'old');
    for (const path of [plain, old]) {
      mkdirSync(path);
      for (const tool of ['readlink', 'sh'])
        symlinkSync(
          execFileSync('sh', ['-c', `command -v ${tool}`])
            .toString()
            .trim(),
          join(path, tool),
        );
    }
    writeFileSync(join(old, 'node'), '#!/bin/sh\necho v20.20.2\n');
    chmodSync(join(old, 'node'), 0o755);
  });
  after(() => rmSync(folder, { recursive: true }));

  function start(command: string, words: readonly string[], env: Record<string, string>) {
    const result = spawnSync(command, words, { env, encoding: 'utf8' });
    const said =
      result.stdout === ''
        ? undefined
        : (JSON.parse(result.stdout) as { words: string[]; node: string; cache: string | null });
    return { said, exit: result.status, stderr: result.stderr };
  }

  test('uses the Node in PATH when that is new enough, and hands on words and exit code', () => {
    const path = `${dirname(process.execPath)}:${plain}`;
    const { said, exit, stderr } = start(launcher, ['a b', '', '*', '--fail'], { PATH: path });
    assert.deepEqual(said?.words, ['a b', '', '*', '--fail']);
    assert.equal(exit, 4);
    assert.equal(stderr, '');
  });

  test('uses the Node of the package when the one in PATH is old or absent', () => {
    symlinkSync(process.execPath, join(root, 'node_modules/.bin/node'));
    for (const path of [old, plain]) {
      const { said, exit } = start(launcher, [], { PATH: path });
      assert.equal(exit, 0);
      assert.equal(said?.node, process.execPath);
    }
    rmSync(join(root, 'node_modules/.bin/node'));
  });

  test('says what is missing when there is no Node that is new enough', () => {
    const { exit, stderr } = start(launcher, [], { PATH: old });
    assert.equal(exit, 1);
    assert.match(stderr, /^error: chancery needs Node 24\.12 or newer, and finds none\nhint: run npm ci in /);
  });

  test('finds its package through a chain of symbolic links, absolute and relative', () => {
    mkdirSync(join(folder, 'links'));
    symlinkSync(launcher, join(folder, 'links/first'));
    symlinkSync('first', join(folder, 'links/second'));
    symlinkSync('../links/second', join(folder, 'links/third'));
    const path = `${dirname(process.execPath)}:${plain}`;
    assert.equal(start(join(folder, 'links/third'), [], { PATH: path }).exit, 0);
    const found = spawnSync('sh', ['-c', 'cd "$1" && sh third x', 'sh', join(folder, 'links')], {
      env: { PATH: path, CDPATH: '/tmp' },
      encoding: 'utf8',
    });
    assert.match(found.stdout, /"words":\["x"\]/);
  });

  test('keeps compiled code in the cache folder of the user, and nowhere when there is no home', () => {
    const PATH = `${dirname(process.execPath)}:${plain}`;
    const home = join(folder, 'home');
    assert.equal(start(launcher, [], { PATH, HOME: home }).said?.cache, join(home, '.cache/chancery/compiled'));
    assert.equal(
      start(launcher, [], { PATH, HOME: home, XDG_CACHE_HOME: join(home, 'x') }).said?.cache,
      join(home, 'x/chancery/compiled'),
    );
    assert.equal(start(launcher, [], { PATH, NODE_COMPILE_CACHE: join(home, 'mine') }).said?.cache, join(home, 'mine'));
    assert.equal(start(launcher, [], { PATH }).said?.cache, null);
  });
});
