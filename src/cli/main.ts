import type { Readable } from 'node:stream';
import type { Clock } from '#core/clock.ts';
import { asksForHelp, globalFlagOf, splitLeading } from './arguments.ts';
import type { CliOperation, Command } from './command.ts';
import { toCommands } from './command.ts';
import { completionScript } from './completion.ts';
import { showFailure } from './explain.ts';
import { exitCodes, usageFailure } from './failure.ts';
import { areaHelp, commandHelp, mainHelp } from './help.ts';
import { findArea, findCommand } from './lookup.ts';
import type { CliOutput, Environment, Screen } from './screen.ts';
import { createScreen } from './screen.ts';

/** A command that runs on this machine instead of calling the API: `server`, `mcp`. */
export interface LocalCommand {
  /** One line for the overview. */
  readonly summary: string;
  /** Whether these words after its name are for it; when not, they are for the area of the same name. Default: all are. */
  readonly takes?: (words: readonly string[]) => boolean;
  /** Gets the words after its name, `--help` included; resolves to the exit code. */
  readonly run: (context: LocalContext) => Promise<number>;
}

export interface LocalContext {
  readonly operations: readonly CliOperation[];
  /** Of the package. */
  readonly version: string;
  readonly clock?: Clock | undefined;
  readonly argv: readonly string[];
  readonly env: Environment;
  readonly stdin: Readable;
  readonly stdout: CliOutput;
  readonly stderr: CliOutput;
}

export interface CliOptions {
  readonly operations: readonly CliOperation[];
  /** Without the program's own two words: `process.argv.slice(2)`. */
  readonly argv: readonly string[];
  readonly env: Environment;
  readonly stdin: Readable;
  readonly stdout: CliOutput;
  readonly stderr: CliOutput;
  /** By name. A name here wins over an area of the same name. */
  readonly localCommands: Readonly<Record<string, LocalCommand>>;
  /** Of the package. */
  readonly version: string;
  readonly clock?: Clock | undefined;
}

/** Runs one command line and resolves to its exit code (failure.ts); it never rejects and never ends the process. */
export async function runCli(options: CliOptions): Promise<number> {
  const screen = createScreen(options.stdout, options.stderr, options.env, options.clock);
  const { argv } = options;
  try {
    return await route(options, screen);
  } catch (thrown) {
    const verbose = argv.includes('--verbose') || argv.includes('-v');
    return showFailure(screen, thrown, argv.includes('--json'), verbose);
  }
}

const builtIn = ['help', 'completion'];

async function route(options: CliOptions, screen: Screen): Promise<number> {
  const { words, rest } = splitLeading(options.argv);
  const [first, second] = rest;
  const local = localCommand(options, first);
  if (local !== undefined && local.takes?.(rest.slice(1)) !== false)
    return local.run({ ...options, argv: [...words, ...rest.slice(1)] });
  const commands = toCommands(options.operations);
  // Help needs no HTTP, and loading it takes as long as all the rest.
  if (first === '__complete') {
    const { complete } = await import('./complete.ts');
    return complete({ ...options, commands, screen }, rest.slice(1));
  }
  if (words.includes('--version')) return say(screen, `chancery ${options.version}\n`);
  refuseUnknown(words);
  if (first === 'completion') return say(screen, completionScript(second, asksForHelp(options.argv)));
  if (first === undefined || first === 'help') return help(commands, options, screen, rest.slice(1));
  if (second === undefined || asksForHelp(options.argv)) return help(commands, options, screen, rest);
  const area = findArea(commands, [...Object.keys(options.localCommands), ...builtIn], first);
  const command = findCommand(commands, area, second);
  const { runCommand } = await import('./run-command.ts');
  return runCommand(command, [...words, ...rest.slice(2)], { ...options, commands, screen });
}

function localCommand({ localCommands }: CliOptions, name: string | undefined): LocalCommand | undefined {
  return name !== undefined && Object.hasOwn(localCommands, name) ? localCommands[name] : undefined;
}

/** Before the area only options of the CLI itself may stand. */
function refuseUnknown(words: readonly string[]): void {
  const unknown = words.find((word) => word.startsWith('-') && globalFlagOf(word) === undefined);
  if (unknown === undefined) return;
  throw usageFailure(`unknown flag ${unknown.slice(0, 60)} before the command`, {
    hint: 'fields stand after the command: chancery AREA COMMAND --FIELD VALUE',
  });
}

/** `chancery help [AREA [COMMAND]]`, and `--help` anywhere. */
async function help(
  commands: readonly Command[],
  options: CliOptions,
  screen: Screen,
  words: readonly string[],
): Promise<number> {
  const [first, second] = words.filter((word) => !word.startsWith('-'));
  if (first === undefined) return say(screen, mainHelp(commands, options.localCommands, screen.out));
  const local = localCommand(options, first);
  const forLocal = second === undefined || local?.takes?.([second]) !== false;
  if (local !== undefined && forLocal) return local.run({ ...options, argv: ['--help'] });
  if (first === 'completion') return say(screen, completionScript(undefined, true));
  const area = findArea(commands, [...Object.keys(options.localCommands), ...builtIn], first);
  if (second === undefined) return say(screen, areaHelp(commands, area, screen.out));
  return say(screen, commandHelp(findCommand(commands, area, second), screen.out));
}

async function say(screen: Screen, text: string): Promise<number> {
  await screen.out.write(text);
  return exitCodes.ok;
}
