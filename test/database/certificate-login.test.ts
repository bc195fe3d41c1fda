import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { type Client, type InProcess, spawnChancery, startChancery } from '#test/chancery.ts';
import type { PostgresWorld } from '#test/postgres-target.ts';
import {
  foundLogins,
  foundTrust,
  type Leased,
  logInToMariadb,
  logInToPostgres,
  mariadbWithCertificates,
  postgresWithCertificates,
  type Trust,
  useCrl,
} from './certificate-house.ts';
import { connectionTo, leasedUsers, until } from './fixture.ts';
import { openWire } from './wire.ts';

const role = { connection: 'app', credential: 'certificate', certificate_role: 'logins', member_of: ['app_reader'] };

async function foundPostgres(client: Client, world: PostgresWorld, trust: Trust, port?: number): Promise<void> {
  const tls = { tls: 'verify-full', tls_ca: trust.serverCa };
  const place = port === undefined ? {} : { port };
  await client.ok('POST', 'database/connections', { ...connectionTo(world), ...tls, ...place });
  await foundLogins(client, 'app');
  await client.ok('POST', 'database/roles', { name: 'reader', ...role });
}

async function start(context: TestContext): Promise<{ server: InProcess; world: PostgresWorld }> {
  const server = await startChancery(context);
  const trust = await foundTrust(server);
  const world = await postgresWithCertificates(context, trust);
  await foundPostgres(server, world, trust);
  return { server, world };
}

const lease = (client: Client, fields: object = {}): Promise<Leased> =>
  client.ok('POST', 'database/roles/reader/credentials', fields);

interface Found {
  readonly serial_number: string;
  readonly status: string;
  readonly purpose: string;
  readonly principal: string;
}

const certificatesOf = async (client: Client, username: string): Promise<Found[]> =>
  (await client.ok('GET', `pki/certificates?role=logins&name=cn:${username}`)).certificates;

async function isRevoked(client: Client, leaseId: string): Promise<boolean> {
  return (await client.ok('GET', `leases/${leaseId}`)).state === 'revoked';
}

test('PostgreSQL lets a leased user in by its certificate, and by no other, and by none without', async (context) => {
  const { server, world } = await start(context);
  const [mine, other] = [await lease(server, { ttl: '1h', purpose: 'report' }), await lease(server)];
  assert.equal('password' in mine, false);
  assert.equal(
    mine.connection_url,
    `postgresql://${mine.username}@127.0.0.1:${world.server.port}/app?sslmode=verify-full`,
  );
  const session = await logInToPostgres(world, mine);
  assert.deepEqual(await session.query(world.read), [{ note: 'first' }]);
  await assert.rejects(session.query(world.write), { code: '42501' });
  const [signed] = await session.query('SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()');
  assert.equal(signed?.['client_dn'], `/O=Example/CN=${mine.username}`);
  await session.close();
  const { username } = mine;
  await assert.rejects(logInToPostgres(world, { ...other, username }), { code: '28000' });
  await assert.rejects(logInToPostgres(world, { username, server_ca: mine.server_ca }), { code: '28000' });
  const [found] = await certificatesOf(server, username);
  assert.equal(found?.principal, 'admin');
  assert.equal(found?.purpose, `lease ${mine.lease_id} of admin`);
  const shown = await server.ok('GET', `leases/${mine.lease_id}`);
  assert.equal(shown.facts.serial_number, found?.serial_number);
  assert.equal(shown.max_expires_at, shown.expires_at);
  const renewal = await server.call('POST', `leases/${mine.lease_id}/renew`, { increment: '1h' });
  assert.equal(renewal.status, 422);
});

test('the revocation of a lease ends its sessions, its user and its certificate, which CRL and OCSP then refuse', async (context) => {
  const { server, world } = await start(context);
  const leased = await lease(server);
  const session = await logInToPostgres(world, leased);
  const revoked = await server.ok('POST', `leases/${leased.lease_id}/revoke`);
  assert.equal(revoked.state, 'revoked');
  await session.ended;
  assert.deepEqual(await leasedUsers(world), []);
  await assert.rejects(logInToPostgres(world, leased), { code: '28000' });
  const [found] = await certificatesOf(server, leased.username);
  const certificate = await server.ok('GET', `pki/certificates/${found?.serial_number}`);
  assert.deepEqual([certificate.status, certificate.revocation_reason], ['revoked', 'cessation_of_operation']);
  assert.match(await askOcsp(context, leased, `${server.url}/pki/logins/ocsp`), /: revoked[^]*cessationOfOperation/);
  const { urls } = await server.ok('GET', 'pki/authorities/logins');
  let crl = Buffer.alloc(0);
  await until('the CRL lists it', async () => {
    crl = Buffer.from(await (await fetch(urls.crl)).arrayBuffer());
    const text = execFileSync('openssl', ['crl', '-inform', 'DER', '-noout', '-text'], { input: crl }).toString();
    return text.toLowerCase().includes(String(found?.serial_number).replace(/^0+/, ''));
  });
  await useCrl(world, crl);
  await world.root(`CREATE ROLE "${leased.username}" LOGIN IN ROLE app_reader`);
  await assert.rejects(logInToPostgres(world, leased), /certificate revoked|ECONNRESET|terminated/);
  const next = await lease(server);
  await (await logInToPostgres(world, next)).close();
});

