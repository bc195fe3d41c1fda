import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '#chancery/config.ts';
import { startNotices } from '#chancery/notices.ts';
import { renderLogLine } from '#chancery/server-log.ts';
import { compileCache } from '#test/compile-cache.ts';
import { freePort } from '#test/free-port.ts';

const known = { version: '1.0.0', url: 'http://127.0.0.1:8420', cwd: '/srv', tokenFile: undefined, rootKeyMade: false };
const first = { ...known, tokenFile: '/srv/.chancery/admin.token', rootKeyMade: true };

test('the first start says what listens where, what was made and what to type next', () => {
  assert.deepEqual(startNotices(loadConfig({}, '/srv'), first), [
    'Chancery 1.0.0 listens on http://127.0.0.1:8420; the API reference is at http://127.0.0.1:8420/docs.',
    'A root key was made in /srv/.chancery/root.key. Keep a copy elsewhere: without it nothing sealed can be opened.',
    'In production give a root key from outside (docs/operations.md, "Root key").',
    "The administrator's token is in /srv/.chancery/admin.token (mode 0600).",
    'Next: chancery pki create-authority root --kind root --common-name "My Root"',
  ]);
  assert.equal(startNotices(loadConfig({}, '/srv'), known).length, 1, 'later starts say where it listens');
});

test('every address is told, and the next command reaches a server that is not where it is looked for', () => {
  const env = {
    CHANCERY_LISTEN: '[::]:443',
    CHANCERY_PUBLIC_URL: 'https://ca.example.com',
    CHANCERY_TLS: 'self',
    CHANCERY_DATA: '/var/lib/chancery',
    CHANCERY_PUBLIC_LISTEN: '0.0.0.0:80',
    CHANCERY_ADMIN_LISTEN: '[::1]:8421',
  };
  const said = startNotices(loadConfig(env, '/srv'), { ...first, url: 'https://[::1]:443' });
  assert.deepEqual(said.slice(0, 4), [
    'Chancery 1.0.0 listens on https://[::]:443; the API reference is at https://[::1]:443/docs.',
    'CRLs and OCSP are also served on http://0.0.0.0:80; certificates name http://ca.example.com.',
    'Metrics and health are on https://[::1]:8421, without a token.',
    'Clients trust this server by /var/lib/chancery/tls-root.pem (CHANCERY_CA_FILE).',
  ]);
  assert.match(
    said.at(-1) ?? '',
    /^Next: CHANCERY_URL=https:\/\/\[::1\]:443 CHANCERY_DATA=\/var\/lib\/chancery CHANCERY_CA_FILE=\/var\/lib\/chancery\/tls-root.pem chancery pki /,
  );
});

test('the log at a terminal is a line of text, which moves no cursor', () => {
  const line = (facts: object) => renderLogLine(JSON.stringify({ level: 40, time: 0, ...facts }));
  assert.equal(
    line({ msg: 'job failed', job: 'a.b', err: { message: 'no', stack: 'x' } }),
    '00:00:00 warn job failed; job: a.b; err: no',
  );
  assert.equal(line({ msg: 'audit checkpoint', checkpoint: 'a\nb\n' }), '00:00:00 warn audit checkpoint');
  assert.equal(line({ msg: 'a\u001b[31m\u202eb' }), '00:00:00 warn a\\u{1b}[31m\\u{202e}b');
});

/** Everything that a first start writes, until it is stopped. */
async function firstStart(context: { after(done: () => void): void }, atTerminal: boolean): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-notices-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const main = `${process.execPath} --disable-warning=ExperimentalWarning ${join(import.meta.dirname, '../src/main.ts')}`;
  const env = {
    PATH: process.env['PATH'],
    ...compileCache,
    CHANCERY_DATA: folder,
    CHANCERY_LISTEN: `127.0.0.1:${await freePort()}`,
  };
  const words = atTerminal ? ['script', '-qefc', `exec ${main}`, '/dev/null'] : ['sh', '-c', `exec ${main}`];
  const child = spawn(words[0] ?? '', words.slice(1), { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  let output = '';
  for await (const chunk of child.stdout) {
    output += String(chunk);
    if (output.includes('Next: ')) child.kill('SIGTERM');
  }
  await exited;
  return output.trim().split(/\r?\n/);
}

test('at a terminal all lines of the start are for people, elsewhere all are JSON', async (context) => {
  const shown = await firstStart(context, true);
  assert.ok(shown.some((line) => line.startsWith('Chancery ')));
  assert.deepEqual(
    shown.filter((line) => line.startsWith('{')),
    [],
  );
  const logged = (await firstStart(context, false)).map(
    (line) => JSON.parse(line) as { msg: string; checkpoint?: string },
  );
  assert.ok(logged.some(({ msg }) => msg.startsWith('Chancery ')));
  assert.ok(logged.some(({ msg, checkpoint }) => msg === 'audit checkpoint' && checkpoint !== undefined));
});
