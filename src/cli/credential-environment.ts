import { tokenFileSwitch } from './connection.ts';
import type { CredentialFiles } from './credential-files.ts';
import type { Environment } from './screen.ts';

interface Credentials {
  /** Absent for a user that is not leased. */
  readonly lease_id?: string | undefined;
  readonly connection_url: string;
}

/** What the child must not inherit: settings of another user or server would win over what it is given. */
const foreign =
  'PGHOST PGHOSTADDR PGPORT PGUSER PGPASSWORD PGPASSFILE PGDATABASE PGSERVICE PGSSLMODE PGSSLROOTCERT PGSSLCERT PGSSLKEY MYSQL_HOST MYSQL_TCP_PORT MYSQL_PWD MYSQL_USER MYSQL_DATABASE MYSQL_HOME MARIADB_HOME MYSQL_SSL_CERT MYSQL_SSL_KEY MYSQL_SSL_CA MYSQL_OPTION_FILE DATABASE_URL'.split(
    ' ',
  );

/** Our environment with the credentials as the clients of the database look for them. */
export function childEnvironment(
  env: Environment,
  { lease_id, connection_url }: Credentials,
  { keepsToken, files }: { readonly keepsToken: boolean; readonly files: CredentialFiles | undefined },
): Record<string, string> {
  const left = new Set(keepsToken ? foreign : [...foreign, 'CHANCERY_TOKEN', tokenFileSwitch]);
  const inherited = Object.entries(env).filter(([name, value]) => value !== undefined && !left.has(name));
  return {
    ...(Object.fromEntries(inherited) as Record<string, string>),
    ...clientVariables(new URL(connection_url)),
    ...(files && fileVariables(connection_url, files)),
    DATABASE_URL: files === undefined ? connection_url : withFiles(connection_url, files),
    ...(lease_id === undefined ? {} : { CHANCERY_LEASE_ID: lease_id }),
    ...(keepsToken ? {} : { [tokenFileSwitch]: '1' }),
  };
}

/** By the scheme of the URL: libpq's variables (PostgreSQL §34.15), or those that MySQL's and MariaDB's clients know. */
function clientVariables(url: URL): Record<string, string> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const user = decodeURIComponent(url.username);
  const password = decodeURIComponent(url.password);
  const database = decodeURIComponent(url.pathname.slice(1));
  if (url.protocol.startsWith('postgres'))
    return present({
      PGHOST: host,
      PGPORT: url.port,
      PGUSER: user,
      PGPASSWORD: password,
      PGDATABASE: database,
      PGSSLMODE: url.searchParams.get('sslmode') ?? '',
    });
  return present({
    MYSQL_HOST: host,
    MYSQL_TCP_PORT: url.port,
    MYSQL_PWD: password,
    MYSQL_USER: user,
    MYSQL_DATABASE: database,
  });
}

function fileVariables(url: string, given: CredentialFiles) {
  const { folder, certificate = '', key = '', serverCa = '', options = '' } = given;
  if (isPostgres(url)) return present({ PGSSLCERT: certificate, PGSSLKEY: key, PGSSLROOTCERT: serverCa });
  const files = {
    MYSQL_SSL_CERT: certificate,
    MYSQL_SSL_KEY: key,
    MYSQL_SSL_CA: serverCa,
    MYSQL_OPTION_FILE: options,
  };
  return present({ ...files, MYSQL_HOME: folder, MARIADB_HOME: folder });
}

/** libpq takes the files as parameters of the address; for MySQL no two clients agree on such. */
function withFiles(text: string, { certificate = '', key = '', serverCa = '' }: CredentialFiles): string {
  if (!isPostgres(text)) return text;
  const files = present({ sslcert: certificate, sslkey: key, sslrootcert: serverCa });
  const added = Object.entries(files).map(([name, path]) => `${name}=${encodeURIComponent(path)}`);
  return [text, ...added].join(text.includes('?') ? '&' : '?');
}

function isPostgres(url: string): boolean {
  return url.startsWith('postgres');
}

function present(variables: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''));
}
