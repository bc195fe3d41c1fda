import { TargetError } from '#database/target.ts';
import type { Residue } from '#lease/contract.ts';
import { adminDatabase, type Connections, type Row, type Session } from './connection.ts';
import { sqlState, sqlStates } from './errors.ts';
import { identifier, literal } from './quote.ts';
import type { Target } from './revoke.ts';

/**
 * What a user has in the databases of a server: objects, grants, default privileges, policies, large objects, prepared
 * transactions. pg_shdepend, shared by all databases, says where; only there we go.
 */

/** At most so many things are named in a report. */
const longestReport = 100;

interface Place {
  readonly database: string;
  readonly open: boolean;
  readonly dependencies: number;
  readonly prepared: readonly string[];
}

/** Empties each database of it, one after the other. What fails in one does not keep the others from being done. */
export async function clearDatabases(connections: Connections, session: Session, target: Target): Promise<Residue[]> {
  const residue: Residue[] = [];
  for (const place of await findPlaces(connections, session, target))
    residue.push(...(await clearDatabase(connections, session, target, place)));
  return residue.slice(0, longestReport);
}

/** What keeps the user from being dropped after all that, database by database. */
export async function describeOwned(connections: Connections, session: Session, target: Target): Promise<Residue[]> {
  const residue: Residue[] = [];
  const reason = `The user still has it, and ${connections.settings.username} may not take it away.`;
  for (const { database } of await findPlaces(connections, session, target))
    residue.push(...(await within(connections, session, database, (visit) => listOwned(visit, target, reason))));
  return residue.length > 0 ? residue.slice(0, longestReport) : [unknownResidue];
}

const unknownResidue: Residue = {
  place: 'server',
  object: 'role',
  reason: 'Something came to depend on it meanwhile; the next attempt will see it.',
};

/**
 * Shared things (grants on a database, the ownership of one) count for the database of the administrator, since they
 * can be dealt with from anywhere.
 */
async function findPlaces(connections: Connections, session: Session, target: Target): Promise<Place[]> {
  const rows = await session.query(
    `WITH role AS (SELECT oid FROM pg_roles WHERE rolname = $1),
      owned AS (
        SELECT coalesce(d.datname, $2) AS database, count(*) AS dependencies
        FROM pg_shdepend AS s LEFT JOIN pg_database AS d ON d.oid = s.dbid
        WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = (SELECT oid FROM role) GROUP BY 1),
      prepared AS (SELECT database, array_agg(gid ORDER BY gid) AS gids FROM pg_prepared_xacts WHERE owner = $1 GROUP BY 1)
    SELECT database, dependencies::int, gids, (SELECT datallowconn FROM pg_database WHERE datname = database) AS open
    FROM owned FULL JOIN prepared USING (database) ORDER BY database`,
    [target.username, adminDatabase(connections.settings)],
  );
  return rows.map((row) => ({
    database: String(row['database']),
    open: row['open'] === true,
    dependencies: Number(row['dependencies'] ?? 0),
    prepared: (row['gids'] as string[] | null) ?? [],
  }));
}

async function clearDatabase(
  connections: Connections,
  session: Session,
  target: Target,
  place: Place,
): Promise<Residue[]> {
  if (!place.open) return closedDatabase(session, target, place);
  try {
    return await within(connections, session, place.database, async (visit) => [
      ...(await rollBackPrepared(visit, target, place)),
      ...(await dropOwned(visit, target)),
    ]);
  } catch (error) {
    if (!(error instanceof TargetError) || error.outcome === 'unknown') throw error;
    // Dropped meanwhile, with everything that was in it.
    if (sqlState(error) === sqlStates.undefinedDatabase) return [];
    if (error.kind === 'unreachable') throw error;
    return [unvisited(connections, place, error)];
  }
}

/** The administrator's own connection where it is that database, else one for this visit. */
function within<T>(
  connections: Connections,
  session: Session,
  database: string,
  task: (visit: Session) => Promise<T>,
): Promise<T> {
  return database === adminDatabase(connections.settings) ? task(session) : connections.useDatabase(database, task);
}

function unvisited(connections: Connections, place: Place, error: TargetError): Residue {
  const { username } = connections.settings;
  const help =
    error.kind === 'privilege'
      ? ` Run: GRANT CONNECT ON DATABASE ${identifier(place.database)} TO ${identifier(username)}`
      : '';
  return {
    place: place.database,
    object: `${place.dependencies} objects or grants, ${place.prepared.length} prepared transactions`,
    reason: `${username} cannot work in the database. ${error.message}${help}`,
  };
}

