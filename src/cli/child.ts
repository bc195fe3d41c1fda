import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { remark } from './explain.ts';
import type { Screen } from './screen.ts';

/** Those that ask a process to end or to do something; the child decides what they mean. */
const held = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;

/** Of them, those that end a process that does not decide. */
const ending: ReadonlySet<NodeJS.Signals> = new Set(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']);

/** A terminal sends these to every process in the foreground, so the child has them already. */
const fromTerminal: ReadonlySet<NodeJS.Signals> = new Set(['SIGINT', 'SIGQUIT']);

/** Signals do not end this process while they are held, so that what must be given back is. */
export interface HeldSignals {
  /** The first that asked for the end; undefined: none did. */
  ending(): NodeJS.Signals | undefined;
  /** Who gets those that come from now on; undefined: nobody. */
  handTo(receiver: ((signal: NodeJS.Signals) => void) | undefined): void;
  release(): void;
}

export function holdSignals(): HeldSignals {
  let first: NodeJS.Signals | undefined;
  let receiver: ((signal: NodeJS.Signals) => void) | undefined;
  const take = (signal: NodeJS.Signals): void => {
    if (ending.has(signal)) first ??= signal;
    receiver?.(signal);
  };
  for (const signal of held) process.on(signal, take);
  return {
    ending: () => first,
    handTo(next) {
      receiver = next;
    },
    release() {
      for (const signal of held) process.off(signal, take);
    },
  };
}

/** What a shell says of a process that a signal ended. */
export function exitCodeOf(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}

/**
 * Runs a command on our own terminal and waits for its end; signals are handed on to it. Resolves to the exit code that
 * a shell would give.
 */
export async function runChild(
  [file, ...words]: readonly [file: string, ...words: string[]],
  env: Readonly<Record<string, string>>,
  screen: Screen,
  signals: HeldSignals,
): Promise<number> {
  const child = spawn(file, words, { env, stdio: 'inherit' });
  const inForeground = process.stdin.isTTY;
  signals.handTo((signal) => {
    if (!(inForeground && fromTerminal.has(signal))) child.kill(signal);
  });
  try {
    return await new Promise<number>((resolve, reject) => {
      child.on('exit', (code, signal) => resolve(code ?? exitCodeOf(signal ?? 'SIGKILL')));
      child.on('error', reject);
    });
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    const found = code !== 'ENOENT';
    await remark(screen, 'warning', `${file} ${found ? `cannot be run (${code ?? 'unknown'})` : 'was not found'}`);
    return found ? 126 : 127;
  } finally {
    signals.handTo(undefined);
  }
}
