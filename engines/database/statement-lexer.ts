import { AppError } from '#core/errors.ts';
import type { EngineName } from './target.ts';

/**
 * Tells, for each placeholder of a script, whether the server will see it bare, in a string, in a quoted identifier or
 * where no value may go. It knows no grammar: only the lexical rules of strings, identifiers and comments.
 *
 * PostgreSQL: https://www.postgresql.org/docs/current/sql-syntax-lexical.html with standard_conforming_strings = on,
 * which our sessions set. MySQL and MariaDB: https://dev.mysql.com/doc/refman/8.4/en/string-literals.html without
 * NO_BACKSLASH_ESCAPES; a doubled backslash is right for strings of both ANSI_QUOTES settings, names have none.
 */

export interface PlacedPlaceholder {
  readonly name: string;
  readonly encodeName: (value: string) => string;
  readonly encodeText: (value: string) => string;
}

type Context = 'bare' | 'string' | 'escape_string' | 'identifier' | 'backtick' | 'opaque';

interface Token {
  readonly context: Context;
  /** Matches at the beginning of a token, or fails. */
  readonly whole: RegExp;
  /** Matches where a token of this kind begins, finished or not. */
  readonly opening: RegExp;
  /** For messages: `a comment`. */
  readonly title: string;
}

const doubled = (quote: string) => `${quote}[^${quote}]*(?:${quote}${quote}[^${quote}]*)*${quote}`;
const backslashed = (quote: string) =>
  `${quote}[^${quote}\\\\]*(?:(?:\\\\[\\s\\S]|${quote}${quote})[^${quote}\\\\]*)*${quote}`;
/** Strings on both sides of white space with a line end are one string, read by the rules of the first (§4.1.2.1). */
const continuation = `(?:[ \\t\\f\\v]|--[^\\n\\r]*)*[\\n\\r](?:[ \\t\\f\\v\\n\\r]|--[^\\n\\r]*[\\n\\r])*`;

const token = (context: Context, title: string, opening: string, whole: string): Token => ({
  context,
  title,
  opening: new RegExp(opening, 'y'),
  whole: new RegExp(whole, 'y'),
});

/** The body of a block comment is found by `blockComment`, since PostgreSQL nests them. */
const comment = (opening: string) => token('opaque', 'a comment', opening, `${opening}[^\\n\\r]*`);

const tokens: Readonly<Record<EngineName, readonly Token[]>> = {
  postgresql: [
    comment('--'),
    token(
      'opaque',
      'a dollar-quoted string',
      '\\$(?:[A-Za-z_\\u0080-\\uffff][\\w\\u0080-\\uffff]*)?\\$',
      '(\\$(?:[A-Za-z_\\u0080-\\uffff][\\w\\u0080-\\uffff]*)?\\$)[\\s\\S]*?\\1',
    ),
    token('escape_string', 'a string', "[eE]'", `[eE]${backslashed("'")}(?:${continuation}${backslashed("'")})*`),
    token(
      'opaque',
      'a string with Unicode escapes',
      `[uU]&'`,
      `[uU]&${doubled("'")}(?:${continuation}${doubled("'")})*`,
    ),
    token('opaque', 'an identifier with Unicode escapes', `[uU]&"`, `[uU]&${doubled('"')}`),
    token('string', 'a string', "'", doubled("'")),
    token('identifier', 'a quoted identifier', '"', doubled('"')),
  ],
  mysql: [
    comment('#'),
    comment('--(?=\\s|$)'),
    token('escape_string', 'a string', "'", backslashed("'")),
    token('escape_string', 'a string', '"', backslashed('"')),
    token('backtick', 'a quoted identifier', '`', doubled('`')),
  ],
};

