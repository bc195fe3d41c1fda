import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, DatabaseError } from 'pg';
import { type PostgresServer, startPostgres } from '#test/postgres.ts';
import { expect, type Screen } from './screen.ts';
import type { Server } from './server.ts';

/** Seconds that the user lives. */
const life = 4;

interface Parts {
  readonly screen: Screen;
  readonly server: Server;
  /** Told what there is to clean up. */
  readonly undo: (undo: () => unknown) => void;
}

interface Leased {
  readonly username: string;
  readonly url: string;
  readonly leaseId: string;
  readonly expiresAt: string;
}

/**
 * The life of one database user: leased, used, refused what its role does not allow, and gone with its session. False
 * when there is no PostgreSQL that could be started here, which is said.
 */
export async function leaseADatabaseUser({ screen, server, undo }: Parts): Promise<boolean> {
  screen.heading('A database user');
  const database = await openTheDatabase(screen, undo);
  if (database === undefined) return false;
  await introduce(screen, server, database);
  const leased = await lease(screen, server);
  const session = await logIn(screen, leased);
  undo(() => session.client.end().catch(() => undefined));
  await overstep(screen, session.client);
  await expire(screen, leased, session, database);
  await closeTheDatabase(screen, database);
  return true;
}

async function openTheDatabase(screen: Screen, undo: Parts['undo']): Promise<PostgresServer | undefined> {
  let opened: PostgresServer | undefined;
  await screen.step('starting a PostgreSQL', async () => {
    try {
      opened = await startPostgres();
    } catch (error) {
      return `No PostgreSQL could be started here, so this part is left out: ${(error as Error).message}`;
    }
    const database = opened;
    undo(() => database.stop());
    await asSuperuser(database, [
      'CREATE ROLE readers NOLOGIN',
      'CREATE TABLE customers (name text)',
      `INSERT INTO customers VALUES ('Ada'), ('Grace')`,
      'GRANT SELECT ON customers TO readers',
    ]);
    return `Started PostgreSQL ${database.version}, with a table that the group readers may read.`;
  });
  return opened;
}

/** The administrator that Chancery works as is no superuser: the script says exactly what it needs. */
async function introduce(screen: Screen, server: Server, database: PostgresServer): Promise<void> {
  const password = randomBytes(18).toString('base64url');
  await screen.step('making an administrator of least privilege', async () => {
    const { script } = await server.ok('database/admin-setup', { engine: 'postgresql', member_of: ['readers'] });
    await asSuperuser(database, [script, `ALTER ROLE chancery PASSWORD '${password}'`]);
    const address = { host: '127.0.0.1', port: database.port, database: 'postgres', username: 'chancery', password };
    await server.ok('database/connections', { name: 'shop', engine: 'postgresql', ...address });
    const { rotated_at: rotated } = await server.ok('database/connections/shop/rotate-root', {});
    expect(typeof rotated === 'string', 'The server does not say when it replaced the password.');
    return 'Ran the script of database admin-setup, and gave the administrator to Chancery.\nIts password was replaced at once: nobody but Chancery knows it now.';
  });
  await screen.step('making a role', async () => {
    const role = { name: 'readonly', connection: 'shop', member_of: ['readers'], default_ttl: life, max_ttl: '1h' };
    await server.ok('database/roles', role);
    return 'Made the role readonly. Saving it leased a user, logged in as it, revoked it and saw it gone.';
  });
}

async function lease(screen: Screen, server: Server): Promise<Leased> {
  let leased: Leased | undefined;
  await screen.step('leasing a user', async () => {
    const purpose = 'to look who our customers are';
    const answer = await server.ok('database/roles/readonly/credentials', { purpose });
    const { username, connection_url: url, lease_id: leaseId, expires_at: expiresAt } = answer;
    leased = { username, url, leaseId, expiresAt };
    return `Was leased ${username} until ${expiresAt}.\nPostgreSQL was given a SCRAM verifier: the password is in no table and no log.`;
  });
  expect(leased !== undefined, 'No user was leased.');
  return leased;
}

interface Session {
  readonly client: Client;
  /** When the server ended it, and with which SQLSTATE. */
  readonly ended: Promise<string>;
}

async function logIn(screen: Screen, { url, username }: Leased): Promise<Session> {
  const client = new Client({ connectionString: url });
  const ended = new Promise<string>((resolve) =>
    client.on('error', (error) => resolve((error as { code?: string }).code ?? error.message)),
  );
  await screen.step('logging in', async () => {
    await client.connect();
    const { rows } = await client.query<{ who: string; names: string }>(
      `SELECT current_user AS who, string_agg(name, ', ' ORDER BY name) AS names FROM customers`,
    );
    expect(rows[0]?.who === username, `The session is of ${rows[0]?.who}, not of ${username}.`);
    return `Logged in as it with pg, and read: ${rows[0].names}. The session stays open.`;
  });
  return { client, ended };
}

async function overstep(screen: Screen, client: Client): Promise<void> {
  await screen.step('writing', async () => {
    const answer = await client.query(`INSERT INTO customers VALUES ('Mallory')`).catch((error: unknown) => error);
    expect(answer instanceof DatabaseError, 'The user could write, which its role does not allow.');
    expect(answer.code === '42501', `Writing failed for another reason: ${answer.message}.`);
    return `Was refused when it tried to write: ${answer.message} (${answer.code}).`;
  });
}

async function expire(screen: Screen, leased: Leased, session: Session, database: PostgresServer): Promise<void> {
  await screen.step(`waiting for ${leased.expiresAt}`, async () => {
    const code = await Promise.race([session.ended, sleep(30_000, 'no error', { ref: false })]);
    const late = Date.now() - Date.parse(leased.expiresAt);
    expect(code === '57P01', `The open session should have been ended by the administrator (57P01), but: ${code}.`);
    expect(late >= 0, `The session was ended ${-late} ms before its time.`);
    return `Its open session was ended ${late} ms after the lease: admin_shutdown (57P01).`;
  });
  await screen.step('looking for the user', async () => {
    for (const patience = Date.now() + 10_000; ; await sleep(50)) {
      const left = await usersOf(database);
      if (left.length === 0) break;
      expect(Date.now() < patience, `The user is still there: ${left.join(', ')}.`);
    }
    const client = new Client({ connectionString: leased.url });
    const refusal = await client.connect().then(
      () => 'none',
      (error: unknown) => (error as { code?: string }).code ?? String(error),
    );
    expect(refusal === '28P01' || refusal === '28000', `Logging in again was answered with ${refusal}.`);
    return `The user is gone from PostgreSQL, and logging in again is refused (${refusal}).`;
  });
}

async function closeTheDatabase(screen: Screen, database: PostgresServer): Promise<void> {
  await screen.step('stopping PostgreSQL', async () => {
    await database.stop();
    return 'Stopped PostgreSQL and removed its data.';
  });
}

async function usersOf(database: PostgresServer): Promise<string[]> {
  const client = new Client({ connectionString: database.url() });
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string }>(
      `SELECT rolname AS name FROM pg_roles WHERE rolname LIKE 'chy\\_%'`,
    );
    return rows.map((row) => row.name);
  } finally {
    await client.end();
  }
}

async function asSuperuser(database: PostgresServer, scripts: readonly string[]): Promise<void> {
  const client = new Client({ connectionString: database.url() });
  await client.connect();
  try {
    for (const script of scripts) await client.query(script);
  } finally {
    await client.end();
  }
}
