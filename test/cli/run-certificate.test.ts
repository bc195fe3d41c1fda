import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { writeCredentialFiles } from '#cli/credential-files.ts';
import { compileCache } from '#test/compile-cache.ts';
import { mariadbWorld } from '#test/mariadb-target.ts';
import { type ChildServer, type Client, spawnChancery } from '#test/chancery.ts';
import {
  foundLogins,
  foundTrust,
  mariadbWithCertificates,
  postgresWithCertificates,
} from '../database/certificate-house.ts';
import { connectionTo, leasedUsers, until } from '../database/fixture.ts';

/** `chancery run` where leased users log in by certificate: real clients, which find key and certificate by themselves. */

const chancery = join(import.meta.dirname, '../../bin/chancery');
const role = { connection: 'app', member_of: ['app_reader'] };
const byCertificate = { ...role, credential: 'certificate', certificate_role: 'logins' };

interface Ran {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a script by a role, in a temporary folder of its own, in which nothing may be left. */
async function run(context: TestContext, server: ChildServer, name: string, script: string): Promise<Ran> {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-run-test-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const token = { CHANCERY_URL: server.url, CHANCERY_TOKEN: server.token };
  const child = spawn(chancery, ['run', '--role', name, '--', 'sh', '-c', script], {
    env: {
      PATH: process.env['PATH'],
      ...compileCache,
      HOME: folder,
      TMPDIR: folder,
      PGSSLCERT: '/elsewhere',
      ...token,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes('waiting')) child.kill('SIGINT');
    });
  const [code] = (await once(child, 'close')) as [number | null];
  const left = readdirSync(folder).filter((entry) => entry.startsWith('chancery-run-'));
  assert.deepEqual(left, [], 'files are left');
  return { code, output };
}

test('what is leased by itself is printed whole, since the key is told once', async (context) => {
  const server = await spawnChancery(context);
  const trust = await foundTrust(server);
  const world = await postgresWithCertificates(context, trust);
  const tls = { tls: 'verify-full', tls_ca: trust.serverCa };
  await server.ok('POST', 'database/connections', { ...connectionTo(world), ...tls });
  await foundLogins(server, 'app');
  await server.ok('POST', 'database/roles', { name: 'reader', ...byCertificate });
  const env = { PATH: process.env['PATH'], ...compileCache, CHANCERY_URL: server.url, CHANCERY_TOKEN: server.token };
  const words = ['database', 'credentials', '--role', 'reader'];
  const { stdout } = await promisify(execFile)(chancery, words, { env });
  assert.match(stdout, /BEGIN CERTIFICATE[^]*BEGIN PRIVATE KEY/);
  assert.match(stdout, /lease_id +lse_/);
});

async function certificateStates(client: Client): Promise<string[]> {
  const { certificates } = await client.ok('GET', 'pki/certificates?role=logins');
  return [...new Set<string>(certificates.map((each: { status: string }) => each.status))];
}

test('psql logs in by the certificate, by environment and by address, and its files are private and go with it', async (context) => {
  const server = await spawnChancery(context);
  const trust = await foundTrust(server);
  const world = await postgresWithCertificates(context, trust);
  const tls = { tls: 'verify-full', tls_ca: trust.serverCa };
  await server.ok('POST', 'database/connections', { ...connectionTo(world), ...tls });
  await foundLogins(server, 'app');
  await server.ok('POST', 'database/roles', { name: 'reader', ...byCertificate });
  const question = "-Atc 'SELECT note, ssl FROM notes, pg_stat_ssl WHERE pid = pg_backend_pid()'";
  const plain = await run(context, server, 'reader', `psql ${question}; echo "[$PGPASSWORD]"`);
  assert.deepEqual(plain, { code: 0, output: 'first|t\n[]\n' });
  const unset = 'env -u PGSSLCERT -u PGSSLKEY -u PGSSLROOTCERT -u PGUSER';
  const address = await run(context, server, 'reader', `${unset} psql "$DATABASE_URL" ${question}`);
  assert.deepEqual(address, { code: 0, output: 'first|t\n' });
  const modes = 'stat -c %a "$(dirname "$PGSSLKEY")" "$PGSSLKEY" "$PGSSLCERT" "$PGSSLROOTCERT"';
  assert.equal((await run(context, server, 'reader', modes)).output, '700\n600\n600\n600\n');
  const interrupted = await run(context, server, 'reader', 'echo waiting; exec sleep 60');
  assert.equal(interrupted.code, 130, interrupted.output);
  assert.deepEqual(await leasedUsers(world), []);
  await until('the certificates are revoked', async () => (await certificateStates(server)).join() === 'revoked');
});

test('the client of MariaDB logs in by the certificate that it finds in its option file', async (context) => {
  const server = await spawnChancery(context);
  const trust = await foundTrust(server);
  const world = await mariadbWithCertificates(context, trust);
  const { host, port, username, password } = world.settings;
  const tls = { tls: 'verify-full', tls_ca: trust.serverCa };
  const connection = { name: 'app', engine: 'mysql', host, port, username, password, database: 'app', ...tls };
  await server.ok('POST', 'database/connections', connection);
  await foundLogins(server, 'app');
  await server.ok('POST', 'database/roles', { name: 'reader', ...byCertificate });
  const question = "-BNe 'SELECT note FROM app.notes'";
  const plain = await run(context, server, 'reader', `mariadb ${question}; echo "[$MYSQL_PWD]"`);
  assert.deepEqual(plain, { code: 0, output: 'first\n[]\n' });
  assert.deepEqual(await certificateStates(server), ['revoked']);
});

test('the client of MariaDB finds user, password and database in an option file that only we can read', async (context) => {
  const server = await spawnChancery(context);
  const world = await mariadbWorld();
  context.after(() => world.stop());
  const { host, port, username, password } = world.settings;
  const connection = { name: 'app', engine: 'mysql', host, port, username, password, database: 'app', tls: 'disable' };
  await server.ok('POST', 'database/connections', connection);
  await server.ok('POST', 'database/roles', { name: 'reader', ...role });
  const script = [
    "env -u MYSQL_PWD mariadb -BNe 'SELECT note FROM notes'",
    'printf "[client]\\nuser=other\\npassword=other\\n" > ~/.my.cnf',
    'env -u MYSQL_PWD mariadb --defaults-file="$MYSQL_OPTION_FILE" -BNe "SELECT note FROM notes"',
    'env -u MYSQL_PWD mariadb-dump --defaults-file="$MYSQL_OPTION_FILE" --skip-lock-tables app notes | grep -c "^INSERT"',
    'stat -c %a "$MYSQL_OPTION_FILE"',
  ].join('; ');
  assert.deepEqual(await run(context, server, 'reader', script), { code: 0, output: 'first\nfirst\n1\n600\n' });
});

test('what an option file would take for something else arrives as it is', async () => {
  const word = String.raw`a"b'c\d#e;f=g \n[h] `;
  const files = await writeCredentialFiles({
    connection_url: `mysql://${encodeURIComponent(word)}:${encodeURIComponent(word)}@[::1]:3306/${encodeURIComponent(word)}`,
  });
  try {
    const words = [`--defaults-file=${files?.options}`, 'client', 'mysql'];
    const { stdout } = await promisify(execFile)('my_print_defaults', words);
    assert.deepEqual(stdout.split('\n'), [
      '--host=::1',
      '--port=3306',
      `--user=${word}`,
      `--password=${word}`,
      `--database=${word}`,
      '',
    ]);
  } finally {
    await files?.remove();
  }
});

test('where the login is by password, the certificates of the server are there all the same', async (context) => {
  const server = await spawnChancery(context);
  const trust = await foundTrust(server);
  const world = await postgresWithCertificates(context, trust, 'scram-sha-256');
  const tls = { tls: 'verify-full', tls_ca: trust.serverCa };
  await server.ok('POST', 'database/connections', { ...connectionTo(world), ...tls });
  await server.ok('POST', 'database/roles', { name: 'reader', ...role });
  const script = 'psql -Atc \'SELECT note FROM notes\'; psql "$DATABASE_URL" -Atc \'SELECT 2\'; echo "[$PGSSLCERT]"';
  assert.deepEqual(await run(context, server, 'reader', script), { code: 0, output: 'first\n2\n[]\n' });
});
