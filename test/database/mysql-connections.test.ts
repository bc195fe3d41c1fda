import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { createConnection } from 'mysql2/promise';
import type { TargetError, TargetTls } from '#database/target.ts';
import { mysql } from '#database/targets/mysql.ts';
import { blackHole } from '#test/black-hole.ts';
import { type MariadbWorld, mariadbWorld } from '#test/mariadb-target.ts';
import { newUser, plain } from './mysql-user.ts';

/** Certificates by openssl: one authority, servers for 127.0.0.1 and for db.example, a stranger's authority. */
let folder: string;
let world: MariadbWorld;

const pem = (name: string) => readFileSync(join(folder, name), 'utf8');

/** The words of the command line; `more` are those that have spaces themselves. */
function openssl(words: string, ...more: string[]): void {
  execFileSync('openssl', [...words.split(' '), ...more], { cwd: folder, stdio: 'ignore' });
}

const newKey = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -utf8';

function authority(name: string): void {
  openssl(`req -x509 ${newKey} -days 1 -keyout ${name}.key -out ${name}.pem -subj`, `/O=Example/CN=${name}`);
}

function certificate(name: string, subject: string, extension: string): void {
  writeFileSync(join(folder, `${name}.ext`), `${extension}\n`);
  openssl(`req ${newKey} -keyout ${name}.key -out ${name}.csr -subj`, subject);
  openssl(
    `x509 -req -in ${name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile ${name}.ext -out ${name}.pem`,
  );
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'chancery-mysql-tls-'));
  authority('ca');
  authority('stranger');
  certificate('server', '/CN=database', 'subjectAltName=DNS:db.example,IP:127.0.0.1');
  world = await mariadbWorld({
    tls: { certificate: pem('server.pem'), key: pem('server.key'), clientCa: pem('ca.pem') },
  });
});

