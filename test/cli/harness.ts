import { Readable } from 'node:stream';
import type { LocalCommand } from '#cli/main.ts';
import { runCli } from '#cli/main.ts';
import type { CliOutput } from '#cli/screen.ts';
import { operations } from './operations.ts';

export interface RunResult {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly stdin?: string;
  /** Both outputs are terminals of this many columns. */
  readonly columns?: number | undefined;
}

/** The moment at which every test happens. */
export const now = Date.parse('2026-11-21T10:00:00Z');

const localCommands: Readonly<Record<string, LocalCommand>> = {
  server: {
    summary: 'Run the server',
    run: async ({ argv, stdout }) => {
      await new Promise((resolve) => stdout.write(`server got ${JSON.stringify(argv)}\n`, resolve));
      return argv.includes('--fail') ? 9 : 0;
    },
  },
};

/** Runs the CLI in this process, as `src/chancery.ts` would. */
export async function run({ argv, env = {}, stdin = '', columns }: RunOptions): Promise<RunResult> {
  const stdout = new Recorder(columns);
  const stderr = new Recorder(columns);
  const exit = await runCli({
    operations,
    argv,
    env: { NO_COLOR: '1', CHANCERY_DATA: '/nonexistent', ...env },
    stdin: Readable.from(stdin === '' ? [] : [Buffer.from(stdin)]),
    stdout,
    stderr,
    localCommands,
    version: '0.1.0',
    clock: { now: () => now },
  });
  return { exit, stdout: stdout.text, stderr: stderr.text };
}

class Recorder implements CliOutput {
  text = '';
  readonly isTTY: boolean;
  readonly columns: number | undefined;

  constructor(columns: number | undefined) {
    this.isTTY = columns !== undefined;
    this.columns = columns;
  }

  write(text: string | Uint8Array, done: (error?: Error | null) => void): boolean {
    this.text += typeof text === 'string' ? text : Buffer.from(text).toString();
    done();
    return true;
  }
}
