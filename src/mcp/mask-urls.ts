/** Passwords in addresses: URLs of any scheme, and the data source names that drivers have beside them. */

const mask = '[masked]';

/** Characters that are looked at, for the user and for the password. */
const longestUser = 255;
const longestPassword = 1024;
/** The same for a password with spaces in it. */
const longestSpaced = 256;

export function maskUrls(text: string): string {
  if (!text.includes('@')) return text.replace(curl, '$1$2:[masked]');
  const urls = replaceSpans(text, '//', userinfo);
  const sources = sourceMarks.reduce((done, mark) => replaceSpans(done, mark, beforeMark), urls);
  return sources.replace(oracle, '$1/[masked]@').replace(curl, '$1$2:[masked]');
}

const oracle = /(jdbc:oracle:[a-z0-9]{1,10}:[^\s/@"']{1,128})\/[^\s@"'[]{1,256}@/gi;
const curl = /(?<![\w-])(-u|--user)([ =]["']?[\w.@-]{1,64}):(?!\d+\b)([^\s"'[]{1,256})/g;

interface Span {
  readonly start: number;
  readonly end: number;
}

/** Masks what `find` makes of each place where `mark` stands. */
function replaceSpans(
  text: string,
  mark: string,
  find: (text: string, at: number, from: number) => Span | undefined,
): string {
  let masked = '';
  let from = 0;
  for (let at = text.indexOf(mark); at !== -1; at = text.indexOf(mark, Math.max(at + 1, from))) {
    const span = find(text, at, from);
    if (span === undefined || span.end <= span.start || text.startsWith(mask, span.start)) continue;
    masked += text.slice(from, span.start) + mask;
    from = span.end;
  }
  return from === 0 ? text : masked + text.slice(from);
}

const endsUser = new Set(' \t\r\n:/?#"\'<>');

/** RFC 3986 §3.2.1: what stands between the first colon and the @ that a host follows. */
function userinfo(text: string, at: number): Span | undefined {
  let colon = at + 2;
  // RFC 3986 §3.2.2: an IPv6 host, whose colons begin no password.
  if (text.charAt(colon) === '[') return undefined;
  while (colon - at < longestUser && colon < text.length && !endsUser.has(text.charAt(colon))) colon++;
  if (text.charAt(colon) !== ':') return undefined;
  const start = colon + 1;
  const port = /^\d{1,5}(?![^\s/?#,;)"'])/.test(text.slice(start, start + 6));
  if (port && /(?:https?|wss?):$/i.test(text.slice(Math.max(0, at - 6), at))) return undefined;
  const end = lastAt(text, start) ?? (port ? undefined : spacedAt(text, start));
  return end === undefined ? undefined : { start, end };
}

const endsPassword = new Set(' \t\r\n"\'`<>');

/** The last @ before a space or a quote: RFC 3986 wants @, / and # escaped, and people do not. */
function lastAt(text: string, start: number): number | undefined {
  let last: number | undefined;
  const end = Math.min(text.length, start + longestPassword);
  for (let place = start; place < end && !endsPassword.has(text.charAt(place)); place++) {
    if (text.startsWith('://', place)) break;
    if (text.charAt(place) === '@') last = place;
  }
  return last;
}

const endsSpaced = new Set('\r\n"<>');

/** The first @ before a host, with spaces and single quotes before it. */
function spacedAt(text: string, start: number): number | undefined {
  if (/\s/.test(text.charAt(start))) return undefined;
  const end = Math.min(text.length, start + longestSpaced);
  for (let place = start + 1; place < end && !endsSpaced.has(text.charAt(place)); place++) {
    if (text.startsWith('://', place)) return undefined;
    if (text.charAt(place) === '@' && /[A-Za-z0-9[]/.test(text.charAt(place + 1))) return place;
  }
  return undefined;
}

/** user:password@tcp(host:3306)/database */
const sourceMarks = ['@tcp(', '@tcp6(', '@unix('];

function beforeMark(text: string, at: number, from: number): Span | undefined {
  const first = Math.max(from, at - longestSpaced);
  let start = at;
  while (start > first && !endsPassword.has(text.charAt(start - 1))) start--;
  const colon = text.slice(start, at).indexOf(':');
  return colon === -1 ? undefined : { start: start + colon + 1, end: at };
}
