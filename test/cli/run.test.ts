import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { type ChildServer, spawnChancery } from '#test/chancery.ts';
import { compileCache } from '#test/compile-cache.ts';
import { type PostgresWorld, postgresWorld } from '#test/postgres-target.ts';
import { foundDatabase, leasedUsers } from '../database/fixture.ts';

/** `chancery run` as a user runs it: its own process, a server of its own, a real PostgreSQL. */

let world: PostgresWorld;
let server: ChildServer;

before(async () => {
  world = await postgresWorld();
  server = await spawnChancery(undefined);
  await foundDatabase(server, world);
});
after(async () => {
  await server.kill();
  await world.stop();
});

const chancery = join(import.meta.dirname, '../../bin/chancery');

interface Running {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly code: Promise<number | null>;
}

function run(words: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
  const child = spawn(chancery, ['run', ...words], {
    env: { PATH: process.env['PATH'], ...compileCache, CHANCERY_URL: server.url, CHANCERY_TOKEN: server.token, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return { child, output: () => output, code: once(child, 'close').then(([code]) => code as number | null) };
}

async function outputHas(running: Running, words: RegExp): Promise<void> {
  while (!words.test(running.output())) {
    assert.equal(running.child.exitCode, null, running.output());
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const role = ['--role', 'readonly', '--'];
/** A command that says who it is and waits for what comes. */
const waiting = [...role, 'psql', '-Atc', 'SELECT current_user', '-c', 'SELECT pg_sleep(60)'];

test('the command has the credentials in its environment, its output and exit code are ours, and nobody is left', async () => {
  const { output, code } = run([...role, 'psql', '-Atc', 'SELECT note FROM notes']);
  assert.equal(await code, 0, output());
  assert.equal(output(), 'first\n');
  assert.deepEqual(await leasedUsers(world), []);
});

test('DATABASE_URL logs in by itself, and says whose lease it is', async () => {
  const script = 'psql -At "$DATABASE_URL" -c "SELECT current_user"; echo "$CHANCERY_LEASE_ID"';
  const { output, code } = run([...role, 'env', '-u', 'PGPASSWORD', 'sh', '-c', script]);
  assert.equal(await code, 0, output());
  const [user = '', lease = ''] = output().trim().split('\n');
  const row = await server.ok('GET', `leases/${lease}`);
  assert.equal(row.subject, user);
  assert.equal(row.state, 'revoked');
});

test('the script for an administrator is printed as it is, so that it can be run', async () => {
  const child = spawn(chancery, ['database', 'admin-setup', 'postgresql', '--username', 'printed'], {
    env: { PATH: process.env['PATH'], CHANCERY_URL: server.url, CHANCERY_TOKEN: server.token },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const script = await text(child.stdout);
  assert.match(script, /^-- .+\n(?:.*\n)*DO \$/);
  await world.root(script);
  const [row] = await world.root("SELECT rolcreaterole FROM pg_roles WHERE rolname = 'printed'");
  assert.equal(row?.['rolcreaterole'], true);
});

test('the token stays with us unless it is to be kept, and so do settings of another database', async () => {
  const script = 'echo "[$CHANCERY_TOKEN] [$PGOPTIONS] [$PGSERVICE] [$HOME]"';
  const env = { PGSERVICE: 'other', PGHOST: 'elsewhere.example', HOME: '/home/a' };
  const plain = run([...role, 'sh', '-c', script], env);
  assert.equal(await plain.code, 0, plain.output());
  assert.equal(plain.output(), '[] [] [] [/home/a]\n');
  const kept = run(['--keep-token', ...role, 'sh', '-c', 'test -n "$CHANCERY_TOKEN"'], env);
  assert.equal(await kept.code, 0, kept.output());
});

test('a chancery in the command does not find the token of the administrator by itself', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-run-'));
  writeFileSync(join(folder, 'admin.token'), server.token ?? '');
  try {
    const env = { CHANCERY_TOKEN: '', CHANCERY_DATA: folder };
    const inside = [...role, chancery, 'database', 'list-roles'];
    const without = run(inside, env);
    assert.equal(await without.code, 3, without.output());
    const kept = run(['--keep-token', ...inside], env);
    assert.equal(await kept.code, 0, kept.output());
    assert.match(kept.output(), /readonly/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a role that asks for an approval gives its credentials to the very request that was approved', async () => {
  const rule = { effect: 'allow', operations: ['database.issue_credentials'], resources: ['database/roles/readonly'] };
  await server.ok('POST', 'policies', { name: 'asking', rules: [{ ...rule, conditions: { approval: true } }] });
  await server.ok('POST', 'principals', { name: 'asker', kind: 'agent', policies: ['asking'] });
  const { key } = await server.ok('POST', 'principals/asker/keys', {});
  const words = ['--purpose', 'a look', ...role, 'psql', '-Atc', 'SELECT note FROM notes'];
  const asked = run(words, { CHANCERY_TOKEN: key });
  assert.equal(await asked.code, 4, asked.output());
  const [id = ''] = /apr_\w+/.exec(asked.output()) ?? [];
  await server.ok('POST', `approvals/${id}/approve`, {});
  const approved = run(['--approval-id', id, ...words], { CHANCERY_TOKEN: key });
  assert.equal(await approved.code, 0, approved.output());
  assert.equal(approved.output(), 'first\n');
});

test('a command that fails, is not there or cannot be run ends with the code that a shell would give', async () => {
  for (const [words, expected] of [
    [['sh', '-c', 'exit 9'], 9],
    [['no-such-command-here'], 127],
    [['/etc/passwd'], 126],
    [['sh', '-c', 'kill -KILL $$'], 137],
  ] as const) {
    const { output, code } = run([...role, ...words]);
    assert.equal(await code, expected, output());
  }
  assert.deepEqual(await leasedUsers(world), []);
});

for (const [signal, expected] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)
  test(`${signal} ends the command, and its user goes with it`, async () => {
    const running = run(waiting);
    await outputHas(running, /chy_/);
    assert.equal((await leasedUsers(world)).length, 1);
    running.child.kill(signal);
    const code = await running.code;
    // psql ends by itself on SIGINT, with a code of its own.
    assert.ok(code === expected || (signal === 'SIGINT' && code !== 0), `${code} ${running.output()}`);
    assert.deepEqual(await leasedUsers(world), []);
  });

test('the lease is renewed while the command runs, and not a moment longer', async () => {
  const running = run(['--ttl', '3s', ...role, 'psql', '-Atc', 'SELECT pg_sleep(6)', '-c', 'SELECT 42']);
  assert.equal(await running.code, 0, running.output());
  assert.match(running.output(), /42/);
  assert.deepEqual(await leasedUsers(world), []);
});

test('without renewal the session ends with the lease', async () => {
  const running = run(['--ttl', '2s', '--no-renew', ...role, 'psql', '-Atc', 'SELECT pg_sleep(60)']);
  assert.notEqual(await running.code, 0, running.output());
  assert.match(running.output(), /terminating connection due to administrator command/);
});

test('what is refused runs nothing, and says why', async () => {
  for (const [words, expected, said] of [
    [['--role', 'nobody', '--', 'echo', 'ran'], 5, /nobody/],
    [['--role', 'readonly', '--ttl', '30d', '--', 'echo', 'ran'], 6, /max_ttl|at most/],
    [['--role', 'readonly', '--ttl', 'soon', '--', 'echo', 'ran'], 2, /--ttl is not a duration/],
    [['--role', 'readonly'], 2, /no command to run/],
    [['--', 'echo', 'ran'], 2, /--role is missing/],
    [['--rôle', 'x', '--', 'echo', 'ran'], 2, /unknown option/],
  ] as const) {
    const { output, code } = run(words);
    assert.equal(await code, expected, output());
    assert.match(output(), said);
    assert.doesNotMatch(output(), /^ran$/m);
  }
});

test('a server that is away when the command ends is told of, and the lease ends by itself', async () => {
  const running = run([...role, 'sh', '-c', 'echo begun; sleep 2; exit 3']);
  await outputHas(running, /begun/);
  await server.kill();
  assert.equal(await running.code, 3, running.output());
  assert.match(running.output(), /warning: lease lse_\w+ is not revoked yet/);
  assert.match(running.output(), /note: .*ends at \d{4}-/);
});
