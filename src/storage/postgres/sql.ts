import type { Value } from '#core/change.ts';

/** Writes `$1`, `$2` … for the `?`s of a text, leaving strings and quoted names alone. */
export function toDollars(text: string): string {
  let count = 0;
  return text.replace(/'(?:[^']|'')*'|"(?:[^"]|"")*"|\?/g, (match) => (match === '?' ? `$${++count}` : match));
}

/**
 * An array in PostgreSQL's text form (https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO). The driver's own
 * encoder does not know what a Uint8Array in an array of bytea is.
 */
export function arrayLiteral(values: readonly Value[]): string {
  let text = '{';
  for (const value of values) {
    if (text.length > 1) text += ',';
    if (value === null) text += 'NULL';
    else if (typeof value === 'number') text += value;
    else if (typeof value === 'string') text += `"${needsEscape.test(value) ? value.replace(escaped, '\\$&') : value}"`;
    else text += `"\\\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}"`;
  }
  return `${text}}`;
}

const needsEscape = /["\\]/;
const escaped = /["\\]/g;

const maxNames = 500;

/**
 * Remembers the text with `$n` and the name of each text with `?`. Beyond `maxNames`, statements go without a name: a
 * prepared statement occupies the server until the connection ends.
 */
export function createStatementNames(): (text: string) => { name?: string; text: string } {
  const known = new Map<string, { name: string; text: string }>();
  return (text) => {
    const prepared = known.get(text);
    if (prepared !== undefined) return prepared;
    const translated = toDollars(text);
    if (known.size >= maxNames) return { text: translated };
    const named = { name: `chancery_${known.size}`, text: translated };
    known.set(text, named);
    return named;
  };
}
