import type { Command } from './command.ts';
import { usageFailure } from './failure.ts';
import type { GlobalFlag } from './flags.ts';
import { fieldFlags, flagName, globalFlags } from './flags.ts';
import type { Field } from './schema.ts';
import { didYouMean } from '#core/suggest.ts';

/** The words after `chancery area verb`, sorted out but not yet read: no file was opened. */
export interface ParsedArguments {
  /** By field name: the words given, in order; `null`: `--no-field`, which takes the value away. */
  readonly fields: ReadonlyMap<string, readonly (string | null)[]>;
  /** By name of the global flag; `''` for those that take no value. */
  readonly options: ReadonlyMap<string, readonly string[]>;
}

/** Things that stand before the area: only global flags. */
export interface Leading {
  readonly words: readonly string[];
  readonly rest: readonly string[];
}

/** `chancery --json pki list-roles` means `chancery pki list-roles --json`. */
export function splitLeading(argv: readonly string[]): Leading {
  let index = 0;
  while (index < argv.length && argv[index]?.startsWith('-') === true && argv[index] !== '--') {
    const flag = globalFlagOf(argv[index] ?? '');
    index += flag?.value !== undefined && argv[index]?.includes('=') === false ? 2 : 1;
  }
  return { words: argv.slice(0, index), rest: argv.slice(index) };
}

/** Whether help is asked for, wherever the word stands. */
export function asksForHelp(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return argv.slice(0, end === -1 ? argv.length : end).some((word) => word === '--help' || word === '-h');
}

export function parseArguments(command: Command, words: readonly string[]): ParsedArguments {
  const parser = new Map<string, (string | null)[]>();
  const options = new Map<string, string[]>();
  const flags = fieldFlags(command);
  const positional: string[] = [];
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? '';
    if (word === '--') {
      positional.push(...words.slice(index + 1));
      break;
    }
    if (!word.startsWith('-') || word === '-' || word.startsWith('---')) {
      positional.push(word);
      continue;
    }
    const target = findFlag(command, flags, word);
    const value = target.takesValue ? (target.inline ?? valueAfter(words[++index], target.name)) : target.inline;
    if (target.field === undefined) addOption(options, target.option, value ?? '');
    else addField(parser, target.field, target.negated ? null : (value ?? 'true'));
  }
  assignPositional(command, parser, positional);
  return { fields: parser, options };
}

interface Target {
  readonly name: string;
  readonly inline: string | undefined;
  readonly takesValue: boolean;
  readonly negated: boolean;
  readonly field: Field | undefined;
  readonly option: GlobalFlag;
}

const noOption: GlobalFlag = { name: '', text: '' };

function findFlag(command: Command, flags: ReadonlyMap<string, Field>, word: string): Target {
  const split = word.indexOf('=');
  const name = (split === -1 ? word : word.slice(0, split)).replace(/^--?/, '').replaceAll('_', '-');
  const inline = split === -1 ? undefined : word.slice(split + 1);
  const field = word.startsWith('--') ? flags.get(name) : undefined;
  if (field !== undefined) {
    const takesValue = field.type.kind !== 'boolean';
    return { name, inline, takesValue, negated: false, field, option: noOption };
  }
  const option = globalFlagOf(word);
  if (option !== undefined) {
    if (option.value === undefined && inline !== undefined) throw usageFailure(`--${option.name} takes no value`);
    return { name, inline, takesValue: option.value !== undefined, negated: false, field: undefined, option };
  }
  const denied = word.startsWith('--no-') ? flags.get(name.slice(3)) : undefined;
  if (denied === undefined) throw unknownFlag(command, flags, split === -1 ? word : word.slice(0, split));
  return negation(denied, name, inline);
}

/** `--no-flag`: false for a boolean, `[]` for a list, null for what may be null. */
function negation(field: Field, name: string, inline: string | undefined): Target {
  if (inline !== undefined) throw usageFailure(`--${name} takes no value`);
  if (field.type.kind !== 'boolean' && field.type.kind !== 'list' && !field.type.nullable)
    throw usageFailure(`--${name} does not exist: ${field.name} cannot be taken away`);
  return { name, inline, takesValue: false, negated: true, field, option: noOption };
}

export function globalFlagOf(word: string): GlobalFlag | undefined {
  const name = word.replace(/=.*$/s, '');
  return globalFlags.find(
    (flag) => name === `--${flag.name}` || (flag.short !== undefined && name === `-${flag.short}`),
  );
}

function unknownFlag(command: Command, flags: ReadonlyMap<string, Field>, word: string): Error {
  const known = [...flags.keys(), ...globalFlags.map((flag) => flag.name)].map((flag) => `--${flag}`);
  const near = didYouMean(word, known);
  return usageFailure(`unknown flag ${word.slice(0, 60)}`, {
    hint: near ?? `chancery ${command.area} ${command.verb} --help lists the flags`,
  });
}

/** A value may begin with `-` (a PEM does), but what looks like a flag is more likely a forgotten value. */
function valueAfter(word: string | undefined, flag: string): string {
  if (word !== undefined && !/^--[a-z]/i.test(word)) return word;
  throw usageFailure(`--${flag} needs a value`, {
    hint: word === undefined ? undefined : `write --${flag}=${word} if ${word} is the value`,
  });
}

function addOption(options: Map<string, string[]>, flag: GlobalFlag, value: string): void {
  const given = options.get(flag.name);
  if (given === undefined) options.set(flag.name, [value]);
  else if (flag.repeatable === true) given.push(value);
  else if (flag.value !== undefined) throw usageFailure(`--${flag.name} is given twice`);
}

function addField(fields: Map<string, (string | null)[]>, field: Field, value: string | null): void {
  const given = fields.get(field.name);
  if (given === undefined) fields.set(field.name, [value]);
  else if (field.type.kind === 'list' && value !== null && !given.includes(null)) given.push(value);
  else throw usageFailure(`--${flagName(field)} is given twice`);
}

function assignPositional(
  command: Command,
  fields: Map<string, (string | null)[]>,
  positional: readonly string[],
): void {
  const named = new Map(command.input().fields.map((field) => [field.name, field]));
  for (const [index, word] of positional.entries()) {
    const field = named.get(command.positional[index] ?? '');
    if (field === undefined) throw tooMany(command, word);
    addField(fields, field, word);
  }
}

function tooMany(command: Command, word: string): Error {
  const { area, verb, positional } = command;
  const shown = word.length > 60 ? `${word.slice(0, 60)}…` : word;
  const takes =
    positional.length === 0 ? 'no arguments' : `only ${positional.map((name) => name.toUpperCase()).join(' ')}`;
  return usageFailure(`unexpected argument "${shown}": ${area} ${verb} takes ${takes} without a flag`, {
    hint: `chancery ${area} ${verb} --help lists the flags`,
  });
}
