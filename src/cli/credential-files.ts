import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What of a lease is given in files, because the clients of databases take it in no other way. */
export interface FileCredentials {
  readonly connection_url: string;
  /** PEM, like the others; absent where the login is by password. */
  readonly certificate?: string;
  readonly chain?: readonly string[];
  readonly private_key?: string;
  readonly server_ca?: string;
}

/** Paths, in a folder of mode 0700 that nobody else has. */
export interface CredentialFiles {
  readonly folder: string;
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  readonly serverCa: string | undefined;
  /** For the clients of MySQL and MariaDB: it holds the password. */
  readonly options: string | undefined;
  remove(): Promise<void>;
}

/** Undefined: there is nothing to write. What was written is removed again when something cannot be. */
export async function writeCredentialFiles(lease: FileCredentials): Promise<CredentialFiles | undefined> {
  const { certificate, chain = [], private_key: key, server_ca: ca, connection_url: url } = lease;
  const isMysql = !url.startsWith('postgres');
  if (certificate === undefined && ca === undefined && !isMysql) return undefined;
  const folder = await mkdtemp(join(tmpdir(), 'chancery-run-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  const write = async (name: string, text: string | undefined) => {
    if (text === undefined) return undefined;
    const path = join(folder, name);
    await writeFile(path, text, { mode: 0o600, flag: 'wx' });
    return path;
  };
  try {
    const tls = {
      certificate: await write('client.crt', certificate && [certificate, ...chain].join('')),
      key: await write('client.key', key),
      serverCa: await write('server-ca.crt', ca),
    };
    const options = isMysql ? await write('my.cnf', optionFile(new URL(url), tls)) : undefined;
    return { folder, remove, ...tls, options };
  } catch (thrown) {
    await remove();
    throw thrown;
  }
}

/**
 * Clients of MySQL and MariaDB find it by MYSQL_HOME and MARIADB_HOME: they take neither user nor TLS from the environment,
 * and MYSQL_PWD is deprecated. A database under `[client]` would end those that know of none, as mariadb-admin.
 */
function optionFile(url: URL, files: Pick<CredentialFiles, 'certificate' | 'key' | 'serverCa'>): string {
  const client = {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port,
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    'ssl-cert': files.certificate,
    'ssl-key': files.key,
    'ssl-ca': files.serverCa,
  };
  // MySQL's clients verify by themselves as soon as there is an ssl-ca.
  const verified = files.serverCa === undefined ? [] : ['[client-mariadb]', 'ssl-verify-server-cert'];
  const database = decodeURIComponent(url.pathname.slice(1));
  return ['[client]', ...settings(client), '[mysql]', ...settings({ database }), ...verified, ''].join('\n');
}

function settings(options: Readonly<Record<string, string | undefined>>): string[] {
  return Object.entries(options).flatMap(([name, value]) => (value ? [`${name}="${quoted(value)}"`] : []));
}

/** Between quotes a backslash escapes (https://mariadb.com/kb/en/configuring-mariadb-with-option-files/). */
function quoted(value: string): string {
  const escapes: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };
  return value.replace(/["'\\]/g, '\\$&').replace(/[\n\r\t]/g, (char) => escapes[char] ?? '');
}
