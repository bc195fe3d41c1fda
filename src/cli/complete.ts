import { readdirSync } from 'node:fs';
import { splitLeading } from './arguments.ts';
import type { Command } from './command.ts';
import { escapeLine } from './escape.ts';
import { exitCodes } from './failure.ts';
import { fieldFlags, flagName, flagsFor, globalFlags, readsFiles, splitsOnComma } from './flags.ts';
import type { GlobalFlag } from './flags.ts';
import { areasOf, findCommand } from './lookup.ts';
import { serverNames } from './complete-names.ts';
import type { Field } from './schema.ts';
import type { Environment, Screen } from './screen.ts';
import { shellWords } from './shell-words.ts';

/** What `chancery __complete` needs. */
export interface Completing {
  readonly commands: readonly Command[];
  /** `takes`: there is an area of the same name beside it. */
  readonly localCommands: Readonly<Record<string, { readonly summary: string; readonly takes?: unknown }>>;
  readonly env: Environment;
  readonly screen: Screen;
  readonly version: string;
}

/** A candidate and what is said about it. */
export type Candidate = readonly [word: string, text: string];

/**
 * `__complete SHELL WORD…`: the words from the program's name to the one that is being typed. bash gives its line
 * instead, since its own words are split at `=` and `:`. Prints a line per candidate: word, tab, description.
 */
export async function complete(context: Completing, args: readonly string[]): Promise<number> {
  const [shell, ...given] = args;
  const words = (shell === 'bash' ? lineWords(given[0] ?? '') : given).slice(1);
  const current = words.at(-1) ?? '';
  const candidates = await candidatesFor(context, words.slice(0, -1), current);
  const lines = candidates
    .filter(([word]) => word.startsWith(current))
    .map(([word, text]) => `${escapeLine(word)}\t${escapeLine(text)}\n`);
  await context.screen.out.write(lines.join(''));
  return exitCodes.ok;
}

function lineWords(line: string): string[] {
  const words = shellWords(line);
  return /\s$/.test(line) || words.length === 0 ? [...words, ''] : words;
}

async function candidatesFor(
  context: Completing,
  before: readonly string[],
  current: string,
): Promise<readonly Candidate[]> {
  const { rest } = splitLeading(before);
  const { commands, localCommands } = context;
  const [first, second] = rest;
  const local = Object.entries(localCommands).map(([name, { summary }]) => [name, summary] as const);
  const areas = areasOf(commands).map((area) => [area, `${area} commands`] as const);
  if (first === undefined && current.startsWith('-')) return globalCandidates(globalFlags);
  if (first === undefined)
    return [...areas, ...local, ['help', 'Help on a command'], ['completion', 'Shell completion']];
  if (first === 'completion')
    return second === undefined ? ['bash', 'zsh', 'fish'].map((shell) => [shell, ''] as const) : [];
  if (first === 'help') return second === undefined ? [...areas, ...local] : verbs(commands, second);
  if (Object.hasOwn(localCommands, first) && localCommands[first]?.takes === undefined) return [];
  if (second === undefined) return verbs(commands, first);
  const command = lookUp(commands, first, second);
  return command === undefined ? [] : commandCandidates(context, command, rest.slice(2), current);
}

function verbs(commands: readonly Command[], area: string): Candidate[] {
  return commands
    .filter((command) => command.area === area)
    .flatMap(({ verb, operation: { title, cli } }): Candidate[] =>
      cli?.alias === undefined
        ? [[verb, title]]
        : [
            [verb, title],
            [cli.alias, title],
          ],
    );
}

function lookUp(commands: readonly Command[], area: string, verb: string): Command | undefined {
  try {
    return findCommand(commands, area, verb);
  } catch {
    // Nothing can be completed after a command that does not exist, and nobody wants an error while typing.
    return undefined;
  }
}

/** Where in a command the cursor stands. */
interface Position {
  /** The flag whose value is being typed. */
  readonly flag: string | undefined;
  readonly used: ReadonlySet<string>;
  readonly positional: number;
}

