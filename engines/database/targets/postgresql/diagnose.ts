import type { Finding, Needs } from '#database/target.ts';
import type { Connections, Row, Session } from './connection.ts';
import { identifier } from './quote.ts';

/** What the administrator lacks to mint and revoke with these roles, each with the statement that gives it. */
export function diagnose(connections: Connections, needs: Needs): Promise<readonly Finding[]> {
  const admin = identifier(connections.settings.username);
  return connections.use(async (session) => {
    const self = await ownRights(session);
    const powers = await powerFindings(session, needs);
    if (self['rolsuper'] === true) return [superuserAdvice(admin), ...(await missingRoles(session, needs)), ...powers];
    const grants: Finding[] = [];
    for (const [role, wanted] of wantedRoles(needs)) grants.push(...(await roleFindings(session, role, wanted, admin)));
    const others = [...powers, ...(await crowdFindings(session)), ...(await databaseFindings(session, admin))];
    return [...ownFindings(self, admin), ...grants, ...others];
  });
}

/** What a role is needed for. */
interface Wanted {
  /** To be given to leased users. */
  granting: boolean;
  /** To be given what they own. */
  owning: boolean;
}

function wantedRoles(needs: Needs): Map<string, Wanted> {
  const roles = new Map<string, Wanted>();
  const want = (role: string) => {
    const wanted = roles.get(role) ?? { granting: false, owning: false };
    roles.set(role, wanted);
    return wanted;
  };
  for (const role of needs.memberOf) want(role).granting = true;
  if (needs.actAs !== undefined) want(needs.actAs).granting = true;
  if (needs.reassignTo !== undefined) want(needs.reassignTo).owning = true;
  return roles;
}

async function ownRights(session: Session): Promise<Row> {
  const rows = await session.query(
    'SELECT rolsuper, rolcreaterole, rolinherit FROM pg_roles WHERE rolname = current_user',
  );
  return rows[0] ?? {};
}

function superuserAdvice(admin: string): Finding {
  return {
    severity: 'advice',
    message: 'The administrator is a superuser, which is far more than minting and revoking need.',
    fix: `ALTER ROLE ${admin} NOSUPERUSER CREATEROLE; -- then check again: what it lacks will be named`,
  };
}

function ownFindings(self: Row, admin: string): Finding[] {
  const findings: Finding[] = [];
  if (self['rolcreaterole'] !== true)
    findings.push(
      missing('The administrator may not make roles, so nothing can be minted.', `ALTER ROLE ${admin} CREATEROLE`),
    );
  if (self['rolinherit'] !== true) {
    findings.push(
      missing(
        'The administrator does not inherit rights, so it cannot drop what users own.',
        `ALTER ROLE ${admin} INHERIT`,
      ),
    );
  }
  return findings;
}

/** Roles that one administrator has made and that live, from which on making another takes noticeably longer. */
const crowded = 2000;

/**
 * From PostgreSQL 16 on whoever makes a role becomes a member of it, and the server goes through all of its memberships at
 * each CREATE, ALTER and DROP ROLE (roles_is_member_of in src/backend/utils/adt/acl.c). Only a superuser could take that
 * membership away, and then the role could not be dropped.
 */
async function crowdFindings(session: Session): Promise<Finding[]> {
  if (session.server.major < 16) return [];
  const [row] = await session.query(
    `SELECT count(*)::int AS members FROM pg_auth_members
    WHERE member = (SELECT oid FROM pg_roles WHERE rolname = current_user)`,
  );
  const members = Number(row?.['members']);
  if (members < crowded) return [];
  return [
    {
      severity: 'advice',
      message: `The administrator has made ${members} roles that live, and from PostgreSQL 16 on each of them makes leasing and revoking slower.`,
      fix: '-- spread the roles over several connections to this server, each with an administrator of its own',
    },
  ];
}

function missing(message: string, fix: string): Finding {
  return { severity: 'missing', message, fix };
}

async function missingRoles(session: Session, needs: Needs): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const role of wantedRoles(needs).keys()) if (!(await readRole(session, role))) findings.push(noSuchRole(role));
  return findings;
}

function noSuchRole(role: string): Finding {
  return missing(`There is no role ${role}.`, `CREATE ROLE ${identifier(role)} NOLOGIN`);
}

