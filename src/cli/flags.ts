import type { Command } from './command.ts';
import { isPaged, kebab } from './command.ts';
import type { Field } from './schema.ts';

/** Options of the CLI itself, beside the fields of the operation. */
export interface GlobalFlag {
  readonly name: string;
  readonly short?: string;
  /** Placeholder of its value; absent: it takes none. */
  readonly value?: string;
  readonly repeatable?: boolean;
  readonly text: string;
}

export const globalFlags: readonly GlobalFlag[] = [
  { name: 'json', text: 'Print the answer as JSON; errors too, on stderr' },
  {
    name: 'field',
    value: 'NAME',
    text: 'Print this field only, raw; of a list, one line per item (inner fields: a.b)',
  },
  {
    name: 'out',
    value: 'FIELD=PATH',
    repeatable: true,
    text: 'Write a field to a new file instead of printing it; secrets with mode 0600',
  },
  {
    name: 'output-dir',
    value: 'DIR',
    text: 'Write certificates, keys and other secrets to new files in DIR: fullchain.pem, private_key.pem, …',
  },
  { name: 'force', text: 'Let --out and --output-dir replace files that exist' },
  {
    name: 'input',
    value: 'FILE',
    text: 'Read the whole request from a JSON file, or from stdin with -; flags override',
  },
  { name: 'all', text: 'Follow next_cursor to the end of a list' },
  { name: 'watch', short: 'w', text: 'Show the newest answer every 2s, until interrupted' },
  { name: 'idempotency-key', value: 'KEY', text: 'Make a repeat of this very request harmless' },
  { name: 'approval-id', value: 'ID', text: 'An approval given for this very request' },
  { name: 'timeout', value: 'DURATION', text: 'Give up after this time. Default 60s' },
  { name: 'verbose', short: 'v', text: 'Say on stderr what is sent where, and with which token' },
  { name: 'help', short: 'h', text: 'Help on the command' },
];

/** Those that mean something for a command. */
export function flagsFor(command: Command): GlobalFlag[] {
  const { effect } = command.operation;
  return globalFlags.filter(
    ({ name }) =>
      (name !== 'all' || isPaged(command)) &&
      (name !== 'watch' || effect === 'read') &&
      (name !== 'idempotency-key' || effect !== 'read'),
  );
}

const globalNames = new Set(globalFlags.map(({ name }) => name));

/** `dns_names` → `dns-names`. A field named like an option of the CLI is `--with-<field>`. */
export function flagName(field: Pick<Field, 'name'>): string {
  const plain = kebab(field.name);
  return globalNames.has(plain) ? `with-${plain}` : plain;
}

/** The fields of a command by their flag. */
export function fieldFlags(command: Command): Map<string, Field> {
  return new Map(command.input().fields.map((field) => [flagName(field), field]));
}

/** Texts of these kinds never hold a comma, so one flag may list several. */
const commaFree =
  /(?:^|_)(?:dns_names|domains|ip_addresses|ip_ranges|cidrs|serial_numbers|usages|key_types|policies|operations)$/;

/** Whether `a,b` means two values: only where a comma can stand in no value. */
export function splitsOnComma(field: Field): boolean {
  const { item } = field.type;
  if (item === undefined) return false;
  if (item.values !== undefined) return !item.values.some((value) => value.includes(','));
  return item.kind !== 'string' || commaFree.test(field.name);
}

/** Whether `@path` reads the value from a file. */
export function readsFiles(command: Command, field: Field): boolean {
  const { kind, item, values } = field.type;
  if (kind === 'json' || kind === 'text_or_json') return true;
  const isText = values === undefined && (kind === 'string' || (kind === 'list' && item?.kind === 'string'));
  return isText && (command.operation.cli?.files?.includes(field.name) ?? true);
}

/** The placeholder in help: `NAME`, `DURATION`, `pem|der`. */
export function placeholder(field: Field): string {
  const type = field.type.kind === 'list' && field.type.item !== undefined ? field.type.item : field.type;
  if (type.values !== undefined) {
    const choice = type.values.join('|');
    return choice.length <= 32 ? choice : field.name.replace(/s$/, '').toUpperCase();
  }
  if (type.isDuration) return 'DURATION';
  if (type.isTime) return 'TIME';
  if (type.kind === 'json') return 'JSON';
  if (type.kind === 'integer' || type.kind === 'number') return 'NUMBER';
  if (/\bPEM\b/.test(field.description)) return 'PEM';
  if (type.pattern?.test('0a') === true && !type.pattern.test('x')) return 'HEX';
  return type.pattern?.test('a-name') === true && !type.pattern.test('A name') ? 'NAME' : 'TEXT';
}
