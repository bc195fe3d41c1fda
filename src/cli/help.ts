import type { Command } from './command.ts';
import { exampleLine } from './example.ts';
import { exitCodeMeanings } from './failure.ts';
import type { GlobalFlag } from './flags.ts';
import { flagName, flagsFor, globalFlags, placeholder, splitsOnComma } from './flags.ts';
import { areasOf } from './lookup.ts';
import type { Field } from './schema.ts';
import type { Stream } from './screen.ts';
import { range } from './values.ts';

/** Names and what they mean; also for the generated reference. */
export const environmentVariables: readonly (readonly [name: string, text: string])[] = [
  ['CHANCERY_URL', 'The server. Default http://127.0.0.1:8420; plain http to this machine only'],
  ['CHANCERY_TOKEN', 'The token to show. Without it, and for a server on this machine, the one in admin.token is used'],
  ['CHANCERY_DATA', 'Folder of admin.token. Default .chancery'],
  ['CHANCERY_NO_TOKEN_FILE', 'Set: admin.token is not used'],
  ['CHANCERY_CA_FILE', 'PEM file of the only roots to trust for https'],
  ['NO_COLOR', 'Set: no colours'],
];

type Paint = Pick<Stream, 'style' | 'width'>;

const maxWidth = 100;

/** Greedy; words longer than the line stand alone. */
function wrap(text: string, width: number, indent: string): string {
  const lines: string[] = [];
  let current = '';
  for (const word of text.split(/\s+/)) {
    const longer = current === '' ? word : `${current} ${word}`;
    if (longer.length > width - indent.length && current !== '') {
      lines.push(current);
      current = word;
    } else current = longer;
  }
  return [...lines, current].map((line) => `${indent}${line}\n`).join('');
}

function widthOf(paint: Paint): number {
  return Math.min(maxWidth, paint.width ?? 80);
}

/** Names in one column, texts in the next, wrapped below themselves. */
function pairs(entries: readonly (readonly [string, string])[], paint: Paint): string {
  const column = Math.min(30, Math.max(...entries.map(([name]) => name.length)));
  const pad = ' '.repeat(column + 4);
  return entries
    .map(([name, text]) => {
      const body = wrap(text, widthOf(paint), pad);
      return name.length > column ? `  ${name}\n${body}` : `  ${name.padEnd(column)}  ${body.slice(pad.length)}`;
    })
    .join('');
}

function section(title: string, body: string, paint: Paint): string {
  return `\n${paint.style.bold(title)}\n${body}`;
}

export function mainHelp(
  commands: readonly Command[],
  localCommands: Readonly<Record<string, { readonly summary: string }>>,
  paint: Paint,
): string {
  const areas = areasOf(commands).map((area) => [area, areaSummary(commands, area)] as const);
  const local = [
    ...Object.entries(localCommands).map(([name, { summary }]) => [name, summary] as const),
    ['completion', 'Print a completion script for bash, zsh or fish'] as const,
    ['help', 'Help on an area or a command: chancery help pki issue-certificate'] as const,
  ];
  const codes = Object.entries(exitCodeMeanings);
  const example =
    commands.find(({ operation }) => operation.id === 'pki.issue_certificate') ??
    commands.find(({ operation }) => operation.sensitive !== undefined);
  return [
    `${paint.style.bold('chancery')}: credentials that expire, for agents and platforms\n`,
    section('Usage', '  chancery AREA COMMAND [ARGUMENT…] [--FIELD VALUE…] [OPTION…]\n', paint),
    example === undefined ? '' : section('For example', `  ${exampleLine(example)}\n`, paint),
    areas.length === 0 ? '' : section('Areas', pairs(areas, paint), paint),
    section('On this machine', pairs(local, paint), paint),
    section('Options of every command', pairs(globalFlags.map(flagEntry), paint), paint),
    section('Values', valuesHelp(paint), paint),
    section('Environment', pairs(environmentVariables, paint), paint),
    section('Exit codes', pairs(codes, paint), paint),
    '\nchancery AREA lists the commands of an area; chancery AREA COMMAND --help explains one.\n',
  ].join('');
}

/** How words become JSON; also for the reference. */
export const valueRules: readonly (readonly [string, string])[] = [
  ['@path', 'Text, lists of text and JSON: read from a file, without its last line end; @- is stdin, @@ a real @'],
  ['lists', 'Repeat the flag; a,b as well where the help says so; --no-FIELD for an empty list'],
  ['true or false', '--FIELD and --no-FIELD'],
  ['nothing', '--no-FIELD where the help says so'],
  ['objects', 'JSON: --name-constraints \'{"permitted": …}\', or @file.json'],
];

function valuesHelp(paint: Paint): string {
  return pairs(valueRules, paint);
}

export function flagEntry(flag: GlobalFlag): readonly [string, string] {
  const short = flag.short === undefined ? '' : `-${flag.short}, `;
  return [`${short}--${flag.name}${flag.value === undefined ? '' : ` ${flag.value}`}`, flag.text];
}

/** Commands that belong together, under the name of their collection; those that stand alone come last, under none. */
function groupsOf(commands: readonly Command[], area: string): Map<string, Command[]> {
  const groups = Map.groupBy(
    commands.filter((command) => command.area === area),
    ({ collection }) => collection,
  );
  const alone = [...groups.values()].filter((group) => group.length === 1).flat();
  const together = [...groups].filter(([, group]) => group.length > 1);
  return new Map([...together, ...(alone.length === 0 ? [] : [['', alone] as const])]);
}

