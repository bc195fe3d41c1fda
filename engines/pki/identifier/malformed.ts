/** What the parsers of names answer for a text that is not one. */
export interface Malformed {
  readonly kind: 'malformed';
  /** Goes on from the text: `has an empty label`. Shows foreign characters only as `shown` does. */
  readonly problem: string;
  /** The spelling of what was probably meant; itself well formed, but not judged by any rule. */
  readonly suggestion?: string | undefined;
}

export function malformed(problem: string, suggestion?: string): Malformed {
  return { kind: 'malformed', problem, suggestion };
}

const longest = 80;

/**
 * A text from outside as it may stand in a message, log or terminal: in quotes, at most 80 characters of it, and of
 * those only printable ASCII as such. The rest is written as code points, so that no control character, no direction
 * mark and no look-alike letter passes for something else.
 */
export function shown(text: string): string {
  let out = '';
  let length = 0;
  for (const character of text) {
    if (length++ === longest) return `"${out}..."`;
    const code = character.codePointAt(0) ?? 0;
    const plain = code > 0x1f && code < 0x7f && character !== '"' && character !== '\\';
    out += plain ? character : `\\u{${code.toString(16)}}`;
  }
  return `"${out}"`;
}
