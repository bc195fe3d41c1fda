/**
 * Text that others wrote, made harmless for a terminal. A certificate may carry any name: an escape sequence that
 * rewrites the screen, or a right-to-left override that turns `exe.gpj` around. Such characters are shown by number.
 */

// Controls, formats (bidi, zero width, tags), line and paragraph separators, surrogates, private use, unassigned, and
// every space but the plain one; then the letters that look like nothing (Hangul fillers, blank Braille).
const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}\u115f\u1160\u3164\uffa0\u2800]|(?! )\p{Zs}/gu;
const unsafeExceptNewline =
  /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}\u115f\u1160\u3164\uffa0\u2800]|(?! )\p{Zs}/gu;
// What JSON.stringify leaves as it is: DEL and C1 controls, formats, separators, private use.
const unsafeInJson = /[\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu;

const named: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function byNumber(character: string): string {
  return named[character] ?? `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}

/** One line: every unsafe character as `\n`, `\t` or `\u{202e}`. */
export function escapeLine(text: string): string {
  return text.replace(unsafe, byNumber);
}

/** Several lines: as escapeLine, but line feeds stay. */
export function escapeLines(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(unsafeExceptNewline, byNumber);
}

/** JSON, indented; the same value for every parser, but with unsafe characters as `\u` escapes. */
export function safeJson(value: unknown, indent = 2): string {
  return (JSON.stringify(value, null, indent) ?? 'null').replace(unsafeInJson, (character) =>
    character
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}

// East Asian wide and fullwidth forms and emoji take two columns; marks take none.
const wide =
  /[\u1100-\u115e\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
const mark = /\p{M}/u;
const ascii = /^[\x20-\x7e]*$/;

/** How many terminal columns an escaped line takes. */
export function displayWidth(text: string): number {
  if (ascii.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += mark.test(character) ? 0 : wide.test(character) ? 2 : 1;
  return width;
}

/** Fills with blanks to a number of terminal columns. */
export function padDisplay(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(0, columns - displayWidth(text)));
}

/** Cuts to a number of terminal columns, the last being `…` when something was cut. */
export function cutDisplay(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  let cut = '';
  let width = 1;
  for (const character of text) {
    width += displayWidth(character);
    if (width > columns) break;
    cut += character;
  }
  return `${cut}…`;
}
