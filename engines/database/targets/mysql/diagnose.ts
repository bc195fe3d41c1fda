import { type Finding, type Needs, TargetError } from '#database/target.ts';
import { currentUser, globalPrivileges, granteeOf } from './inspect.ts';
import { impliedBy, type Privilege, privileges } from './privileges.ts';
import { account, literal, roleName, splitRole } from './quote.ts';
import { ask, type Row, type Session } from './session.ts';

/** What the administrator lacks, each with the statement that gives it. Privileges that come by roles do not count. */
export async function diagnose(session: Session, needs: Needs): Promise<Finding[]> {
  const me = account(splitRole(await currentUser(session)));
  const held = await globalPrivileges(session);
  const findings: Finding[] = [];
  for (const privilege of privileges[session.flavor]) {
    if (!(await holds(session, privilege, held))) findings.push(lacking(privilege, me));
  }
  for (const role of new Set(needs.memberOf)) findings.push(...(await checkRole(session, role, me, held)));
  return [...findings, ...(await checkAnonymous(session)), ...(await checkServer(session, held))];
}

/** Of several accounts that would do the server takes the one with the most exact host, whether it has a name or not. */
async function checkAnonymous(session: Session): Promise<Finding[]> {
  const sql = "SELECT Host AS host FROM mysql.user WHERE User = '' AND Host <> '' ORDER BY Host LIMIT 20";
  if (!(await allowed(session, sql))) return [];
  return (await ask(session, sql, 'the search for accounts without a name')).map(({ host }) => {
    const anonymous = `''@${literal(String(host))}`;
    const message = `There is an account without a name, ${anonymous}: from there it is taken in place of leased users, whose logins fail.`;
    return { severity: 'advice', message, fix: `DROP USER ${anonymous}` };
  });
}

function lacking({ name, on, severity, purpose }: Privilege, me: string): Finding {
  return {
    severity,
    message: `The administrator lacks ${name} on ${on}, which it needs so that ${purpose}.`,
    fix: `GRANT ${name} ON ${on} TO ${me}`,
  };
}

async function holds(session: Session, privilege: Privilege, held: ReadonlySet<string>): Promise<boolean> {
  if (privilege.probe !== undefined) return allowed(session, privilege.probe);
  const names = [privilege.name, ...(impliedBy[privilege.name] ?? [])];
  if (names.some((name) => held.has(name))) return true;
  if (privilege.on === '*.*') return false;
  const sql =
    'SELECT 1 FROM information_schema.SCHEMA_PRIVILEGES' +
    ` WHERE TABLE_SCHEMA = 'mysql' AND PRIVILEGE_TYPE = ${literal(privilege.name)}` +
    ` AND GRANTEE = ${literal(granteeOf(await currentUser(session)))}`;
  return (await ask(session, sql, 'the list of privileges')).length > 0;
}

async function allowed(session: Session, sql: string): Promise<boolean> {
  try {
    await ask(session, sql, 'a look at the privileges');
    return true;
  } catch (error) {
    if (error instanceof TargetError && (error.kind === 'privilege' || error.kind === 'statement')) return false;
    throw error;
  }
}

async function checkRole(session: Session, role: string, me: string, held: ReadonlySet<string>): Promise<Finding[]> {
  const quoted = roleName(session.flavor, role);
  const { username, host = '%' } = session.flavor === 'mariadb' ? { username: role, host: '' } : splitRole(role);
  const known = `SELECT 1 FROM mysql.user WHERE User = ${literal(username)} AND Host = ${literal(host)}`;
  const can = await allowed(session, known);
  if (can && (await ask(session, known, 'the search for a role')).length === 0) {
    const message = `There is no role ${role}, so that no user can become a member of it.`;
    return [{ severity: 'missing', message, fix: `CREATE ROLE ${quoted}` }];
  }
  return [...(await checkGrantable(session, username, quoted, me, held)), ...(await checkCode(session, role, quoted))];
}