after(async () => {
  await world.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function connectBy(tls: TargetTls, host = '127.0.0.1'): Promise<boolean> {
  const target = mysql.open({ ...world.settings, host, tls });
  try {
    return (await target.inspect()).encrypted;
  } finally {
    await target.close();
  }
}

const refused = (error: TargetError) => error.kind === 'unreachable' && error.outcome === 'not_applied';

test('a server is trusted by its authority and its name or address, and by nothing less', async () => {
  const ca = pem('ca.pem');
  assert.equal(await connectBy({ mode: 'disable' }), false);
  assert.equal(await connectBy({ mode: 'require' }), true);
  assert.equal(await connectBy({ mode: 'verify-ca', ca }), true);
  assert.equal(await connectBy({ mode: 'verify-full', ca }), true, 'by its address');
  assert.equal(await connectBy({ mode: 'verify-full', ca, serverName: 'db.example' }), true, 'by its name');
  const stranger = pem('stranger.pem');
  await assert.rejects(connectBy({ mode: 'verify-full', ca: stranger }), refused);
  await assert.rejects(connectBy({ mode: 'verify-ca', ca: stranger }), refused);
  await assert.rejects(connectBy({ mode: 'verify-full' }), refused, "not by the system's roots");
  await assert.rejects(connectBy({ mode: 'verify-full', ca, serverName: 'other.example' }), refused);
  await assert.rejects(connectBy({ mode: 'verify-full', ca, serverName: '127.0.0.2' }), refused);
  await assert.rejects(connectBy({ mode: 'verify-full', ca }, 'localhost'), refused);
  assert.equal(await connectBy({ mode: 'verify-ca', ca }, 'localhost'), true);
});

test('a second connection, which resumes the TLS session of the first, is verified by the same name', async () => {
  const target = mysql.open({ ...world.settings, tls: { mode: 'verify-full', ca: pem('ca.pem') } });
  assert.equal(
    (await Promise.all([target.inspect(), target.inspect()])).every(({ encrypted }) => encrypted),
    true,
  );
  await world.breakAdminSessions();
  while ((await world.adminSessions()) > 0);
  assert.equal((await target.inspect()).encrypted, true);
  await target.close();
});

test('a server without TLS is refused by every mode that wants it', async (t) => {
  const { port } = await rogue(t, (socket) => socket.write(greeting('mysql_native_password', { tls: false })));
  for (const tls of [{ mode: 'require' }, { mode: 'verify-ca', ca: pem('ca.pem') }] as const) {
    const target = mysql.open({ ...world.settings, port, tls });
    await assert.rejects(target.inspect(), (error: TargetError) => /certificate/.test(error.hint ?? ''));
    await target.close();
  }
});

test('a leased user logs in by its certificate, and by no other, and by none without', async () => {
  const target = mysql.open(world.settings);
  const user = newUser({ username: 'chy_tls_user' });
  const subject = 'CN=chy_tls_user,OU=Jürgens Agenten,O=Example\\, Inc.';
  await target.createUser({ ...user, credential: { kind: 'certificate', subject, issuer: 'CN=ca,O=Example' } });
  certificate('client', '/O=Example, Inc./OU=Jürgens Agenten/CN=chy_tls_user', 'extendedKeyUsage=clientAuth');
  certificate('turned', '/CN=chy_tls_user/OU=Jürgens Agenten/O=Example, Inc.', 'extendedKeyUsage=clientAuth');
  certificate('other', '/O=Example, Inc./OU=Jürgens Agenten/CN=chy_other', 'extendedKeyUsage=clientAuth');
  const logIn = async (name: string | undefined) => {
    const identity = name === undefined ? {} : { cert: pem(`${name}.pem`), key: pem(`${name}.key`) };
    const connection = await createConnection({
      host: '127.0.0.1',
      port: world.settings.port,
      user: user.username,
      database: 'app',
      ssl: { ca: pem('ca.pem'), ...identity },
    });
    const [rows] = await connection.query('SELECT note FROM app.notes');
    await connection.end();
    return rows;
  };
  assert.deepEqual(await logIn('client'), [{ note: 'first' }]);
  for (const name of ['turned', 'other', undefined]) await assert.rejects(logIn(name), { errno: 1045 }, name);
  assert.equal(await target.canLogIn(user, ''), false);
  assert.deepEqual(await target.revokeUser(user, plain), { ended: 'removed', sessions: 0 });
  await assert.rejects(logIn('client'), { errno: 1045 });
  await target.close();
});

test('nobody waits longer for a connection than told', async () => {
  const target = mysql.open({ ...world.settings, maxConnections: 1, connectTimeout: 300 });
  const lock = await createConnection({ ...root(), database: 'app' });
  await lock.query('FLUSH TABLES WITH READ LOCK');
  const user = newUser();
  const first = target.createUser(user);
  const second = target.inspect().catch((error: TargetError) => error);
  const error = (await second) as TargetError;
  assert.equal(error.kind, 'timeout');
  assert.equal(error.outcome, 'not_applied');
  await lock.end();
  await first;
  await target.revokeUser(user, plain);
  await target.close();
});

const root = () => ({ host: '127.0.0.1', port: world.settings.port, user: 'root', password: world.server.password });

test('a server that says nothing, or stops in the middle of the greeting, is given up in time', async (t) => {
  for (const first of ['', '\x50\0\0\0\x0a8.']) {
    const { port } = await rogue(t, (socket) => socket.write(first));
    const target = mysql.open({ ...world.settings, port, connectTimeout: 200 });
    await assert.rejects(target.inspect(), (error: TargetError) => error.kind === 'timeout');
    await target.close();
  }
});

test('a server that asks for the password in clear, or under a key of its own, does not get it', async (t) => {
  for (const plugin of ['mysql_clear_password', 'sha256_password', 'caching_sha2_password']) {
    const heard = await rogue(t, (socket) => {
      socket.write(greeting('mysql_native_password', { tls: true }));
      socket.once('data', () => socket.write(authSwitch(plugin)));
    });
    const target = mysql.open({ ...world.settings, port: heard.port });
    await assert.rejects(target.inspect(), (error: TargetError) => error.kind === 'login', plugin);
    assert.ok(!heard.all().includes(world.settings.password), plugin);
    await target.close();
  }
});

test('a server that asks for a file of ours does not get it', async (t) => {
  const heard = await rogue(t, (socket) => {
    socket.write(greeting('mysql_native_password', { tls: true }));
    socket.once('data', (login: Buffer) => {
      assert.equal(login.readUInt32LE(4) & localFiles, 0, 'the login does not offer files');
      socket.write(packet(2, Buffer.from([0, 0, 0, 2, 0, 0, 0])));
      socket.once('data', () => socket.write(packet(1, Buffer.from('\xfb/etc/passwd', 'latin1'))));
    });
  });
  const target = mysql.open({ ...world.settings, port: heard.port, statementTimeout: 100 });
  await assert.rejects(target.inspect());
  assert.ok(!heard.all().includes('root:'));
  await target.close();
});

/** CLIENT_LOCAL_FILES: https://dev.mysql.com/doc/dev/mysql-server/latest/group__group__cs__capabilities__flags.html */
const localFiles = 1 << 7;

function packet(sequence: number, payload: Buffer): Buffer {
  const header = Buffer.from([payload.length & 255, payload.length >> 8, 0, sequence]);
  return Buffer.concat([header, payload]);
}

/** The initial handshake, version 10. */
function greeting(plugin: string, { tls }: { readonly tls: boolean }): Buffer {
  const capabilities = 0x00_0f_a6_85 | (tls ? 1 << 11 : 0);
  const parts = [
    Buffer.from('\x0a8.4.0\0', 'latin1'),
    Buffer.from([1, 0, 0, 0]),
    Buffer.from('12345678\0'),
    Buffer.from([capabilities & 255, (capabilities >> 8) & 255, 45, 2, 0]),
    Buffer.from([(capabilities >> 16) & 255, (capabilities >> 24) & 255, 21]),
    Buffer.alloc(10),
    Buffer.from('123456789012\0'),
    Buffer.from(`${plugin}\0`),
  ];
  return packet(0, Buffer.concat(parts));
}

function authSwitch(plugin: string): Buffer {
  return packet(
    2,
    Buffer.concat([Buffer.from([0xfe]), Buffer.from(`${plugin}\0`), Buffer.from('12345678901234567890\0')]),
  );
}

interface Rogue {
  readonly port: number;
  /** Everything that clients have sent. */
  all(): string;
}

/** A server that follows a script of its own, not the protocol; for what no real server would do. */
async function rogue(t: TestContext, script: (socket: Socket) => void): Promise<Rogue> {
  const heard: Buffer[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => heard.push(chunk));
    script(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, all: () => Buffer.concat(heard).toString('latin1') };
}

test('a server that falls silent: a minting has an unknown outcome, and its user can be revoked', async () => {
  const way = await blackHole(world.settings.port);
  const far = mysql.open({ ...world.settings, port: way.port, statementTimeout: 100, connectTimeout: 500 });
  await far.inspect();
  way.swallow('answers');
  const user = newUser();
  await assert.rejects(
    far.createUser(user),
    (error: TargetError) => error.kind === 'timeout' && error.outcome === 'unknown',
  );
  await assert.rejects(
    far.inspect(),
    (error: TargetError) => error.kind === 'timeout' && error.outcome === 'not_applied',
  );
  await far.close();
  await way.close();
  assert.equal(await world.userExists(user), true);
  const target = mysql.open(world.settings);
  assert.equal((await target.revokeUser(user, plain)).ended, 'removed');
  await target.close();
});

test('idle connections that a firewall has dropped are found out and replaced', async (t) => {
  const way = await blackHole(world.settings.port);
  const far = mysql.open({ ...world.settings, port: way.port, connectTimeout: 1000 });
  await Promise.all([far.inspect(), far.inspect(), far.inspect()]);
  way.forget();
  const later = performance.now() + 10_000;
  t.mock.method(performance, 'now', () => later);
  const user = newUser();
  await far.createUser(user);
  assert.equal((await far.revokeUser(user, plain)).ended, 'removed');
  await far.close();
  await way.close();
});

test('what is no host is refused', async () => {
  for (const host of ['', '/run/mysqld/mysqld.sock', 'a b', 'a\0b', '@abstract', 'x/y']) {
    const target = mysql.open({ ...world.settings, host });
    await assert.rejects(
      target.inspect(),
      (error: TargetError) => refused(error) && /not a host name/.test(error.message),
    );
    await target.close();
  }
});

test('the address of a leased user can be used as it is', async () => {
  const target = mysql.open(world.settings);
  const odd = 'p@ss:w/rd?#%\'"\\ü';
  const user = newUser({ credential: { kind: 'password', password: odd } });
  await target.createUser(user);
  const connection = await createConnection(target.connectionUrl(user, odd, 'app'));
  assert.deepEqual((await connection.query('SELECT note FROM notes'))[0], [{ note: 'first' }]);
  await connection.end();
  await target.revokeUser(user, plain);
  assert.equal(
    mysql.open({ ...world.settings, host: '::1' }).connectionUrl({ username: 'u' }, undefined, undefined),
    `mysql://u@[::1]:${world.settings.port}`,
  );
  await target.close();
});
