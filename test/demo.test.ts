import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { compileCache } from '#test/compile-cache.ts';

/** The demo as a newcomer runs it. Its own temporary folder shows what it leaves behind. */

const demo = join(import.meta.dirname, '../scripts/demo.ts');

interface Run {
  readonly output: () => string;
  readonly interrupt: (signal: NodeJS.Signals) => void;
  readonly ended: Promise<number | null>;
  readonly temporary: string;
}

function folder(context: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'chancery-test-demo-'));
  context.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

function run(context: TestContext, path = process.env['PATH'] ?? ''): Run {
  const temporary = folder(context);
  // PostgreSQL, which runs as another user where we are root, must be able to go through it.
  chmodSync(temporary, 0o755);
  const child = spawn(process.execPath, [demo], {
    env: { PATH: path, TMPDIR: temporary, ...compileCache },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  context.after(() => child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return { output: () => output, interrupt: (signal) => child.kill(signal), ended, temporary };
}

async function outputOf(context: TestContext, words: RegExp, path?: string): Promise<Run> {
  const started = run(context, path);
  while (!words.test(started.output())) await new Promise((resolve) => setTimeout(resolve, 10));
  return started;
}

test('the demo shows a certificate and a database user from their beginnings to their ends, and leaves nothing behind', async (context) => {
  const { output, ended, temporary } = run(context);
  assert.equal(await ended, 0, output());
  const steps = [
    /✓ .*Made a root/,
    /✓ .*Made an intermediate/,
    /✓ .*Was refused shop\.example\.org[^✓]*Nearest request: shop\.example\.com/,
    /✓ .*Was issued shop\.example\.com/,
    /✓ .*trusts our root alone connected \(TLSv1\.3\)/,
    /✓ .*checks the CRLs of the whole path, root included, connected/,
    /✓ .*does not know our root refused it/,
    /✓ .*OCSP, asked and verified by OpenSSL.*: good/,
    /✓ .*CRLs .* read by OpenSSL.*: good/,
    /✓ .*Validation .*: valid/,
    /✓ .*Revoked it .*key_compromise/,
    /✓ .*OCSP, .*: revoked/,
    /✓ .*CRLs .*: revoked/,
    /✓ .*Validation .*: not valid, revoked/,
    /✓ .*refused it: revoked/,
    /✓ .*CRLs of the whole path refused it: CERT_REVOKED/,
    /✓ .*Started PostgreSQL \d+/,
    /✓ .*gave the administrator to Chancery/,
    /✓ .*Made the role readonly/,
    /✓ .*Was leased chy_\w+_readonly_\w+ until/,
    /✓ .*Logged in as it with pg, and read: Ada, Grace/,
    /✓ .*refused when it tried to write: permission denied .*42501/,
    /✓ .*open session was ended \d+ ms after the lease: admin_shutdown/,
    /✓ .*The user is gone from PostgreSQL, and logging in again is refused/,
    /✓ .*The audit log verifies: \d+ events/,
  ];
  let rest = output();
  for (const step of steps) {
    const found = step.exec(rest);
    assert.ok(found, `${step} is not in what follows:\n${rest}`);
    rest = rest.slice(found.index + found[0].length);
  }
  assert.ok(!output().includes('✗'), output());
  assert.ok(!output().includes('\x1b'), 'there are colours although nobody sees them');
  assert.deepEqual(readdirSync(temporary), []);
});

test('without openssl the demo reads CRLs with @peculiar/x509, and says who read the OCSP answers', async (context) => {
  const { output, ended, temporary } = run(context, folder(context));
  assert.equal(await ended, 0, output());
  assert.match(output(), /CRLs .* read by @peculiar\/x509: revoked/);
  assert.match(output(), /OCSP, asked and verified by Chancery itself \(there is no openssl on PATH\): revoked/);
  assert.deepEqual(readdirSync(temporary), []);
});

test('a wrong outcome ends the demo with one sentence about it, a failure code and nothing left behind', async (context) => {
  const liar = folder(context);
  const openssl =
    '#!/bin/sh\necho "Response verify OK"\nfor word; do [ "$before" = -cert ] && echo "$word: revoked"; before=$word; done\n';
  writeFileSync(join(liar, 'openssl'), openssl);
  chmodSync(join(liar, 'openssl'), 0o755);
  const { output, ended, temporary } = run(context, [liar, process.env['PATH']].join(delimiter));
  assert.equal(await ended, 1, output());
  assert.match(output(), /✗ .*\n\n.*refused: revoked.*\n$/);
  assert.deepEqual(readdirSync(temporary), []);
});

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  test(`${signal} stops the server and removes what the demo made`, async (context) => {
    const { output, interrupt, ended, temporary } = await outputOf(context, /Started Chancery on/);
    const [url = ''] = /http:\S+:\d+/.exec(output()) ?? [];
    interrupt(signal);
    assert.equal(await ended, code, output());
    assert.match(output(), new RegExp(`Interrupted by ${signal}\\.\\n$`));
    assert.deepEqual(readdirSync(temporary), []);
    await assert.rejects(fetch(`${url}/healthz`), 'the server still answers');
  });

test('SIGINT while a database user is leased stops PostgreSQL and the server, and removes what they made', async (context) => {
  const { output, interrupt, ended, temporary } = await outputOf(context, /Was leased/);
  interrupt('SIGINT');
  assert.equal(await ended, 130, output());
  assert.deepEqual(readdirSync(temporary), []);
});