async function readRole(session: Session, role: string): Promise<Row | undefined> {
  const rows = await session.query(
    `SELECT rolsuper, pg_has_role(current_user, oid, 'MEMBER') AS member, pg_has_role(current_user, oid, 'USAGE') AS usage,
      pg_has_role(current_user, oid, 'MEMBER WITH ADMIN OPTION') AS admin,
      pg_has_role(current_user, oid, $2) AS settable
    FROM pg_roles WHERE rolname = $1`,
    // The privilege SET is of PostgreSQL 16; before, every member may.
    [role, session.server.major >= 16 ? 'SET' : 'MEMBER'],
  );
  return rows[0];
}

/**
 * Until PostgreSQL 15, CREATEROLE grants any role that is no superuser. From 16 on it takes ADMIN OPTION. To give
 * objects to a role takes its rights, and SET for what is no table (src/backend/commands/alter.c).
 */
async function roleFindings(session: Session, role: string, wanted: Wanted, admin: string): Promise<Finding[]> {
  const has = await readRole(session, role);
  if (has === undefined) return [noSuchRole(role)];
  const name = identifier(role);
  // No statement helps there; powerFindings says what does.
  if (has['rolsuper'] === true) return [];
  const modern = session.server.major >= 16;
  const findings: Finding[] = [];
  if (wanted.granting && modern && has['admin'] !== true) {
    findings.push(
      missing(
        `The administrator may not grant ${role} to users, so minting fails.`,
        `GRANT ${name} TO ${admin} WITH ADMIN TRUE${wanted.owning ? '' : ', INHERIT FALSE, SET FALSE'}`,
      ),
    );
  }
  if (wanted.owning && (has['usage'] !== true || has['settable'] !== true)) {
    findings.push(
      missing(
        `The administrator may not give objects to ${role}, so users that own something cannot be revoked.`,
        `GRANT ${name} TO ${admin}${modern ? ' WITH INHERIT TRUE, SET TRUE' : ''}`,
      ),
    );
  }
  return findings;
}

/** What reaches outside of what was granted: programs and files of the server. */
const outsideRoles = ['pg_execute_server_program', 'pg_write_server_files', 'pg_read_server_files'];

/**
 * What leased users could become by SET ROLE, through groups of groups. Whoever may make roles, or is a superuser, makes
 * what outlives the lease; as the administrator of the connection it would be Chancery itself.
 */
async function powerFindings(session: Session, needs: Needs): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const [group, { granting }] of wantedRoles(needs)) {
    if (!granting) continue;
    const rows = await session.query(
      `WITH RECURSIVE reached AS (
        SELECT oid FROM pg_roles WHERE rolname = $1
        UNION SELECT m.roleid FROM pg_auth_members AS m JOIN reached ON m.member = reached.oid)
      SELECT rolname, rolsuper, rolcreaterole, rolname = current_user AS self, rolname = ANY ($2) AS outside
      FROM pg_roles JOIN reached USING (oid)
      WHERE rolsuper OR rolcreaterole OR rolname = current_user OR rolname = ANY ($2) ORDER BY rolname LIMIT 20`,
      [group, outsideRoles],
    );
    findings.push(...rows.map((row) => powerFinding(group, row)));
  }
  return findings;
}

function powerFinding(group: string, row: Row): Finding {
  const power = String(row['rolname']);
  const what =
    row['self'] === true
      ? 'the administrator of this connection'
      : row['rolsuper'] === true
        ? 'a superuser'
        : row['rolcreaterole'] === true
          ? 'a maker of roles'
          : 'allowed to reach files or programs of the server';
  const through =
    power === group ? `The role ${group} is ${what}` : `The role ${group} is a member of ${power}, which is ${what}`;
  const strong = row['outside'] !== true;
  return {
    severity: strong ? 'missing' : 'advice',
    message: strong
      ? `${through}: leased users could make what outlives them.`
      : `${through}, and so are leased users.`,
    fix: `-- choose another group than ${identifier(group)} for them`,
  };
}

/** A user that owns something where the administrator cannot go can be locked, but not dropped. */
async function databaseFindings(session: Session, admin: string): Promise<Finding[]> {
  const rows = await session.query(
    `SELECT datname FROM pg_database WHERE datallowconn AND NOT has_database_privilege(oid, 'CONNECT') ORDER BY 1 LIMIT 50`,
  );
  return rows.map((row) => ({
    severity: 'advice',
    message: `The administrator may not connect to the database ${String(row['datname'])}, so what users own there cannot be removed.`,
    fix: `GRANT CONNECT ON DATABASE ${identifier(String(row['datname']))} TO ${admin}`,
  }));
}
