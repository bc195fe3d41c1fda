import { TargetError, type TargetFailure } from '#database/target.ts';

/** What mysql2 throws: `errno` and `sqlState` come from the server, `code` alone from the driver or the socket. */
interface DriverError extends Error {
  readonly code?: string;
  readonly errno?: number;
  readonly sqlState?: string;
  readonly sqlMessage?: string;
}

/** Errors of the server by number: https://mariadb.com/kb/en/mariadb-error-codes/, and MySQL's server error reference. */
const failures = new Map<number, TargetFailure>([
  ...numbers('login', [1045, 1130, 1129, 1251, 1698, 1820, 1862, 3118, 4151]),
  ...numbers('privilege', [1044, 1141, 1142, 1143, 1227, 1370, 1410, 1873, 3530]),
  ...numbers('timeout', [1205, 1317, 1969, 3024]),
  ...numbers('unreachable', [1040, 1053, 1077, 1079, 1203, 1226, 1927, 3159]),
]);

function numbers(kind: TargetFailure, list: readonly number[]): [number, TargetFailure][] {
  return list.map((number) => [number, kind]);
}

const blocked = 'Something holds a lock that this waits for: look for FLUSH TABLES WITH READ LOCK or a backup.';

const hints = new Map<number | string, string>([
  [1045, 'Check user name and password of the connection, and that the host part of the account covers this address.'],
  [1130, 'No account of the server allows this address: make one whose host part covers it.'],
  [1129, 'The server counts too many failed connections from here: run FLUSH HOSTS, or raise max_connect_errors.'],
  [4151, 'Unlock the account: ALTER USER … ACCOUNT UNLOCK.'],
  [3118, 'Unlock the account: ALTER USER … ACCOUNT UNLOCK.'],
  [1040, 'Raise max_connections of the server, or lower max_connections of this connection.'],
  [1203, 'Raise max_user_connections of the server, or lower max_connections of this connection.'],
  [1226, 'Raise MAX_USER_CONNECTIONS of the account, or lower max_connections of this connection.'],
  [1205, blocked],
  [1969, blocked],
  [1317, blocked],
  [
    1290,
    'The server runs with an option that forbids it: read_only, or strict_password_validation with a password plugin.',
  ],
  [1959, 'Create the role, or take it from member_of.'],
  [3523, 'Create the role, or take it from member_of.'],
  ['HANDSHAKE_NO_SSL_SUPPORT', 'Give the server a certificate, or set the TLS mode to disable.'],
  ['HANDSHAKE_SSL_ERROR', 'Check the CA, the name in the server certificate and its validity.'],
  ['ECONNREFUSED', 'Check host and port, and that the server listens on that address.'],
  ['ENOTFOUND', 'Check the host name.'],
]);

/**
 * A failure as the engine sees it. `doing` completes "… while …". The driver's error holds the text of the statement, so
 * it is never passed on; of the server's message, what is in `secrets` is masked, and a syntax error is not quoted at all,
 * since it repeats the statement.
 *
 * An answer of the server means that this statement had no effect and will have none; a lost answer leaves it open.
 */
export function asTargetError(error: unknown, doing: string, secrets: readonly string[] = []): TargetError {
  if (error instanceof TargetError) return error;
  const { code, errno, sqlState, message } = error as DriverError;
  if (sqlState !== undefined && errno !== undefined) {
    const said = errno === 1064 || errno === 1149 ? 'syntax error' : mask(message, secrets);
    const kind = failures.get(errno) ?? 'statement';
    // A role that may not be granted is refused by the words of a refused login.
    return failure(kind === 'login' ? 'privilege' : kind, `The server refused ${doing}: ${said} (${errno}).`, errno);
  }
  if (code === 'PROTOCOL_SEQUENCE_TIMEOUT') {
    return new TargetError('timeout', `The server did not answer ${doing} in time.`, { outcome: 'unknown' });
  }
  const reason = code ?? mask(message, secrets);
  return new TargetError('unreachable', `The connection broke at ${doing} (${reason}).`, { outcome: 'unknown' });
}

/** A failure to connect or log in: nothing was sent that could take effect. */
export function asConnectError(error: unknown, address: string): TargetError {
  if (error instanceof TargetError) return error;
  const { code, errno, sqlState, message } = error as DriverError;
  if (sqlState !== undefined && errno !== undefined) {
    const kind = failures.get(errno) ?? 'login';
    return failure(
      kind === 'privilege' ? 'login' : kind,
      `${address} refused the login: ${message} (${errno}).`,
      errno,
    );
  }
  if (code === 'ETIMEDOUT') return failure('timeout', `${address} did not answer in time.`, code);
  if (code === 'AUTH_SWITCH_PLUGIN_ERROR' || code === 'MYSQL_CLEAR_PASSWORD_NOT_ENABLED') {
    return failure('login', `${address} asks for a kind of login that is not given: ${message}`, code);
  }
  return failure('unreachable', `${address} cannot be reached: ${message || code}.`, code ?? '');
}

function failure(kind: TargetFailure, message: string, key: number | string): TargetError {
  const hint = hints.get(key);
  const cause = typeof key === 'number' ? Object.assign(new Error(`server error ${key}`), { errno: key }) : undefined;
  return new TargetError(kind, message, { cause, ...(hint !== undefined && { hint }) });
}

function mask(message: string, secrets: readonly string[]): string {
  let text = message;
  for (const secret of secrets) if (secret !== '') text = text.replaceAll(secret, '***');
  return text.slice(0, 500);
}

/** The number of the server's error, where it is one. */
export function errorNumber(error: unknown): number | undefined {
  return error instanceof TargetError ? (error.cause as DriverError | undefined)?.errno : undefined;
}
