import type { AdminSetupOptions } from '#database/target.ts';
import { identifier, literal } from './quote.ts';

/**
 * The script of least privilege, for PostgreSQL 13 to 18, to be run once by a superuser; running it again does no harm.
 * The groups and the owner must be there. The administrator is no superuser, cannot read what the groups read (from
 * PostgreSQL 16 on) and needs no pg_signal_backend: it becomes a member of a leased user when it revokes it.
 */
export function adminSetup(options: AdminSetupOptions): string {
  const admin = identifier(options.username);
  const granted = [...new Set([...options.memberOf, ...(options.actAs === undefined ? [] : [options.actAs])])];
  const grants = [
    ...granted.map((role) => grant(identifier(role), admin, 'ADMIN TRUE, INHERIT FALSE, SET FALSE', false)),
    ...(options.reassignTo === undefined
      ? []
      : [grant(identifier(options.reassignTo), admin, 'INHERIT TRUE, SET TRUE', true)]),
  ];
  const body = `
DECLARE
  modern boolean := pg_catalog.current_setting('server_version_num')::int >= 160000;
  place record;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = ${literal(options.username)}) THEN
    CREATE ROLE ${admin};
  END IF;
  ALTER ROLE ${admin} LOGIN CREATEROLE INHERIT NOSUPERUSER NOCREATEDB NOREPLICATION NOBYPASSRLS;
${grants.join('\n')}
  -- To remove what leased users own, wherever that is.
  FOR place IN SELECT datname FROM pg_catalog.pg_database
    WHERE datallowconn AND NOT pg_catalog.has_database_privilege(${literal(options.username)}, oid, 'CONNECT')
  LOOP
    EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %s', place.datname, ${literal(admin)});
  END LOOP;
END
`;
  const tag = dollarTag(body);
  return [
    '-- The administrator of Chancery on this server. Run it as a superuser, in any database.',
    '-- Then set a password, so that it stands in no log: \\password <the role> in psql.',
    `DO ${tag}${body}${tag};`,
    ...queryHardening,
    '',
  ].join('\n');
}

/**
 * Not run by itself, since it takes something from everybody, and in one database only. What the function writes is not taken
 * back when its transaction is, nor refused in one that is READ ONLY (PostgreSQL §9.28.6). Its signature differs by version.
 */
const queryHardening = [
  '-- Where agents query (database.run_query): run this too, in each of those databases. It takes from everybody but superusers,',
  '-- and those to whom you grant it again, a function that fills the write-ahead log, whatever a transaction may write.',
  '/*',
  'DO $query$',
  'DECLARE f regprocedure;',
  'BEGIN',
  '  FOR f IN SELECT oid FROM pg_catalog.pg_proc',
  "    WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = 'pg_logical_emit_message'",
  '  LOOP',
  "    EXECUTE pg_catalog.format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);",
  '  END LOOP;',
  'END $query$;',
  '*/',
];

/** Until PostgreSQL 15, CREATEROLE grants every role that is no superuser; only what it inherits must be given. */
function grant(role: string, admin: string, options: string, before16: boolean): string {
  return `  IF modern THEN
    EXECUTE ${literal(`GRANT ${role} TO ${admin} WITH ${options}`)};${before16 ? `\n  ELSE\n    GRANT ${role} TO ${admin};` : ''}
  END IF;`;
}

/** A tag for the body of DO that does not stand in it: names may hold anything. */
function dollarTag(body: string): string {
  let number = 0;
  while (body.includes(`$chancery${number}$`)) number++;
  return `$chancery${number}$`;
}