const word = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;
const anyPlaceholder = /\{\{\s*([^{}]*?)\s*\}\}/y;
/** Braces that look like the beginning of a placeholder. */
const unfinished = /\{\{\s*[A-Za-z_]/y;

const escapes: Readonly<Record<Exclude<Context, 'bare' | 'opaque'>, (quote: string) => (value: string) => string>> = {
  string: () => (value) => value.replaceAll("'", "''"),
  escape_string: (quote) => (value) => value.replaceAll('\\', '\\\\').replaceAll(quote, quote + quote),
  identifier: () => (value) => value.replaceAll('"', '""'),
  backtick: () => (value) => value.replaceAll('`', '``'),
};

const bare: Readonly<Record<EngineName, Omit<PlacedPlaceholder, 'name'>>> = {
  postgresql: {
    encodeName: (value) => `"${escapes.identifier('"')(value)}"`,
    encodeText: (value) => `'${escapes.string("'")(value)}'`,
  },
  mysql: {
    encodeName: (value) => `\`${escapes.backtick('`')(value)}\``,
    encodeText: (value) => `'${escapes.escape_string("'")(value)}'`,
  },
};

/** The script cut at its placeholders, known and unknown. Throws `invalid_request` where one may not stand. */
export function literalPieces(text: string, engine: EngineName): (string | PlacedPlaceholder)[] {
  const pieces: (string | PlacedPlaceholder)[] = [];
  let from = 0;
  let at = 0;
  const place = (start: number, end: number, placeholder: PlacedPlaceholder) => {
    pieces.push(text.slice(from, start), placeholder);
    from = end;
  };
  while (at < text.length) {
    const { token: found, end } = nextToken(text, at, engine);
    if (found === undefined) {
      const placeholder = match(anyPlaceholder, text, at);
      if (placeholder) {
        requireAlone(text, at, at + placeholder[0].length);
        place(at, at + placeholder[0].length, { name: placeholder[1] ?? '', ...bare[engine] });
      } else requireFinished(text, at);
      at += placeholder?.[0].length ?? end - at;
    } else {
      for (const inner of placeholdersWithin(text, at, end)) {
        if (found.context === 'opaque') throw misplaced(inner.name, found.title);
        const before = text.slice(at, inner.start);
        if (found.context === 'escape_string') requireNoEscape(before);
        if (/\{\s*$/.test(before) || text[inner.end] === '}') throw bracesAround();
        const encode = escapes[found.context as keyof typeof escapes](text[end - 1] ?? "'");
        place(inner.start, inner.end, { name: inner.name, encodeName: encode, encodeText: encode });
      }
      at = end;
    }
  }
  pieces.push(text.slice(from));
  return pieces;
}

/** The token that begins here, or the end of a word or character of plain text. */
function nextToken(
  text: string,
  at: number,
  engine: EngineName,
): { token?: Pick<Token, 'context' | 'title'>; end: number } {
  if (text.startsWith('/*', at)) {
    return { token: { context: 'opaque', title: 'a comment' }, end: blockComment(text, at, engine === 'postgresql') };
  }
  for (const candidate of tokens[engine]) {
    if (!match(candidate.opening, text, at)) continue;
    const whole = match(candidate.whole, text, at);
    if (!whole) throw unterminated(candidate.title);
    return { token: candidate, end: at + whole[0].length };
  }
  return { end: at + (match(word, text, at)?.[0].length ?? 1) };
}

function blockComment(text: string, start: number, nested: boolean): number {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    if (text.startsWith('*/', at)) {
      depth--;
      at++;
      if (depth === 0) return at + 1;
    } else if (text.startsWith('/*', at) && (nested || at === start)) {
      depth++;
      at++;
    }
  }
  throw unterminated('a comment');
}

function* placeholdersWithin(text: string, start: number, end: number) {
  for (let at = text.indexOf('{{', start); at !== -1 && at < end; at = text.indexOf('{{', at + 1)) {
    const placeholder = match(anyPlaceholder, text, at);
    if (placeholder && at + placeholder[0].length <= end) {
      yield { name: placeholder[1] ?? '', start: at, end: at + placeholder[0].length };
      at += placeholder[0].length - 1;
    } else requireFinished(text, at);
  }
}

/** A quoted value that touches a word or a quote would be read as part of it: `E{{password}}`, `'a'{{password}}`. */
function requireAlone(text: string, start: number, end: number): void {
  const touching = /[\w$'"`&{}\u0080-\uffff]/;
  if (!touching.test(text[start - 1] ?? ' ') && !touching.test(text[end] ?? ' ')) return;
  throw new AppError(
    'invalid_request',
    `The placeholder ${text.slice(start, Math.min(end, start + 40))} touches a word or a quote.`,
    {
      hint: 'Set it apart by a space, or write it inside quotes: "app_{{name}}".',
    },
  );
}

/** A backslash, or an escape that takes more digits, would take the first character of the value: `E'\\{{name}}'`. */
const openEscape = /(?<!\\)(?:\\\\)*\\(?:[0-7]{1,2}|x[0-9a-fA-F]?|u[0-9a-fA-F]{0,3}|U[0-9a-fA-F]{0,7})?$/;

function requireNoEscape(before: string): void {
  if (!openEscape.test(before)) return;
  throw new AppError('invalid_request', 'A placeholder follows a backslash, which would change its value.', {
    hint: 'Double the backslash, or take it away.',
  });
}

/** Which braces are the placeholder's would be a guess. */
function bracesAround(): AppError {
  return new AppError('invalid_request', 'A placeholder touches another brace.', {
    hint: 'Write {{name}} with two braces on each side, and other braces apart from it.',
  });
}

function requireFinished(text: string, at: number): void {
  if (!match(unfinished, text, at)) return;
  throw new AppError('invalid_request', `A placeholder is not finished: ${text.slice(at, at + 20)}.`, {
    hint: 'Write {{name}}; for braces that are no placeholder, put a space between them.',
  });
}

function misplaced(name: string, where: string): AppError {
  return new AppError(
    'invalid_request',
    `The placeholder {{${name.slice(0, 40)}}} stands in ${where}, where nothing can be quoted.`,
    {
      hint: "In a DO block read it from a setting: SELECT set_config('my.name', '{{name}}', true) before, current_setting('my.name') within.",
    },
  );
}

function unterminated(what: string): AppError {
  return new AppError('invalid_request', `A statement ends within ${what}.`, {
    hint: 'Close it; each entry is a whole script.',
  });
}

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}
