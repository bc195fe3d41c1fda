import { isUtf8 } from 'node:buffer';
import { AppError } from '#core/errors.ts';

const maxDepth = 32;
const [quote, backslash, colon, openBracket, closeBracket, openBrace, closeBrace] = Buffer.from('"\\:[]{}');

/**
 * Parses a JSON body (RFC 8259) more strictly than JSON.parse: at most 32 levels, no member named twice, valid UTF-8,
 * and no `__proto__`. A duplicate member is where two parsers see two different requests (RFC 8259 §4), and depth is
 * what makes a recursive step later on fail. An empty body is undefined.
 *
 * Throws `invalid_request`. The text never says what stood in the body.
 */
export function parseJsonBody(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined;
  if (!isUtf8(bytes)) throw invalid('The body is not valid UTF-8.', 'Send the JSON text in UTF-8.');
  const text = bytes.toString('utf8');
  const members = countMembers(text);
  const value = parse(text);
  if (countKeys(value) !== members)
    throw invalid('An object in the body names the same field twice.', 'Send every field once.');
  return value;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (thrown) {
    const position = /at position (\d+)/.exec(String(thrown))?.[1];
    throw invalid(
      `The body is not valid JSON${position === undefined ? '' : `: the fault is at character ${position}`}.`,
      'Send one JSON object (RFC 8259).',
    );
  }
}

/** Members of all objects in the text: one colon each, outside of strings. Iterative, so that no depth can hurt it. */
function countMembers(text: string): number {
  let depth = 0;
  let members = 0;
  for (let index = 0; index < text.length; index++) {
    const character = text.charCodeAt(index);
    if (character === quote) index = endOfString(text, index);
    else if (character === colon) members++;
    else if (character === openBrace || character === openBracket) {
      if (++depth > maxDepth) throw tooDeep();
    } else if (character === closeBrace || character === closeBracket) depth--;
  }
  return members;
}

/** Where the string that begins at `start` ends; the end of the text when it does not. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let before = end - 1;
    while (text.charCodeAt(before) === backslash) before--;
    if ((end - before) % 2 === 1) return end;
  }
  return text.length;
}

/** Members that are left after parsing; fewer than were written means that one replaced another. */
function countKeys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let keys = 0;
  if (Array.isArray(value)) {
    for (const item of value) keys += countKeys(item);
    return keys;
  }
  for (const key of Object.keys(value)) {
    if (key === '__proto__') throw reservedName();
    keys += 1 + countKeys((value as Record<string, unknown>)[key]);
  }
  return keys;
}

function tooDeep(): AppError {
  return invalid(`The body is nested deeper than ${maxDepth} levels.`, 'No operation takes a body as deep as that.');
}

function reservedName(): AppError {
  return invalid('A field of the body has a name that is never accepted.', 'Leave the field __proto__ out.');
}

function invalid(message: string, hint: string): AppError {
  return new AppError('invalid_request', message, { hint });
}