/** One line on an area: its collections, and its commands that stand alone. */
function areaSummary(commands: readonly Command[], area: string): string {
  return [...groupsOf(commands, area)]
    .flatMap(([name, group]) => (name === '' ? group.map(({ verb }) => verb) : [name]))
    .join(', ');
}

export function areaHelp(commands: readonly Command[], area: string, paint: Paint): string {
  const groups = groupsOf(commands, area);
  const column = Math.max(...[...groups.values()].flat().map((command) => nameWithArguments(command).length));
  const sections = [...groups].map(([collection, group]) => {
    const lines = group.map(
      (command) => `  ${nameWithArguments(command).padEnd(column)}  ${command.operation.title}\n`,
    );
    return section(collection === '' ? (groups.size === 1 ? 'commands' : 'others') : collection, lines.join(''), paint);
  });
  return [
    `${paint.style.bold(`chancery ${area}`)} COMMAND [ARGUMENT…] [--FIELD VALUE…]\n`,
    ...sections,
    '\n',
    wrap(
      `chancery ${area} COMMAND --help explains a command. The beginning of a name is enough where only one command begins so; write it in full in scripts.`,
      widthOf(paint),
      '',
    ),
  ].join('');
}

function nameWithArguments({ verb, positional }: Command): string {
  return [verb, ...positional.map((name) => name.toUpperCase())].join(' ');
}

export function commandHelp(command: Command, paint: Paint): string {
  const { operation, area } = command;
  const { fields } = command.input();
  const sorted = [...fields.filter(({ required }) => required), ...fields.filter(({ required }) => !required)];
  const output = command.output().fields.map((field) => [field.name, outputText(command, field)] as const);
  return [
    `${paint.style.bold(`chancery ${area} ${command.verb}`)}: ${operation.title}\n\n`,
    wrap(operation.summary, widthOf(paint), '  '),
    section('Usage', wrap(usageLine(command), widthOf(paint), '  '), paint),
    sorted.length === 0
      ? ''
      : section('Fields', sorted.map((field) => fieldHelp(command, field, paint)).join(''), paint),
    output.length === 0 ? '' : section('Answer', pairs(output, paint), paint),
    section('Options', optionsLine(command, paint), paint),
    section('Example', `  ${exampleLine(command)}\n`, paint),
    section('REST', `  ${operation.http.method} /v1${operation.http.path}\n`, paint),
  ].join('');
}

/** `chancery pki issue-certificate --role NAME [--dns-names TEXT…] …` */
export function usageLine(command: Command): string {
  const words = ['chancery', command.area, command.verb, ...command.positional.map((name) => name.toUpperCase())];
  let optional = false;
  for (const field of command.input().fields) {
    if (command.positional.includes(field.name)) continue;
    if (field.required) words.push(`--${flagName(field)} ${placeholder(field)}`);
    else optional = true;
  }
  return [...words, ...(optional ? ['[--FIELD VALUE…]'] : [])].join(' ');
}

function fieldHelp(command: Command, field: Field, paint: Paint): string {
  const position = command.positional.includes(field.name);
  const value = field.type.kind === 'boolean' ? '' : ` ${placeholder(field)}`;
  const notes = fieldNotes(field);
  const head = position ? `${field.name.toUpperCase()}, or --${flagName(field)}` : `--${flagName(field)}`;
  const marks = notes.length === 0 ? '' : `  ${paint.style.dim(`(${notes.join('; ')})`)}`;
  const body = fieldText(field);
  return `  ${paint.style.bold(head)}${value}${marks}\n${body === '' ? '' : wrap(body, widthOf(paint), '      ')}`;
}

/** `required`, `default 24h`, `repeatable`: what is said beside the name. */
export function fieldNotes(field: Field): string[] {
  const notes: string[] = [];
  if (field.required) notes.push('required');
  if (field.default !== undefined && !isEmpty(field.default)) notes.push(`default ${defaultText(field)}`);
  if (field.type.kind === 'list') notes.push(splitsOnComma(field) ? 'repeatable, or a,b' : 'repeatable');
  const bounds = range(field.type).trim();
  if (bounds !== '') notes.push(bounds);
  if (field.type.kind === 'boolean' && field.default !== false) notes.push(`--no-${flagName(field)} for no`);
  if (field.type.kind !== 'boolean' && field.type.nullable && !field.required)
    notes.push(`--no-${flagName(field)} for none`);
  return notes;
}

function isEmpty(value: unknown): boolean {
  return value === '' || (Array.isArray(value) && value.length === 0);
}

function defaultText({ default: value, type }: Field): string {
  if (type.kind === 'boolean') return value === true ? 'yes' : 'no';
  return typeof value === 'string' ? value : Array.isArray(value) ? value.join(',') : JSON.stringify(value);
}

/** The description, and the choices where the placeholder did not say them. */
export function fieldText(field: Field): string {
  const values = field.type.values ?? field.type.item?.values;
  const said = values === undefined || placeholder(field) === values.join('|');
  return [field.description, said ? '' : `One of ${values.join(', ')}`].filter((text) => text !== '').join('. ');
}

function outputText(command: Command, field: Field): string {
  const secret = command.operation.sensitive?.includes(field.name) === true ? 'Secret. ' : '';
  const values = field.type.values?.join(', ');
  return `${secret}${field.description || (values === undefined ? '' : `One of ${values}`)}`.trim();
}

/** Those of the CLI that matter here, by name; their texts stand in the overview. */
function optionsLine(command: Command, paint: Paint): string {
  const names = flagsFor(command).map(({ name }) => `--${name}`);
  return wrap(`${names.join(' ')} (chancery help explains them)`, widthOf(paint), '  ');
}
