import type { Command } from './command.ts';
import { usageFailure } from './failure.ts';
import { flagName, readsFiles, splitsOnComma } from './flags.ts';
import type { Field, ValueType } from './schema.ts';
import type { Sources } from './sources.ts';
import { didYouMean } from '#core/suggest.ts';

/**
 * Words of the command line become JSON values here. Checked is what the shape says (type, choice, range); rules about
 * the content (lengths, patterns, what a role allows) are the server's, which says them better and in one place.
 */
export async function readValue(command: Command, field: Field, word: string, sources: Sources): Promise<unknown> {
  const text = readsFiles(command, field) ? await readText(field, word, sources) : word;
  if (field.type.kind === 'list') return listItems(field, text, text !== word);
  return parseValue(field, field.type, text);
}

const fileHint = 'a value that begins with @ names a file; write @@ for one that really does';

async function readText(field: Field, word: string, sources: Sources): Promise<string> {
  if (word.startsWith('@@')) return word.slice(1);
  if (!word.startsWith('@') || word.length === 1) return word;
  return sources.read(word.slice(1), fileHint, field.name);
}

/** What one use of a repeatable flag adds. A file is one item, whatever stands in it. */
function listItems(field: Field, text: string, fromFile: boolean): unknown[] {
  const item = field.type.item ?? field.type;
  const parts = !fromFile && splitsOnComma(field) ? text.split(',').map((part) => part.trim()) : [text];
  return parts.filter((part) => part !== '').map((part) => parseValue(field, item, part));
}

function parseValue(field: Field, type: ValueType, text: string): unknown {
  switch (type.kind) {
    case 'integer':
    case 'number':
      return parseNumber(field, type, text);
    case 'boolean':
      if (text === 'true' || text === 'false') return text === 'true';
      throw wrong(field, text, 'true or false');
    case 'json':
      return parseJson(field, text);
    case 'text_or_json':
      return /^\s*[[{]/.test(text) ? parseJson(field, text) : text;
    default:
      return parseText(field, type, text);
  }
}

function parseText(field: Field, { values }: ValueType, text: string): string {
  if (values === undefined || values.includes(text)) return text;
  throw wrong(field, text, `one of ${values.join(', ')}`, didYouMean(text, values));
}

function parseNumber(field: Field, type: ValueType, text: string): number {
  const form = type.kind === 'integer' ? /^-?\d{1,15}$/ : /^-?\d{1,15}(?:\.\d{1,15})?$/;
  const number = Number(text);
  const { minimum = -Number.MAX_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER } = type;
  if (form.test(text) && number >= minimum && number <= maximum) return number;
  throw wrong(field, text, `a${type.kind === 'integer' ? ' whole' : ''} number${range(type)}`);
}

/** ` from 1 to 16`, as far as the schema bounds it. */
export function range({ minimum, maximum }: Pick<ValueType, 'minimum' | 'maximum'>): string {
  const low = minimum === undefined || minimum === -Number.MAX_SAFE_INTEGER ? undefined : minimum;
  const high = maximum === undefined || maximum === Number.MAX_SAFE_INTEGER ? undefined : maximum;
  if (low !== undefined && high !== undefined) return ` from ${low} to ${high}`;
  if (low !== undefined) return ` of at least ${low}`;
  return high === undefined ? '' : ` of at most ${high}`;
}

function parseJson(field: Field, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (thrown) {
    throw usageFailure(`--${flagName(field)} takes JSON, and this is none: ${jsonComplaint(thrown)}`, {
      hint: `quote it for the shell, as in --${flagName(field)} '{"key": "value"}', or read it from a file: @file.json`,
    });
  }
}

/** The parser's sentence without the text that it quotes: that may be long, or a secret. */
export function jsonComplaint(thrown: unknown): string {
  const message = thrown instanceof Error ? thrown.message : '';
  const position = /at position \d+/.exec(message)?.[0];
  return position === undefined ? 'it ends too early' : `it goes wrong ${position}`;
}

function wrong(field: Field, text: string, allowed: string, hint?: string): Error {
  const shown = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  return usageFailure(`--${flagName(field)} is "${shown}", which is not ${allowed}`, { hint });
}
