import type { Environment } from './screen.ts';

interface Credentials {
  readonly lease_id: string;
  readonly connection_url: string;
}

/** What the child must not inherit: settings of another user or server would win over what it is given. */
const foreign =
  'PGHOST PGHOSTADDR PGPORT PGUSER PGPASSWORD PGPASSFILE PGDATABASE PGSERVICE PGSSLMODE PGSSLROOTCERT MYSQL_HOST MYSQL_TCP_PORT MYSQL_PWD MYSQL_USER MYSQL_DATABASE DATABASE_URL'.split(
    ' ',
  );

/** Our environment with the credentials as the clients of the database look for them. */
export function childEnvironment(
  env: Environment,
  { lease_id, connection_url }: Credentials,
  { keepsToken }: { readonly keepsToken: boolean },
): Record<string, string> {
  const left = new Set(keepsToken ? foreign : [...foreign, 'CHANCERY_TOKEN']);
  const inherited = Object.entries(env).filter(([name, value]) => value !== undefined && !left.has(name));
  return {
    ...(Object.fromEntries(inherited) as Record<string, string>),
    ...clientVariables(new URL(connection_url)),
    DATABASE_URL: connection_url,
    CHANCERY_LEASE_ID: lease_id,
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

function present(variables: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''));
}
