/**
 * Secrets that stand beside their name: `password='x'`, `"password":"x"`, `PASSWORD 'x'`, `--password x`. Read by hand and
 * not by one pattern, since what ends a value depends on how it begins.
 */

const mask = '[masked]';

/**
 * Names, as the last part of a word: PGPASSWORD and db_password, but not password_policy. Of the weak ones only what looks
 * like a secret is masked, since "token: expected an identifier" is a sentence.
 */
const names = new RegExp(
  '(?:(?<strong>pass(?:word|wd|phrase)|pwd|(?<![a-z0-9])pass)' +
    '|(?<weak>secret(?:[-_ ]?(?:access[-_ ]?)?key)?|(?:api|private|hmac|signing|encryption|shared|account|master)[-_ ]?key' +
    '|token|credentials?))(?![a-z_-])\\d{0,2}',
  'gi',
);

/** MySQL and Oracle; and SET PASSWORD FOR user = …, which ends in the sign. */
const statements =
  /IDENTIFIED\s{1,8}(?:(?:WITH|VIA)\s{1,8}\S{1,64}\s{1,8}(?:BY|AS|USING)|BY)(?:\s{1,8}PASSWORD)?(?=[\s'"])|PASSWORD\s{1,4}FOR\s{1,4}[^=;\n]{1,140}(?==)/gi;

export function maskNamed(text: string): string {
  return maskAfter(maskAfter(text, statements), names);
}

function maskAfter(text: string, pattern: RegExp): string {
  let masked = '';
  let from = 0;
  const search = new RegExp(pattern);
  for (let found = search.exec(text); found !== null; found = search.exec(text)) {
    const value = valueAfter(text, found);
    if (value === undefined) continue;
    masked += text.slice(from, value.start) + mask;
    from = value.end;
    search.lastIndex = value.end;
  }
  return from === 0 ? text : masked + text.slice(from);
}

interface Span {
  readonly start: number;
  readonly end: number;
}

const nameEnd = /(\\{0,8}["'`])?\]?/y;
const sign = /[ \t]{0,8}(=>|:=|==?|:|\()?[ \t\r\n]{0,8}/y;
const opening = /(?:[ENU]&?)?(\\{0,8})(["'`])/iy;
const dollar = /\$\w{0,20}\$/y;

function valueAfter(text: string, found: RegExpExecArray): Span | undefined {
  const strong = found.groups?.['weak'] === undefined;
  const after = found.index + found[0].length;
  const closed = closesName(text, found.index, after) ? after + (match(nameEnd, text, after)?.[0].length ?? 0) : after;
  const tag = text.charAt(closed) === '>' ? '>' : undefined;
  const [between = '', operator = tag] = match(sign, text, closed) ?? [];
  const at = closed + (tag === undefined ? between.length : 1);
  if (text.startsWith(mask.slice(0, -1), at) || text.startsWith('***', at)) return undefined;
  const quoted = quotedValue(text, at);
  if (quoted !== undefined) return isGiven(text, quoted, operator, strong) ? quoted : undefined;
  if (!bareIsGiven(text, found, operator, between)) return undefined;
  return bareValue(text, at, found, operator);
}

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/** Whether the quote after the name is the second one: `"password"` and not `PASSWORD'x'`. */
function closesName(text: string, name: number, after: number): boolean {
  const quote = match(nameEnd, text, after)?.[1]?.at(-1);
  if (quote === undefined) return true;
  let start = name;
  while (start > name - 40 && /[\w.-]/.test(text.charAt(start - 1))) start--;
  return text.charAt(start - 1) === quote;
}

/** A text in quotes, in escaped quotes, or between dollars (PostgreSQL 4.1.2.4), to its end or that of the line. */
function quotedValue(text: string, at: number): Span | undefined {
  const delimiter = match(dollar, text, at)?.[0];
  if (delimiter !== undefined) {
    const start = at + delimiter.length;
    const end = text.indexOf(delimiter, start);
    return end === -1 ? undefined : { start, end };
  }
  const [whole, { length: escapes } = '', quote = ''] = match(opening, text, at) ?? [];
  if (whole === undefined) return undefined;
  const start = at + whole.length;
  return { start, end: closing(text, start, quote, escapes) };
}

/** The quote with as many backslashes before it as the first has; with more it is part of the value, with fewer it ends more. */
function closing(text: string, start: number, quote: string, escapes: number): number {
  let backslashes = 0;
  for (let place = start; place < text.length; place++) {
    const character = text.charAt(place);
    if (character === '\n') return place;
    if (character === quote && backslashes <= escapes) {
      const doubled = escapes === 0 && text.charAt(place + 1) === quote;
      if (!doubled) return place - backslashes;
      place++;
    }
    backslashes = character === '\\' ? backslashes + 1 : 0;
  }
  return text.length;
}

const shortestWeak = 8;

function isGiven(text: string, { start, end }: Span, operator: string | undefined, strong: boolean): boolean {
  if (end <= start || text.startsWith('[masked', start)) return false;
  if (strong) return true;
  return (
    operator !== undefined && operator !== '(' && end - start >= shortestWeak && !isNoSecret(text.slice(start, end))
  );
}

/** What follows is a text, or a function of one that is found by its own name. */
const setPassword = /\sFOR\s/i;

/** After `=` and `:`, in an element (`<password>x`), and after a space where the name is a flag or part of a statement. */
function bareIsGiven(text: string, { index, 0: name }: RegExpExecArray, operator: string | undefined, between: string) {
  if (setPassword.test(name)) return false;
  if (operator !== undefined) return operator !== '(' && !between.includes('\n');
  if (!/^[ \t]/.test(between)) return false;
  if (name.startsWith('IDENTIFIED')) return true;
  let start = index;
  while (start > index - 40 && /[\w-]/.test(text.charAt(start - 1))) start--;
  return text.startsWith('--', start);
}

const ends = new Set(' \t\r\n"\'`<>');
/** Where another pair of a list begins, or a quote that is escaped. */
const nextPair = /[&;,](?:\s|$|[A-Za-z_][\w.%-]{0,40}[=:])|\\{1,8}["'`]/y;

function bareValue(
  text: string,
  start: number,
  found: RegExpExecArray,
  operator: string | undefined,
): Span | undefined {
  let end = start;
  while (end < text.length && !ends.has(text.charAt(end)) && match(nextPair, text, end) === null) end++;
  while (end > start && '.,;)]}'.includes(text.charAt(end - 1))) end--;
  const value = text.slice(start, end);
  const weak = found.groups?.['weak'] !== undefined;
  const given = weak ? isWeakSecret(value, operator) : isStrongSecret(value, operator, found[0]);
  return given && !placeholder.test(value) ? { start, end } : undefined;
}

/** Variables, parameters and marks that stand where a secret would. */
const placeholder = /^(?:\$(?:\{.*|\(.*|[A-Z_][A-Z0-9_]{2,}|\d{1,3})|%\(?\w{0,32}\)?[sv]?|\?|…|\.{2,}|\{\{.*)?$/;

const nothing = new Set(['null', 'none', 'nil', 'undefined', 'true', 'false', 'nan']);
/** What follows the colon in "password: must have 12 characters". */
const prose = new Set(
  (
    'a an and are at be by can cannot change changed contains denied does empty expected expired expires failed for from ' +
    'given had has have if in incorrect invalid is it its less longer may missing more must needed needs never new no not ' +
    'of on one only optional or redacted refused rejected required returned see set shorter should shown string stays ' +
    'takes text that the there this to too unset up use used was were when which will with without wrong yes your'
  ).split(' '),
);

function isStrongSecret(value: string, operator: string | undefined, name: string): boolean {
  const word = value.toLowerCase().replace(/[.,;:!?]+$/, '');
  if (word === '' || nothing.has(word)) return false;
  if (operator?.endsWith('=') === true || operator === '=>') return true;
  return !prose.has(word) && !(operator === ':' && /^pass$/i.test(name));
}

/** Characters beyond which nothing is a word. */
const longestWord = 64;

function isWeakSecret(value: string, operator: string | undefined): boolean {
  if (value.length > longestWord) return true;
  if (value.length < shortestWeak || isNoSecret(value)) return false;
  if (operator !== ':') return true;
  return value.length >= 12 && ((/\d/.test(value) && /[a-z]/i.test(value)) || /[a-z].*[A-Z].*[a-z]/.test(value));
}

/** Ids of ours, ids of operations, paths and addresses are told. */
const open = /^(?:[a-z]{3}_[0-9a-z]{26}|[a-z]+\.[a-z_]+|(?:\.{0,2}|~)\/.*|[a-z][a-z0-9+.-]{1,20}:\/\/.*|\[masked.*)$/i;

function isNoSecret(value: string): boolean {
  return open.test(value) || nothing.has(value.toLowerCase());
}