async function checkGrantable(
  session: Session,
  role: string,
  quoted: string,
  me: string,
  held: ReadonlySet<string>,
): Promise<Finding[]> {
  if (held.has('ROLE_ADMIN')) return [];
  const grantable = (row: Row) => row['role'] === role && row['grantable'] === 'YES';
  const rows = await ask(
    session,
    'SELECT ROLE_NAME AS role, IS_GRANTABLE AS grantable FROM information_schema.APPLICABLE_ROLES',
    'the list of roles',
  );
  if (rows.some(grantable)) return [];
  const message = `The administrator may not grant the role ${role}, so that no user can become a member of it.`;
  return [{ severity: 'missing', message, fix: `GRANT ${quoted} TO ${me} WITH ADMIN OPTION` }];
}

/** What lets members make code that acts in their name, and fails for everybody when they are removed. */
const makesCode = ['CREATE VIEW', 'CREATE ROUTINE', 'EVENT', 'TRIGGER', 'ALL PRIVILEGES'];

async function checkCode(session: Session, role: string, quoted: string): Promise<Finding[]> {
  const grants = (await grantsOf(session, quoted)).map((text) => /^GRANT (.+?) ON (.+) TO [`']/.exec(text));
  return grants.flatMap((match) => {
    const [, list = '', on = ''] = match ?? [];
    const held = makesCode.filter((name) => list.split(', ').includes(name));
    if (held.length === 0) return [];
    const names = held.includes('ALL PRIVILEGES') ? makesCode.slice(0, -1) : held;
    const message =
      `Members of ${role} may make views, routines, events or triggers on ${on}: these act in the member's name, ` +
      'so that they fail, and what uses them, when it is removed.';
    return [{ severity: 'advice' as const, message, fix: `REVOKE ${names.join(', ')} ON ${on} FROM ${quoted}` }];
  });
}

/** None when they may not be seen. MariaDB shows those of a role to whoever has taken it on. */
async function grantsOf(session: Session, quoted: string): Promise<string[]> {
  const takesOn = session.flavor === 'mariadb' && (await allowed(session, `SET ROLE ${quoted}`));
  const sql = `SHOW GRANTS FOR ${quoted}`;
  const rows = (await allowed(session, sql)) ? await ask(session, sql, 'the grants of a role') : [];
  if (takesOn) await ask(session, 'SET ROLE NONE', 'the end of a role');
  return rows.map((row) => String(Object.values(row)[0]));
}

/** Settings of the server that are in the way. */
async function checkServer(session: Session, held: ReadonlySet<string>): Promise<Finding[]> {
  const rows = await ask(
    session,
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'strict_password_validation', 'wsrep_on')",
    'the settings of the server',
  );
  const on = new Set(rows.filter((row) => row['Value'] === 'ON').map((row) => String(row['Variable_name'])));
  const findings: Finding[] = [];
  if (on.has('read_only') && !held.has('READ ONLY ADMIN') && !held.has('SUPER')) {
    const message = 'The server is read-only, as replicas are, so that no user can be made or dropped.';
    findings.push({ severity: 'missing', message, fix: 'SET GLOBAL read_only = OFF' });
  }
  if (on.has('strict_password_validation') && (await validatesPasswords(session))) {
    const message =
      'The server has a password validation plugin and refuses password hashes, which is all that it is ever sent.';
    findings.push({ severity: 'missing', message, fix: 'SET GLOBAL strict_password_validation = OFF' });
  }
  if (on.has('wsrep_on')) {
    const message = 'This is a node of a Galera cluster: sessions can be found and ended on this node only.';
    findings.push({ severity: 'advice', message, fix: '-- let leased users connect to this node only' });
  }
  if (held.has('SUPER')) {
    const message = 'The administrator may do everything; one with the rights that are needed would be better.';
    findings.push({ severity: 'advice', message, fix: '-- run the script of admin-setup and use that account' });
  }
  return findings;
}

async function validatesPasswords(session: Session): Promise<boolean> {
  const sql =
    "SELECT 1 FROM information_schema.PLUGINS WHERE PLUGIN_TYPE = 'PASSWORD VALIDATION' AND PLUGIN_STATUS = 'ACTIVE'";
  return (await ask(session, sql, 'the list of plugins')).length > 0;
}
