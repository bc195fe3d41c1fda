import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { TestServer } from './server.ts';
import { startServer, token } from './server.ts';

/** The CLI as a process, in real pipes and in a real shell. */
describe('the program', () => {
  let server: TestServer;
  let folder: string;
  let env: Record<string, string>;
  before(async () => {
    server = await startServer();
    folder = mkdtempSync(join(tmpdir(), 'chancery-cli-'));
    const program = join(import.meta.dirname, 'program.ts');
    writeFileSync(join(folder, 'chancery'), `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`);
    chmodSync(join(folder, 'chancery'), 0o755);
    env = { PATH: `${folder}:${process.env['PATH'] ?? ''}`, CHANCERY_URL: server.url, CHANCERY_TOKEN: token };
  });
  after(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });

  function bash(script: string): Promise<{ stdout: string; stderr: string; exit: number | null }> {
    return new Promise((resolve, reject) => {
      const child = spawn('bash', ['-c', script], { env, stdio: ['ignore', 'pipe', 'pipe'] });
      let stdout = '';
      let stderr = '';
      child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
      child.on('error', reject);
      child.on('close', (exit) => resolve({ stdout, stderr, exit }));
    });
  }

  test('a large answer arrives whole in a pipe', async () => {
    const { stdout } = await bash('chancery pki list-certificates --status revoked --all --json | wc -l');
    assert.equal(stdout.trim(), String(5000 * 6 + 5));
  });

  test('a reader that goes away ends it quietly', async () => {
    const result = await bash('set -o pipefail; chancery pki list-certificates --status revoked --all | head -n 1');
    assert.equal(result.stderr, '');
    assert.match(result.stdout, /^serial_number/);
    assert.equal(result.exit, 0);
  });

  test('an output that takes nothing is said to be that', async () => {
    const result = await bash('chancery --version >/dev/full');
    assert.equal(result.exit, 1);
    assert.equal(result.stderr, 'error: the output could not be written: no space is left\n');
  });

  test('the exit code is that of the failure, and stdout stays empty', async () => {
    const result = await bash('chancery pki issue-certificate --role missing');
    assert.equal(result.exit, 5);
    assert.equal(result.stdout, '');
  });

  test('standard input is read when it is asked for, and only then', async () => {
    const result = await bash('echo piped | chancery test echo --text @-; yes | chancery test echo --text typed');
    assert.equal(result.stdout, 'said  {"text":"piped","enabled":true}\nsaid  {"text":"typed","enabled":true}\n');
  });

  // What readline would hand over: its words are split at = and :, the line is not.
  const readline = `
    complete_line() {
      COMP_LINE="$1" COMP_POINT=\${#1}
      read -ra COMP_WORDS <<<"\${1//=/ = }"
      if [[ $1 == *' ' ]]; then COMP_WORDS+=(''); fi
      COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
      _chancery 2>/dev/null
      echo "\${COMPREPLY[*]}"
    }`;

  test('bash completes areas, commands, choices and names of the server', async () => {
    const { stdout, stderr } = await bash(`
      source <(chancery completion bash)
      ${readline}
      complete_line 'chancery p'
      complete_line 'chancery pki list-'
      complete_line 'chancery pki issue-certificate --key-type=ec'
      complete_line 'chancery pki create-role x --key-types rsa-2048,ed'
      complete_line 'chancery pki issue-certificate --role '
      complete -p chancery
    `);
    assert.equal(stderr, '');
    assert.deepEqual(stdout.trimEnd().split('\n'), [
      'pki',
      'list-roles list-certificates',
      'ec-p256 ec-p384',
      'rsa-2048,ed25519',
      'api web',
      'complete -F _chancery chancery',
    ]);
  });
});
