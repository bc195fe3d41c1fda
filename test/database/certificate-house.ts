import { execFileSync } from 'node:child_process';
import { chownSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { createConnection } from 'mysql2/promise';
import { Client as PostgresClient } from 'pg';
import type { Client } from '#test/chancery.ts';
import { type MariadbWorld, mariadbWorld } from '#test/mariadb-target.ts';
import { type PostgresWorld, postgresWorld } from '#test/postgres-target.ts';
import type { UserSession } from '#test/target-world.ts';

/** Servers of databases whose certificate, and whose trust in those of clients, come from Chancery's own authorities. */

/** The server's certificate and key, PEM, and the certificates that it and its clients lead to. */
export interface Trust {
  readonly certificate: string;
  readonly key: string;
  readonly serverCa: string;
  readonly clientCa: string;
}

/** Two roots: `servers`, which clients trust, and `logins`, which servers trust. The role of the second comes later. */
export async function foundTrust(client: Client): Promise<Trust> {
  const root = async (name: string) => {
    const order = { name, kind: 'root', common_name: `Test ${name}`, organization: 'Example' };
    return (await client.ok('POST', 'pki/authorities', order)).certificate as string;
  };
  const serverCa = await root('servers');
  const clientCa = await root('logins');
  const role = { name: 'servers', authority: 'servers', allowed_ip_ranges: ['127.0.0.1/32'] };
  await client.ok('POST', 'pki/roles', role);
  const order = { role: 'servers', ip_addresses: ['127.0.0.1'] };
  const issued = await client.ok('POST', 'pki/certificates', order);
  return { certificate: issued.certificate, key: issued.private_key, serverCa, clientCa };
}

/** The role of the PKI for users of a connection, whose prefix is known when it has been made. */
export async function foundLogins(client: Client, connection: string, role: object = {}): Promise<void> {
  const { user_prefix: prefix } = await client.ok('GET', `database/connections/${connection}`);
  await client.ok('POST', 'pki/roles', {
    name: 'logins',
    authority: 'logins',
    extended_key_usages: ['client_auth'],
    allowed_common_names: [`${prefix}*`],
    organization: 'Example',
    ...role,
  });
}

/** Asks the administrator for a password, and everybody else as told. */
const hostRules = (method: string) =>
  [
    'hostssl all chancery_admin 127.0.0.1/32 scram-sha-256',
    `hostssl all all 127.0.0.1/32 ${method}`,
    'hostnossl all postgres 127.0.0.1/32 scram-sha-256',
    '',
  ].join('\n');

export async function postgresWithCertificates(
  context: TestContext,
  trust: Trust,
  method: 'cert' | 'scram-sha-256' = 'cert',
): Promise<PostgresWorld> {
  const world = await postgresWorld();
  context.after(() => world.stop());
  const give = (name: string, text: string) => giveFile(world, name, text);
  give('server.crt', trust.certificate);
  give('server.key', trust.key);
  give('clients.pem', trust.clientCa);
  give('pg_hba.conf', hostRules(method));
  for (const setting of ["ssl_ca_file = 'clients.pem'", 'ssl = on']) await world.root(`ALTER SYSTEM SET ${setting}`);
  await world.server.restart();
  return world;
}

/** Lets PostgreSQL refuse what a CRL (DER) lists. */
export async function useCrl(world: PostgresWorld, crl: Buffer): Promise<void> {
  const pem = execFileSync('openssl', ['crl', '-inform', 'DER'], { input: crl });
  giveFile(world, 'clients.crl', pem.toString());
  await world.root("ALTER SYSTEM SET ssl_crl_file = 'clients.crl'");
  await world.server.restart();
}

function giveFile({ server }: PostgresWorld, name: string, text: string): void {
  const data = join(server.socketFolder, 'data');
  writeFileSync(join(data, name), text, { mode: 0o600 });
  const { uid, gid } = statSync(data);
  if (process.getuid?.() === 0) chownSync(join(data, name), uid, gid);
}

export async function mariadbWithCertificates(context: TestContext, trust: Trust): Promise<MariadbWorld> {
  const { certificate, key, clientCa } = trust;
  const world = await mariadbWorld({ tls: { certificate, key, clientCa } });
  context.after(() => world.stop());
  return world;
}

/** What was leased, as the operation answers. */
export interface Leased {
  readonly lease_id: string;
  readonly username: string;
  readonly certificate: string;
  readonly chain: readonly string[];
  readonly private_key: string;
  readonly server_ca: string;
  readonly connection_url: string;
}

type Shown = Pick<Leased, 'username' | 'server_ca'> & Partial<Pick<Leased, 'certificate' | 'private_key'>>;

function tlsOf({ certificate, private_key: key, server_ca: ca }: Shown) {
  return { ca, ...(certificate === undefined || key === undefined ? {} : { cert: certificate, key }) };
}

export async function logInToPostgres(world: PostgresWorld, leased: Shown): Promise<UserSession> {
  const { port } = world.server;
  const address = { host: '127.0.0.1', port, user: leased.username, database: 'app' };
  const client = new PostgresClient({ ...address, password: () => '', ssl: tlsOf(leased) });
  client.on('error', () => undefined);
  const ended = new Promise<void>((resolve) => client.once('end', resolve));
  await client.connect();
  return { ended, query: async (sql) => (await client.query(sql)).rows, close: () => client.end() };
}

export async function logInToMariadb(world: MariadbWorld, leased: Shown): Promise<UserSession> {
  const { port } = world.server;
  const address = { host: '127.0.0.1', port, user: leased.username, database: 'app' };
  const connection = await createConnection({ ...address, ssl: tlsOf(leased) });
  const ended = new Promise<void>((resolve) => {
    connection.on('end', resolve);
    connection.on('error', () => resolve());
  });
  return {
    ended,
    async query(sql) {
      const [rows] = await connection.query(sql);
      return Array.isArray(rows) ? (rows as Record<string, unknown>[]) : [];
    },
    close: () => connection.end(),
  };
}