async function askOcsp(context: TestContext, { certificate, chain }: Leased, url: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-ocsp-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'certificate.pem'), certificate);
  writeFileSync(join(folder, 'issuer.pem'), chain[0] ?? '');
  const words = ['-issuer', 'issuer.pem', '-cert', 'certificate.pem', '-CAfile', 'issuer.pem', '-url', url];
  // The server that is asked runs in this process.
  return (await promisify(execFile)('openssl', ['ocsp', ...words], { cwd: folder })).stdout;
}

test('what ends by itself ends at both places, and is on no CRL', async (context) => {
  const { server, world } = await start(context);
  const leased = await lease(server, { ttl: '3s' });
  const session = await logInToPostgres(world, leased);
  await session.ended;
  await until('the lease is revoked', () => isRevoked(server, leased.lease_id));
  assert.deepEqual(await leasedUsers(world), []);
  const [found] = await certificatesOf(server, leased.username);
  assert.equal(found?.status, 'expired');
  await world.root(`CREATE ROLE "${leased.username}" LOGIN IN ROLE app_reader`);
  await assert.rejects(logInToPostgres(world, leased), /certificate expired|ECONNRESET|terminated/);
});

test('a key of the requester comes in a CSR that asks for no name of its own', async (context) => {
  const { server, world } = await start(context);
  const folder = mkdtempSync(join(tmpdir(), 'chancery-csr-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  await server.ok('PATCH', 'pki/roles/logins', { allowed_domains: ['example.com'], allow_subdomains: true });
  const csr = (subject: string, ...more: string[]) => {
    const words = [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      'key',
      '-subj',
      subject,
    ];
    return execFileSync('openssl', ['req', '-new', ...words, ...more], { cwd: folder, stdio: 'pipe' }).toString();
  };
  const path = 'database/roles/reader/credentials';
  for (const hostile of [csr('/', '-addext', 'subjectAltName=DNS:www.example.com'), csr('/CN=www.example.com')]) {
    const refused = await server.call('POST', path, { csr: hostile });
    assert.equal(refused.status, 422, JSON.stringify(refused.body));
  }
  assert.equal((await server.call('POST', path, { csr: 'x'.repeat(100) })).status, 400);
  const leased = await lease(server, { csr: csr('/') });
  assert.equal('private_key' in leased, false);
  const key = readFileSync(join(folder, 'key'), 'utf8');
  const session = await logInToPostgres(world, { ...leased, private_key: key });
  assert.deepEqual(await session.query(world.read), [{ note: 'first' }]);
  await session.close();
  assert.deepEqual((await server.ok('GET', 'pki/certificates?name=www.example.com')).certificates, []);
  await until('nothing is left of what was refused', async () => (await leasedUsers(world)).length === 1);
});

test('a role is refused whose certificates nobody would issue or no server would take, and says what mends it', async (context) => {
  const server = await startChancery(context);
  const trust = await foundTrust(server);
  const world = await postgresWithCertificates(context, trust);
  const tls = { tls: 'verify-full', tls_ca: trust.serverCa };
  await server.ok('POST', 'database/connections', { ...connectionTo(world), ...tls });
  await server.ok('POST', 'database/connections', {
    ...connectionTo(world, 'plain'),
    ...tls,
    tls: 'require',
    tls_ca: undefined,
  });
  const save = (fields: object) => server.call('POST', 'database/roles', { name: 'reader', ...role, ...fields });
  assert.equal((await save({ certificate_role: undefined })).status, 400);
  assert.equal((await save({ credential: 'password' })).status, 400);
  assert.equal(
    (await save({ creation_statements: ["CREATE ROLE {{name}} LOGIN PASSWORD '{{password}}'"] })).status,
    400,
  );
  assert.match((await save({})).body.detail, /no role logins/);
  const { user_prefix: prefix } = await server.ok('GET', 'database/connections/app');
  await foundLogins(server, 'app', { allowed_common_names: ['chy_other_*'] });
  const refused = await save({});
  assert.equal(refused.status, 422);
  assert.match(refused.body.hint, new RegExp(`allowed_common_names \\["${prefix}\\*"\\]`));
  const change = (fields: object) => server.ok('PATCH', 'pki/roles/logins', fields);
  await change({ allowed_common_names: [`${prefix}*`], max_ttl: '1h' });
  assert.match((await save({})).body.detail, /max_ttl/);
  assert.equal((await save({ max_ttl: '1h', default_ttl: '10m' })).status, 201);
  await change({ allowed_common_names: ['chy_other_*'] });
  const plan = await server.ok('POST', 'database/roles/reader/credentials/plan', {});
  assert.deepEqual([plan.allowed, plan.refusals[0].rule], [false, 'certificate_role']);
  const denied = await server.call('POST', 'database/roles/reader/credentials', {});
  assert.equal(denied.status, 422);
  assert.match(denied.body.detail, /^The certificate is refused: /);
  await until('its lease ends', async () => (await server.ok('GET', 'leases?state=minting')).leases.length === 0);
  await change({ allowed_common_names: [`${prefix}*`], authority: 'servers' });
  const stranger = await save({ name: 'stranger', max_ttl: '1h' });
  assert.equal(stranger.status, 422, 'the probe logs in, and the server trusts another authority');
  assert.deepEqual(await leasedUsers(world), []);
});

test('MariaDB requires subject and issuer, and takes no certificate of another user or another authority', async (context) => {
  const server = await startChancery(context);
  const trust = await foundTrust(server);
  const world = await mariadbWithCertificates(context, trust);
  const { host, port, username, password } = world.settings;
  const tls = { tls: 'verify-full', tls_ca: trust.serverCa };
  const connection = { name: 'app', engine: 'mysql', host, port, username, password, database: 'app', ...tls };
  await server.ok('POST', 'database/connections', connection);
  await foundLogins(server, 'app');
  await server.ok('POST', 'database/roles', { name: 'reader', ...role });
  const [mine, other] = [await lease(server), await lease(server)];
  const session = await logInToMariadb(world, mine);
  assert.deepEqual(await session.query(world.read), [{ note: 'first' }]);
  await assert.rejects(session.query(world.write), { errno: 1142 });
  const refused = { errno: 1045 };
  await assert.rejects(logInToMariadb(world, { ...other, username: mine.username }), refused);
  await assert.rejects(logInToMariadb(world, { username: mine.username, server_ca: mine.server_ca }), refused);
  const order = { name: 'impostor', kind: 'intermediate', parent: 'logins', common_name: 'Impostor' };
  await server.ok('POST', 'pki/authorities', order);
  const below = {
    name: 'impostor',
    authority: 'impostor',
    organization: 'Example',
    extended_key_usages: ['client_auth'],
  };
  await server.ok('POST', 'pki/roles', { ...below, allowed_common_names: [mine.username] });
  const forged = await server.ok('POST', 'pki/certificates', { role: 'impostor', common_name: mine.username });
  const chained = { ...mine, ...forged, certificate: [forged.certificate, ...forged.chain].join('') };
  await assert.rejects(logInToMariadb(world, chained), refused, 'the same subject from another issuer');
  await server.ok('POST', `leases/${mine.lease_id}/revoke`);
  await session.ended;
  await assert.rejects(logInToMariadb(world, mine), refused);
  assert.equal((await certificatesOf(server, mine.username))[0]?.status, 'revoked');
  await (await logInToMariadb(world, other)).close();
});

for (const moment of ['before', 'after'] as const)
  test(`kill -9 ${moment} the server hears of the user, whose certificate exists, leaves neither`, async (context) => {
    const child = await spawnChancery(context);
    const trust = await foundTrust(child);
    const world = await postgresWithCertificates(context, trust);
    const wire = await openWire(context, world.server.port);
    await foundPostgres(child, world, trust, wire.port);
    await until('the probe is over', async () => {
      const { leases } = await child.ok('GET', 'leases');
      return leases.every((each: { state: string }) => each.state === 'revoked');
    });
    const before = new Set((await child.ok('GET', 'leases')).leases.map((each: { id: string }) => each.id));
    // The connection of the probe is idle: what is long and encrypted now (TLS record type 23) is the making of the user.
    const held = wire.hold((chunk) => chunk[0] === 23 && chunk.length > 250, moment);
    const answer = lease(child).catch(() => undefined);
    await held;
    if (moment === 'after') await until('the user exists', async () => (await leasedUsers(world)).length === 1);
    await child.kill();
    await answer;
    wire.release();
    // A minute later than it is, so that the deadline of the mint has passed.
    const clock = { now: () => Date.now() + 61_000 };
    const server = await startChancery(context, { folder: child.folder, clock });
    const minted = (await server.ok('GET', 'leases')).leases.find((each: { id: string }) => !before.has(each.id));
    const [found] = await certificatesOf(server, minted.subject);
    assert.ok(found, 'the certificate was issued before the kill');
    await until('the lease is revoked', () => isRevoked(server, minted.id));
    assert.deepEqual(await leasedUsers(world), []);
    assert.equal((await certificatesOf(server, minted.subject))[0]?.status, 'revoked');
    const events = (await server.ok('GET', 'audit/events?operation=pki.revoke_certificates')).events;
    assert.equal(events[0]?.principal, 'database.revoke_certificates');
  });