function positionAfter(command: Command, words: readonly string[]): Position {
  const flags = fieldFlags(command);
  const used = new Set<string>();
  let positional = 0;
  let flag: string | undefined;
  for (const word of words) {
    if (flag !== undefined) flag = undefined;
    else if (!word.startsWith('--')) positional += word.startsWith('-') ? 0 : 1;
    else {
      const name = word.slice(2).replace(/=.*$/s, '');
      used.add(name);
      const field = flags.get(name);
      const takesValue =
        field === undefined
          ? globalFlags.some((option) => option.name === name && option.value !== undefined)
          : field.type.kind !== 'boolean';
      if (takesValue && !word.includes('=')) flag = name;
    }
  }
  return { flag, used, positional };
}

async function commandCandidates(
  context: Completing,
  command: Command,
  words: readonly string[],
  current: string,
): Promise<readonly Candidate[]> {
  const { flag, used, positional } = positionAfter(command, words);
  if (flag !== undefined) return valueCandidates(context, command, flag, current);
  const split = current.indexOf('=');
  if (current.startsWith('--') && split !== -1) {
    const head = current.slice(0, split + 1);
    const values = await valueCandidates(context, command, current.slice(2, split), current.slice(split + 1));
    return values.map(([word, text]) => [head + word, text]);
  }
  const field = command.input().fields.find(({ name }) => name === command.positional[positional]);
  if (field !== undefined && !current.startsWith('-')) return fieldValues(context, command, field, current);
  return flagCandidates(command, used);
}

function flagCandidates(command: Command, used: ReadonlySet<string>): Candidate[] {
  const fields = command.input().fields.filter((field) => !command.positional.includes(field.name));
  const open = fields.filter((field) => field.type.kind === 'list' || !used.has(flagName(field)));
  const ordered = [...open.filter(({ required }) => required), ...open.filter(({ required }) => !required)];
  return [
    ...ordered.map((field) => [`--${flagName(field)}`, field.description] as const),
    ...globalCandidates(flagsFor(command).filter(({ name, repeatable }) => repeatable === true || !used.has(name))),
  ];
}

function globalCandidates(flags: readonly GlobalFlag[]): Candidate[] {
  return flags.map(({ name, text }) => [`--${name}`, text]);
}

async function valueCandidates(
  context: Completing,
  command: Command,
  flag: string,
  current: string,
): Promise<readonly Candidate[]> {
  const field = fieldFlags(command).get(flag);
  if (field !== undefined) return fieldValues(context, command, field, current);
  const outputs = command.output().fields.map(({ name, description }) => [name, description] as const);
  if (flag === 'field') return outputs;
  if (flag === 'input') return paths('', current);
  if (flag === 'output-dir') return paths('', current).filter(([path]) => path.endsWith('/'));
  if (flag !== 'out') return [];
  const split = current.indexOf('=');
  if (split === -1) return outputs.map(([name, text]) => [`${name}=`, text]);
  return paths(current.slice(0, split + 1), current.slice(split + 1));
}

async function fieldValues(
  context: Completing,
  command: Command,
  field: Field,
  current: string,
): Promise<readonly Candidate[]> {
  if (current.startsWith('@') && readsFiles(command, field)) return paths('@', current.slice(1));
  const values = field.type.values ?? field.type.item?.values;
  const candidates = values?.map((value) => [value, ''] as const) ?? (await serverNames(context, command, field));
  const comma = splitsOnComma(field) ? current.lastIndexOf(',') + 1 : 0;
  return candidates.map(([word, text]) => [current.slice(0, comma) + word, text]);
}

/** Files below the folder that is being typed; folders end in `/`. */
function paths(prefix: string, current: string): Candidate[] {
  const folder = current.slice(0, current.lastIndexOf('/') + 1);
  const hidden = current.slice(folder.length).startsWith('.');
  try {
    return readdirSync(folder === '' ? '.' : folder, { withFileTypes: true })
      .filter((entry) => hidden || !entry.name.startsWith('.'))
      .map((entry) => [`${prefix}${folder}${entry.name}${entry.isDirectory() ? '/' : ''}`, '']);
  } catch {
    // A folder that cannot be read has nothing to offer.
    return [];
  }
}
