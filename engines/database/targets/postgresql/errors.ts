import { DatabaseError } from 'pg';
import { TargetError, type TargetFailure } from '#database/target.ts';

/** SQLSTATE codes (https://www.postgresql.org/docs/current/errcodes-appendix.html). */
export const sqlStates = {
  insufficientPrivilege: '42501',
  duplicateObject: '42710',
  undefinedObject: '42704',
  dependentObjects: '2BP01',
  divisionByZero: '22012',
  undefinedDatabase: '3D000',
} as const;

/** The SQLSTATE behind a TargetError. Only it is kept of the server's error, whose other fields may cite a verifier. */
export function sqlState(error: unknown): string | undefined {
  const cause: unknown = error instanceof TargetError ? error.cause : undefined;
  return cause instanceof ServerCode ? cause.code : undefined;
}

class ServerCode {
  readonly code: string;
  constructor(code: string) {
    this.code = code;
  }
}

/**
 * When the error came: before anything was sent, from the server about our statements, or while they were under way
 * without an answer.
 */
export type Phase = 'connect' | 'statement';

/** What a failure means. `secrets` (verifiers) are masked in the server's text, which may cite the statement. */
export function toTargetError(error: unknown, phase: Phase, secrets: readonly string[] = []): TargetError {
  if (error instanceof TargetError) return error;
  return error instanceof DatabaseError
    ? fromServer(error, phase, secrets)
    : fromWire(error instanceof Error ? error : new Error('unknown failure'), phase);
}

const kinds: readonly (readonly [RegExp, TargetFailure])[] = [
  [/^42501$/, 'privilege'],
  [/^42710$/, 'exists'],
  // Cancelled by statement_timeout or lock_timeout.
  [/^(?:57014|55P03)$/, 'timeout'],
  [/^(?:28|3D)/, 'login'],
  // Connection, resources, operator intervention, system, read-only after a failover: the server, not the statement.
  [/^(?:08|53|57P|58|25006)/, 'unreachable'],
];

const hints: readonly (readonly [RegExp, string])[] = [
  [/^28P01$/, 'Check the user name and password of the connection.'],
  [/^28000$/, 'Check pg_hba.conf of the server: does it let this user in from here, with this kind of encryption?'],
  [/^3D000$/, 'Check the database of the connection.'],
  [/^53300$/, 'Raise max_connections of the server, or lower the connections allowed here.'],
  [/^25006$/, 'The server is a standby: connect to the primary.'],
  [/^42501$/, 'The check of the connection names what the administrator lacks.'],
];

function fromServer(error: DatabaseError, phase: Phase, secrets: readonly string[]): TargetError {
  const code = error.code ?? '';
  const kind = kinds.find(([pattern]) => pattern.test(code))?.[1] ?? 'statement';
  const hint = hints.find(([pattern]) => pattern.test(code))?.[1];
  // A session that the server ended may have been ended while it committed.
  const ended = phase === 'statement' && /^(?:08|57P|58|XX)/.test(code);
  return new TargetError(kind, `PostgreSQL says: ${serverText(error, secrets)} (${code}).`, {
    outcome: ended ? 'unknown' : 'not_applied',
    cause: new ServerCode(code),
    ...(hint !== undefined && { hint }),
  });
}

/** The server's message and detail in one line, bounded, without secrets. */
export function serverText(error: DatabaseError, secrets: readonly string[] = []): string {
  const text = [error.message, error.detail ?? ''].filter((part) => part !== '').join('; ');
  return secrets
    .reduce((masked, secret) => masked.replaceAll(secret, '…'), text)
    .replace(/SCRAM-SHA-256\$[^\s'"]*/g, '…')
    .replace(/\s+/g, ' ')
    .replace(/\.$/, '')
    .slice(0, 500);
}

/** Errors of Node and of the driver, which has no codes of its own. */
function fromWire(error: Error & { code?: string }, phase: Phase): TargetError {
  const outcome = phase === 'statement' ? 'unknown' : 'not_applied';
  if (error.message === 'Query read timeout')
    return new TargetError('timeout', 'PostgreSQL did not answer in time.', { outcome, cause: error });
  if (error.message.includes('timeout exceeded when trying to connect')) {
    return new TargetError('timeout', 'No connection to PostgreSQL became free in time.', {
      cause: error,
      hint: 'Allow more connections, or wait: others are being served.',
    });
  }
  if (error.message.startsWith('SASL: ')) {
    return new TargetError('login', `The login at PostgreSQL failed: ${error.message}.`, {
      cause: error,
      hint: 'Check the password of the connection.',
    });
  }
  if (isTls(error)) {
    return new TargetError('unreachable', `No TLS with PostgreSQL: ${oneLine(error.message)}.`, {
      cause: error,
      hint: 'Check the TLS mode of the connection, the CA given for it and the name in the certificate of the server.',
    });
  }
  return new TargetError(
    'unreachable',
    `PostgreSQL cannot be reached: ${oneLine(error.message || error.code || 'no connection')}.`,
    {
      outcome,
      cause: error,
      hint: 'Check host and port of the connection, and that the server runs.',
    },
  );
}

function isTls(error: Error & { code?: string }): boolean {
  return (
    /^(?:ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_CA)/.test(
      error.code ?? '',
    ) || /SSL connection|does not support SSL/.test(error.message)
  );
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/\.$/, '').slice(0, 300);
}
