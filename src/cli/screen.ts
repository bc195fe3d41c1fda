import { systemClock } from '#core/clock.ts';
import type { Clock } from '#core/clock.ts';
import { CliFailure, exitCodes } from './failure.ts';

/** What the CLI writes to: process.stdout and process.stderr, or anything like them. */
export interface CliOutput {
  write(text: string | Uint8Array, done: (error?: Error | null) => void): boolean;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  on?(event: 'error', listener: (error: Error) => void): unknown;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** How one stream shows emphasis; plain text when it is no terminal or NO_COLOR is set (https://no-color.org). */
export interface Style {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly cyan: (text: string) => string;
}

export interface Stream {
  readonly isTerminal: boolean;
  /** Columns; undefined when it is no terminal, so that nothing is cut. */
  readonly width: number | undefined;
  readonly style: Style;
  /** Resolves when the stream took it. A reader that went away (EPIPE) is no error: the rest is dropped. */
  readonly write: (text: string | Uint8Array) => Promise<void>;
}

/** Where the CLI speaks: results to `out`, everything about them to `err`. */
export interface Screen {
  readonly out: Stream;
  readonly err: Stream;
  readonly clock: Clock;
}

export function createScreen(
  stdout: CliOutput,
  stderr: CliOutput,
  env: Environment,
  clock: Clock = systemClock,
): Screen {
  return { out: createStream(stdout, env), err: createStream(stderr, env), clock };
}

const reasons: Readonly<Record<string, string>> = { ENOSPC: 'no space is left', EIO: 'the device fails' };

function createStream(output: CliOutput, env: Environment): Stream {
  const isTerminal = output.isTTY === true;
  let open = true;
  output.on?.('error', () => {
    open = false;
  });
  return {
    isTerminal,
    width: isTerminal ? Math.max(40, output.columns ?? 80) : undefined,
    style: styleOf(isTerminal && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb'),
    write: (text) =>
      new Promise((resolve, reject) => {
        if (!open || text.length === 0) return resolve();
        output.write(text, (error) => {
          if (!error) return resolve();
          open = false;
          const { code = error.message } = error as NodeJS.ErrnoException;
          if (code === 'EPIPE') return resolve();
          reject(new CliFailure(exitCodes.failed, `the output could not be written: ${reasons[code] ?? code}`));
        });
      }),
  };
}

function styleOf(colored: boolean): Style {
  const paint = (code: number, off: number) => (text: string) =>
    colored && text !== '' ? `\u001b[${code}m${text}\u001b[${off}m` : text;
  return { bold: paint(1, 22), dim: paint(2, 22), red: paint(31, 39), yellow: paint(33, 39), cyan: paint(36, 39) };
}
