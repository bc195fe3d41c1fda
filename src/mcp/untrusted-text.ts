/**
 * Text in results may have been written by anybody: names in a CSR, an error of a database, a note in the audit. A model
 * reads it like everything else. So every string of every result, whoever wrote it, keeps to one rule: characters that do
 * not show, or that turn others around, are told by number, and a string ends where nobody would read on.
 */

// Controls but for line feed and tab; formats (bidirectional, zero width, tags), separators, surrogates, private use,
// unassigned; every space but the plain one; variation selectors, in which text can be hidden; and letters that look
// like nothing (Hangul fillers, blank Braille).
const unsafe =
  /(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}\ufe00-\ufe0f\u{e0100}-\u{e01ef}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u3164\uffa0\u2800]|(?! )\p{Zs}/gu;
const plain = /^[\n\t\x20-\x7e]*$/;

/** Longest string in UTF-16 units. A certificate with a post-quantum key and signature has 10,000. */
const longest = 32_768;

/** `\u{202e}` for each unsafe character; cut, with the whole length said, beyond the longest. */
export function safeText(text: string): string {
  const cut = text.length > longest ? text.slice(0, longest) : text;
  const escaped = plain.test(cut) ? cut : cut.replace(unsafe, byNumber);
  return cut === text ? escaped : `${escaped}… [cut: ${text.length} characters in all]`;
}

function byNumber(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}

/** Changes every string of a JSON value, names of members too. */
export function mapStrings(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === 'string') return change(value);
  if (Array.isArray(value)) return value.map((item) => mapStrings(item, change));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([member, item]) => [change(member), mapStrings(item, change)]));
}