/** In a database that lets nobody in, only the numbers of things can be seen. */
async function closedDatabase(session: Session, target: Target, place: Place): Promise<Residue[]> {
  const reason = `The database allows no connections. Run: ALTER DATABASE ${identifier(place.database)} ALLOW_CONNECTIONS true`;
  const rows = await session.query(
    `SELECT classid::regclass::text AS class, objid::text FROM pg_shdepend
    WHERE refclassid = 'pg_authid'::regclass AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = $1)
      AND dbid = (SELECT oid FROM pg_database WHERE datname = $2) ORDER BY 1, 2 LIMIT ${longestReport}`,
    [target.username, place.database],
  );
  const objects = rows.map((row) => `${String(row['class'])} ${String(row['objid'])}`);
  const prepared = place.prepared.map((gid) => `prepared transaction ${gid}`);
  return [...objects, ...prepared].map((object) => ({ place: place.database, object, reason }));
}

/** A prepared transaction outlives its session and its user, and holds its locks. Only its owner may end it. */
async function rollBackPrepared(visit: Session, target: Target, place: Place): Promise<Residue[]> {
  if (place.prepared.length === 0) return [];
  const residue: Residue[] = [];
  const left = (gid: string, error: unknown) => {
    if (!(error instanceof TargetError) || error.outcome === 'unknown') throw error;
    // Ended by somebody else meanwhile.
    if (sqlState(error) === sqlStates.undefinedObject) return;
    const reason = `${error.message} Run there as a superuser: ROLLBACK PREPARED ${literal(gid)}`;
    residue.push({ place: place.database, object: `prepared transaction ${gid}`, reason });
  };
  try {
    if (!visit.server.superuser) await visit.script(`SET ROLE ${target.name}`);
    for (const gid of place.prepared)
      await visit.script(`ROLLBACK PREPARED ${literal(gid)}`).catch((error: unknown) => left(gid, error));
  } catch (error) {
    for (const gid of place.prepared) left(gid, error);
  } finally {
    if (!visit.server.superuser) await visit.script('RESET ROLE').catch(() => visit.discard());
  }
  return residue;
}

/**
 * REASSIGN OWNED leaves grants and default privileges alone, which DROP OWNED takes away. Two transactions, so that
 * what one has done stays done. Without CASCADE: what others have built upon it is not ours to destroy.
 */
async function dropOwned(visit: Session, target: Target): Promise<Residue[]> {
  const steps = [
    ...(target.reassignTo === undefined
      ? []
      : [`REASSIGN OWNED BY ${target.name} TO ${identifier(target.reassignTo)}`]),
    `DROP OWNED BY ${target.name}`,
  ];
  try {
    await visit.script(steps.map((step) => `BEGIN; ${step}; COMMIT`).join('; '), { patience: steps.length });
    return [];
  } catch (error) {
    if (!(error instanceof TargetError) || error.outcome === 'unknown') throw error;
    const residue = await listOwned(visit, target, `${error.message}${reassignAdvice(error, target)}`);
    return residue.length > 0 ? residue : [{ place: 'server', object: 'role', reason: error.message }];
  }
}

/** The new owner of what is no table must be allowed to make it there (src/backend/commands/alter.c). */
function reassignAdvice(error: TargetError, { reassignTo }: Target): string {
  if (error.kind !== 'privilege' || reassignTo === undefined) return '';
  return ` Run there: GRANT CREATE ON SCHEMA the_schema TO ${identifier(reassignTo)}`;
}

const dependencyKinds: Readonly<Record<string, string>> = {
  a: 'a grant on ',
  r: 'a policy on ',
  i: 'an initial grant on ',
};

/** What the user has in the database of this session, by name. */
async function listOwned(visit: Session, target: Target, reason: string): Promise<Residue[]> {
  const rows: Row[] = await visit.query(
    `SELECT current_database() AS place, deptype::text AS kind, o.type, o.identity
    FROM pg_shdepend AS s, pg_identify_object(s.classid, s.objid, s.objsubid) AS o
    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = $1)
      AND s.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    ORDER BY o.type, o.identity LIMIT ${longestReport}`,
    [target.username],
  );
  return rows.map((row) => ({
    place: String(row['place']),
    object: `${dependencyKinds[String(row['kind'])] ?? ''}${String(row['type'])} ${String(row['identity'])}`,
    reason,
  }));
}
