/** Exit codes of the CLI (docs/generated/cli.md). Those of the server's refusals stand beside their codes in core/errors.ts. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  unauthenticated: 3,
  denied: 4,
  notFound: 5,
  invalid: 6,
  unavailable: 7,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** What each exit code means, for the help and the reference. */
export const exitCodeMeanings: Readonly<Record<ExitCode, string>> = {
  0: 'done',
  1: 'failed: an error of the server or of this machine',
  2: 'usage: the command line is wrong; nothing was sent',
  3: 'authentication is required, or the token is not valid',
  4: 'denied by the policy, or an approval is required first',
  5: 'not found',
  6: 'refused: the request is not valid, or rules or the present state forbid it; or what was checked is not valid',
  7: 'unavailable: the server cannot be reached, or asks to come again later',
};

interface FailureOptions {
  /** The next step that would help, one sentence. */
  readonly hint?: string | undefined;
  /** Single findings, one line each. */
  readonly details?: readonly string[] | undefined;
}

/** A failure that the CLI found by itself. What the server refuses is a problem document instead (problem.ts). */
export class CliFailure extends Error {
  readonly exit: ExitCode;
  readonly hint: string | undefined;
  readonly details: readonly string[];

  constructor(exit: ExitCode, message: string, options: FailureOptions = {}) {
    super(message);
    this.name = 'CliFailure';
    this.exit = exit;
    this.hint = options.hint;
    this.details = options.details ?? [];
  }
}

/** The command line is wrong: exit code 2, and nothing was sent. */
export function usageFailure(message: string, options: FailureOptions = {}): CliFailure {
  return new CliFailure(exitCodes.usage, message, options);
}
