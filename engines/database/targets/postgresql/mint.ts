import { scramVerifier } from '#database/password.ts';
import { parseStatement, renderStatement } from '#database/statement.ts';
import { type NewUser, TargetError, type UserName } from '#database/target.ts';
import type { Connections, ServerTraits, Session } from './connection.ts';
import { identifier, identifiers, integer, literal, timestamp } from './quote.ts';
import { lockUserHere } from './user-lock.ts';

/**
 * Makes a user. The preset is one message, hence one round trip. Rights come by membership in group roles: direct grants
 * would fill the ACL of every table until nobody can be granted anything (vault#13388).
 */
export async function createUser(connections: Connections, user: NewUser): Promise<void> {
  const names = presetParts(user);
  const early = await verifierOf(user.credential, connections.server());
  await connections.use(async (session) => {
    const verifier = early ?? (await verifierOf(user.credential, session.server));
    if (user.statements.length > 0)
      return runStatements(session, user, verifier, 2 * connections.settings.statementTimeout);
    const script = presetScript(user, names, verifier);
    await session.script(script, { secrets: secretsOf(verifier), patience: 2 }).catch((error: unknown) => {
      throw mayBeHalfMade(error);
    });
  });
}

/** What stops the first transaction leaves nothing; a limit of time may have stopped the second. */
function mayBeHalfMade(error: unknown): unknown {
  if (!(error instanceof TargetError) || error.kind !== 'timeout') return error;
  return new TargetError(error.kind, error.message, { outcome: 'unknown', cause: error.cause });
}

type Parts = ReturnType<typeof presetParts>;

/** Quotes everything before a connection is taken, so that a name that cannot be costs nothing. */
function presetParts(user: NewUser) {
  const groups = [...new Set([...user.memberOf, ...(user.actAs === undefined ? [] : [user.actAs])])];
  return {
    name: identifier(user.username),
    groups: identifiers(groups),
    actAs: user.actAs === undefined ? undefined : literal(user.actAs),
    validUntil: timestamp(user.expiresAt),
  };
}

/**
 * Two transactions. A grant keeps all other grants of the same group waiting until its commit (AddRoleMems in
 * src/backend/commands/user.c), so that commit does not wait for the disk. The second, which makes the role one that can
 * log in, does, and what it flushes includes the first. Between them there is a role that nobody can use.
 * What is not named is off: SUPERUSER, CREATEDB, CREATEROLE …
 */
function presetScript(user: NewUser, { name, groups, actAs, validUntil }: Parts, verifier: string | undefined): string {
  const settings: [string, string | undefined][] = [
    ['role', actAs],
    ['statement_timeout', milliseconds(user.statementTimeout)],
    ['idle_in_transaction_session_timeout', milliseconds(user.idleInTransactionTimeout)],
  ];
  const set = settings.filter(([, value]) => value !== undefined);
  const limit = user.connectionLimit === undefined ? '' : ` CONNECTION LIMIT ${integer(user.connectionLimit)}`;
  return [
    'BEGIN',
    'SET LOCAL synchronous_commit = off',
    `CREATE ROLE ${name} NOLOGIN INHERIT${limit}${groups === '' ? '' : ` IN ROLE ${groups}`}`,
    ...set.map(([setting, value]) => `ALTER ROLE ${name} SET ${setting} = ${value}`),
    'COMMIT',
    `ALTER ROLE ${name} LOGIN PASSWORD ${verifier === undefined ? 'NULL' : literal(verifier)} VALID UNTIL ${validUntil}`,
  ].join('; ');
}

function milliseconds(seconds: number | undefined): string | undefined {
  return seconds === undefined ? undefined : integer(Math.round(seconds * 1000));
}

/** Each entry is a message of its own, all of them one transaction, begun within `budget` milliseconds. */
async function runStatements(
  session: Session,
  user: NewUser,
  verifier: string | undefined,
  budget: number,
): Promise<void> {
  const deadline = performance.now() + budget;
  const scripts = user.statements.map((text) =>
    renderStatement(parseStatement(text, 'postgresql', 'creation'), {
      name: user.username,
      password: verifier,
      expiration: new Date(user.expiresAt).toISOString(),
    }),
  );
  const secrets = secretsOf(verifier);
  await session.script('BEGIN');
  try {
    for (const [index, script] of scripts.entries()) {
      if (performance.now() > deadline) throw new TargetError('timeout', 'The creation statements take too long.');
      await session.script(script, { secrets });
      if (session.inTransaction()) continue;
      throw new TargetError('statement', `Creation statement ${index + 1} ends the transaction.`, {
        outcome: 'unknown',
        hint: 'Leave out COMMIT and ROLLBACK: all statements are one transaction.',
      });
    }
    await session.script('COMMIT');
  } catch (error) {
    await session.script('ROLLBACK').catch(() => undefined);
    throw error;
  } finally {
    await session.reset().catch(() => session.discard());
  }
}

/** Gives an existing user another password, as a verifier. */
export async function setPassword(connections: Connections, user: UserName, password: string): Promise<void> {
  const name = identifier(user.username);
  await connections.use(async (session) => {
    await refuseWithoutLogin(session, user.username);
    const verifier = await verifierOf({ kind: 'password', password }, session.server);
    await session.script(`ALTER ROLE ${name} PASSWORD ${literal(verifier ?? '')}`, { secrets: secretsOf(verifier) });
  });
}

/** A password by which nobody could log in would be lost work, and the old one with it: so nothing is changed. */
async function refuseWithoutLogin(session: Session, username: string): Promise<void> {
  const [row] = await session.query(
    `SELECT rolcanlogin AS login, coalesce(rolvaliduntil <= clock_timestamp(), false) AS expired,
      rolconnlimit = 0 AND NOT rolsuper AS barred
    FROM pg_roles WHERE rolname = $1`,
    [username],
  );
  if (row === undefined) return;
  const found =
    (row['login'] === false && ['is NOLOGIN', 'LOGIN']) ||
    (row['expired'] === true && ['has a VALID UNTIL in the past', "VALID UNTIL 'infinity'"]) ||
    (row['barred'] === true && ['has a CONNECTION LIMIT of 0', 'CONNECTION LIMIT -1']);
  if (!found) return;
  throw new TargetError('statement', `The user ${username} ${found[0]}, so no login could work: nothing was changed.`, {
    hint: `End that first, as by ALTER ROLE ${identifier(username)} ${found[1]}, and try again.`,
  });
}

/**
 * `VALID UNTIL` again, in one message, hence one transaction. A user that is being revoked is waited for; where it is then
 * still there it stays locked, since only the time changes.
 */
export async function extendUser(connections: Connections, user: UserName, expiresAt: number): Promise<void> {
  const sql = `${lockUserHere(user.username)};
    ALTER ROLE ${identifier(user.username)} VALID UNTIL ${timestamp(expiresAt)}`;
  await connections.use((session) => session.script(sql, { patience: 2 }));
}

/** Made before a connection is taken where the server is known, since it costs milliseconds; undefined where not. */
async function verifierOf(
  credential: NewUser['credential'],
  server: ServerTraits | undefined,
): Promise<string | undefined> {
  if (credential.kind === 'certificate' || server === undefined) return undefined;
  try {
    return await scramVerifier(credential.password, server.scramIterations);
  } catch (error) {
    throw new TargetError('statement', 'The password is not printable ASCII.', { cause: error });
  }
}

function secretsOf(verifier: string | undefined): string[] {
  return verifier === undefined ? [] : [verifier];
}
