import { type Malformed, malformed } from './identifier/malformed.ts';
import { unprintable } from './role-entries.ts';

/**
 * The common names that a role lists although they are none of the names of the certificate: whole ones, and
 * beginnings with a star after them, for names that somebody else makes up (users of a database: `chy_ab12c_*`).
 *
 * What a star stands for is one word of letters, digits, `_` and `-`, and so is what stands before it: neither a host
 * name with a dot nor a mailbox nor a URI ever comes of it.
 */
export interface CommonNames {
  /** Entries. */
  readonly size: number;
  /** Whether the role lists this common name. */
  has(text: string): boolean;
  /** One that it lists; undefined when it lists none. */
  readonly example: string | undefined;
}

/** ub-common-name (RFC 5280 appendix A.1). */
export const longestCommonName = 64;

/** A beginning that is shorter would stand for half the world. */
const beginning = /^[A-Za-z0-9_-]{4,63}\*$/;
const word = /^[A-Za-z0-9_-]+$/;

export function readCommonName(text: string): string | Malformed {
  if (unprintable.test(text)) return malformed('holds a character that cannot be seen');
  if (text.endsWith('*'))
    return beginning.test(text) ? text : malformed('needs 4 to 63 letters, digits, _ and - before the * at its end');
  if (/[,;*"\\]/.test(text)) return malformed('holds a character that separates or matches: , ; * " \\');
  return text.trim() === text ? text : malformed('begins or ends with white space');
}

/** Entries as `readCommonName` leaves them. */
export function compileCommonNames(entries: readonly string[]): CommonNames {
  const whole = new Set(entries.filter((entry) => !entry.endsWith('*')));
  const beginnings = entries.filter((entry) => entry.endsWith('*')).map((entry) => entry.slice(0, -1));
  const [first] = beginnings;
  return {
    size: entries.length,
    has(text) {
      if (whole.has(text)) return true;
      if (text.length > longestCommonName || !word.test(text)) return false;
      return beginnings.some((start) => text.length > start.length && text.startsWith(start));
    },
    example: whole.values().next().value ?? (first && `${first}name`.slice(0, longestCommonName)),
  };
}
