import { type Malformed, malformed } from './malformed.ts';
import { parseUri, type Uri } from './uri.ts';

/**
 * Which URIs a role allows: a URI whose path segments may each hold one `*`, and whose last segment may be `**`.
 * `*` stands for one or more characters within its segment, `**` for one or more segments. Scheme, host, port and query
 * are always literal.
 */
export interface UriPattern {
  readonly kind: 'pattern';
  readonly value: string;
  readonly origin: string;
  readonly query: string;
  readonly segments: readonly Segment[];
  /** Whether any number of further segments, at least one, follows. */
  readonly open: boolean;
}

/** A literal when `after` is null; else what stands before and after the star. */
interface Segment {
  readonly before: string;
  readonly after: string | null;
}

/** Reads a pattern: with the stars filled in it must be a well-formed URI. */
export function parseUriPattern(text: string): UriPattern | Malformed {
  if (text.length > 2048) return malformed('is longer than 2048 characters');
  const open = text.endsWith('/**');
  const closed = open ? text.slice(0, -3) : text;
  if (closed.includes('**')) return malformed('has ** elsewhere than as its last segment');
  const sample = parseUri(closed.replaceAll('*', star));
  if (sample.kind === 'malformed') return malformed(sample.problem, sample.suggestion?.replaceAll(star, '*'));
  if (closed.includes(star)) return malformed(`holds the text ${star}, which is kept for the use of *`);
  if (open && sample.query !== '') return malformed('has ** in its query');
  if (`${sample.origin}${sample.query}`.includes(star)) return malformed('has a * elsewhere than in its path');
  const segments = sample.path.split('/').map(parseSegment);
  if (segments.includes(undefined)) return malformed('has more than one * in a segment');
  return {
    kind: 'pattern',
    value: sample.value.replaceAll(star, '*') + (open ? '/**' : ''),
    origin: sample.origin,
    query: sample.query,
    segments: segments.filter((segment) => segment !== undefined),
    open,
  };
}

/** Stands in for a star while the pattern is read as a URI; every character of it is unreserved and lower case. */
const star = 'x-any-x';

function parseSegment(text: string): Segment | undefined {
  const parts = text.split(star);
  if (parts.length > 2) return undefined;
  return { before: parts[0] ?? '', after: parts[1] ?? null };
}

/** Stops at the first segment that differs, so that long paths and many patterns cost little. */
export function matchesUri(pattern: UriPattern, uri: Uri): boolean {
  if (pattern.origin !== uri.origin || pattern.query !== uri.query) return false;
  const { path } = uri;
  let start = 0;
  for (const segment of pattern.segments) {
    if (start > path.length) return false;
    const slash = path.indexOf('/', start);
    const end = slash === -1 ? path.length : slash;
    if (!matchesSegment(segment, path.slice(start, end))) return false;
    start = end + 1;
  }
  // No path holds an empty segment except at its end, so only that needs a look.
  return pattern.open ? start < path.length && !path.endsWith('/') : start > path.length;
}

function matchesSegment(segment: Segment, given: string): boolean {
  if (segment.after === null) return segment.before === given;
  return (
    given.length > segment.before.length + segment.after.length &&
    given.startsWith(segment.before) &&
    given.endsWith(segment.after)
  );
}

/**
 * A URI that the pattern matches, as near to `asked` as it can be: literals are the pattern's, and what stands for a
 * star is what stood there, or `name`.
 */
export function fillPattern(pattern: UriPattern, asked: Uri | undefined): string {
  const given = asked?.path.split('/') ?? [];
  const segments = pattern.segments.map((segment, index) => {
    const own = given[index] ?? '';
    if (segment.after === null) return segment.before;
    return matchesSegment(segment, own) ? own : `${segment.before}${own === '' ? 'name' : own}${segment.after}`;
  });
  if (pattern.open) segments.push(given[segments.length] || 'name');
  return `${pattern.origin}${segments.join('/')}${pattern.query}`;
}
