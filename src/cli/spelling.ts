import type { Command } from './command.ts';
import { flagName } from './flags.ts';
import { quoteWord } from './shell-words.ts';

/** What the server says in its own terms, as one would type it here. */

/** Where the server points to its reference, the command line has help. */
const pointer = /^The schema of ([a-z._]+) is at .*$/;

/** Operation ids that commands have become: `pki.list_roles` → `chancery pki list-roles`. Others stay as they are. */
export function spellOperations(text: string, commands: readonly Command[]): string {
  return text.replace(pointer, '$1 --help explains every field.').replace(/\b[a-z]+\.[a-z]+(?:_[a-z]+)+\b/g, (id) => {
    const command = commands.find(({ operation }) => operation.id === id);
    return command === undefined ? id : `chancery ${command.area} ${command.verb}`;
  });
}

/** A request as a command line. Texts of several lines, such as PEM, stand as a file to be named. */
export function spellRequest(command: Command, request: Readonly<Record<string, unknown>>): string {
  const { fields } = command.input();
  const positional = command.positional.map((name) =>
    request[name] === undefined ? name.toUpperCase() : quoteWord(plain(name, request[name])),
  );
  const flags = fields.flatMap((field) => {
    const value = request[field.name];
    if (value === undefined || value === null || command.positional.includes(field.name)) return [];
    const flag = flagName(field);
    if (typeof value === 'boolean') return [value ? `--${flag}` : `--no-${flag}`];
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    return values.map((item) => `--${flag} ${quoteWord(plain(field.name, item))}`);
  });
  return ['chancery', command.area, command.verb, ...positional, ...flags].join(' ');
}

function plain(name: string, value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  if (text.includes('\n')) return `@${name}.pem`;
  // A value that begins so would be read as a file.
  return text.startsWith('@') ? `@${text}` : text;
}
