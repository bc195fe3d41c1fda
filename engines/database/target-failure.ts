import { AppError, type ErrorCode } from '#core/errors.ts';
import { RevocationError } from '#lease/contract.ts';
import { TargetError, type TargetFailure } from './target.ts';

/** What callers are told of a failure at a target. */
const codes: Readonly<Record<TargetFailure, ErrorCode>> = {
  unreachable: 'unavailable',
  timeout: 'unavailable',
  login: 'refused',
  privilege: 'refused',
  statement: 'refused',
  exists: 'conflict',
};

const hints: Readonly<Record<TargetFailure, string>> = {
  unreachable: 'database.check_connection says more about the connection.',
  timeout: 'Try again; database.check_connection tells whether the server answers.',
  statement: 'See what the statements of the role do, and what the server says of them.',
  exists: 'Try again: names are random.',
  login: 'Give the administrator’s password with database.update_connection.',
  privilege: 'database.check_connection names what the administrator lacks, with the statements that mend it.',
};

/** Seconds after which a server that was away is worth another try. */
const retryAfter = 5;

/** The error for the caller; what no target said is passed on as it is. */
export function explainFailure(error: unknown, connection: string): unknown {
  if (error instanceof RevocationError) return explainResidue(error, connection);
  return error instanceof TargetError ? explain(error, connection, codes[error.kind]) : error;
}

function explain(error: TargetError, connection: string, code: ErrorCode): AppError {
  const hint = error.hint ?? hints[error.kind];
  return new AppError(code, `Connection ${connection}: ${error.message}`, {
    cause: error,
    hint,
    ...(code === 'unavailable' ? { retryAfter } : {}),
  });
}

function explainResidue(error: RevocationError, connection: string): AppError {
  return new AppError(error.unavailable ? 'unavailable' : 'refused', `Connection ${connection}: ${error.message}`, {
    cause: error,
    hint: 'Remove what is in the way; it is tried again by itself.',
    details: error.residue.map(({ place, object, reason }) => ({ at: `${place}: ${object}`, message: reason })),
    ...(error.unavailable ? { retryAfter } : {}),
  });
}

/** Runs what reaches a target, and explains its failures. */
export async function explained<Result>(connection: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw explainFailure(error, connection);
  }
}

/** Likewise, for what a request says about a server: that nothing answers there is a fault of the request. */
export async function verified<Result>(connection: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof TargetError ? explain(error, connection, 'refused') : error;
  }
}

/** What the lease manager is told when a revocation fails. */
export function toRevocationError(error: unknown): unknown {
  if (!(error instanceof TargetError)) return error;
  const unavailable = error.kind === 'unreachable' || error.kind === 'timeout' || error.kind === 'login';
  return new RevocationError(error.hint === undefined ? error.message : `${error.message} ${error.hint}`, {
    unavailable,
    cause: error,
  });
}
