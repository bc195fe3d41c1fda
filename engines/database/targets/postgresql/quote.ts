import { escapeIdentifier, escapeLiteral } from 'pg';
import { TargetError } from '#database/target.ts';

/** NAMEDATALEN − 1: the server would cut a longer name silently, and mean somebody else. */
const longestName = 63;

/** A name as a quoted identifier. Throws TargetError `statement` for one that PostgreSQL cannot have. */
export function identifier(name: string): string {
  requireText(name);
  if (name === '' || Buffer.byteLength(name) > longestName) {
    throw new TargetError('statement', `A name has ${Buffer.byteLength(name)} bytes, and PostgreSQL allows 1 to 63.`);
  }
  return escapeIdentifier(name);
}

export function identifiers(names: readonly string[]): string {
  return names.map(identifier).join(', ');
}

/** A text as a quoted literal. Throws TargetError `statement` for one that PostgreSQL cannot hold. */
export function literal(text: string): string {
  requireText(text);
  return escapeLiteral(text);
}

/** A time (milliseconds) as a literal that every DateStyle reads alike. */
export function timestamp(milliseconds: number): string {
  return literal(new Date(milliseconds).toISOString());
}

/** A whole number as it stands in SQL. */
export function integer(value: number): string {
  if (!Number.isSafeInteger(value)) throw new TargetError('statement', 'A number is not a whole number.');
  return String(value);
}

function requireText(text: string): void {
  if (!text.includes('\0') && text.isWellFormed()) return;
  throw new TargetError('statement', 'A text holds a NUL or half a character, which PostgreSQL cannot hold.');
}
