/**
 * Globs over operation ids (`pki.issue_certificate`) and resources (`pki/roles/web`).
 *
 * `*` stands for any run of characters inside one segment, also for none. `**` is a whole segment and stands for one or
 * more segments, so `pki/**` covers all below `pki` and not `pki` itself. Everything else stands for itself, with no
 * folding of case. An operation id has two segments always; a lone `*` there means every operation, because read
 * strictly it would match none, and a deny written with it would be void without a sign.
 *
 * Matching is linear in the text for every glob with one `**`, and bounded by globs × segments otherwise: no regular
 * expression, so no glob can be made slow.
 */

export type GlobKind = 'operation' | 'resource';
export type Glob = (text: string) => boolean;

const separators = { operation: '.', resource: '/' } as const;
const maxGlobLength = 256;
const maxResourceLength = 512;
const maxSegments = 16;

/** Why a glob may not be written, in words that follow "the glob …"; undefined when it may. */
export function globFault(kind: GlobKind, glob: string): string | undefined {
  if (glob.length === 0 || glob.length > maxGlobLength) return `must have 1 to ${maxGlobLength} characters`;
  const segments = glob.split(separators[kind]);
  if (segments.length > maxSegments) return `may have at most ${maxSegments} segments`;
  if (segments.includes('')) return `has an empty segment: no leading, trailing or double "${separators[kind]}"`;
  const fault = segments.map((segment) => segmentFault(kind, segment)).find((found) => found !== undefined);
  return fault ?? (kind === 'operation' ? operationFault(segments) : resourceFault(segments));
}

const operationSegment = /^[a-z0-9_*]+$/;
const resourceSegment = /^[a-z0-9_.*-]+$/;

function segmentFault(kind: GlobKind, segment: string): string | undefined {
  if (segment === '**') return undefined;
  if (segment.includes('**')) return 'has ** beside other characters: ** must be a whole segment';
  if (segment.includes('..') || segment === '.') return 'has a segment with . or .. in it';
  const allowed = kind === 'operation' ? operationSegment : resourceSegment;
  if (allowed.test(segment) && (kind === 'operation' || segment.includes('*') || isNormalResource(segment)))
    return undefined;
  return kind === 'operation'
    ? 'may hold a-z, 0-9, _, * and . between the two parts of an operation id'
    : 'may hold a-z, 0-9, and inside of segments - _ and ., beside *: resources have one spelling, lower case and unescaped';
}

/** A glob that can never match is refused: in an allow it is a puzzle, in a deny it is a hole. */
function operationFault(segments: readonly string[]): string | undefined {
  if (segments.length === 1 && segments[0] !== '*' && segments[0] !== '**')
    return 'must have the form area.verb_noun, as in pki.issue_*, or be ** for every operation';
  return segments.length > 2 ? 'has more than two parts, and no operation id has' : undefined;
}

function resourceFault(segments: readonly string[]): string | undefined {
  return segments.length === 1 && segments[0] === '*'
    ? 'would match only resources of one segment; write ** for every resource'
    : undefined;
}

/** Compiles a glob that `globFault` passes. Throws TypeError for any other, so that a damaged policy decides nothing. */
export function compileGlob(kind: GlobKind, glob: string): Glob {
  const fault = globFault(kind, glob);
  if (fault !== undefined) throw new TypeError(`the glob ${JSON.stringify(glob)} ${fault}`);
  if (glob === '**' || (kind === 'operation' && glob === '*')) return () => true;
  if (!glob.includes('*')) return (text) => text === glob;
  const separator = separators[kind];
  const head = glob.slice(0, glob.indexOf('*'));
  if (glob === `${head}**`) return (text) => text.length > head.length && text.startsWith(head);
  if (glob === `${head}*`) return (text) => text.startsWith(head) && !text.includes(separator, head.length);
  const segments = glob.split(separator).map(compileSegment);
  return (text) => text.startsWith(head) && matchSegments(segments, text.split(separator));
}

type Segment = (text: string) => boolean;
const anySegments = Symbol('**');

function compileSegment(segment: string): Segment | typeof anySegments {
  if (segment === '**') return anySegments;
  if (!segment.includes('*')) return (text) => text === segment;
  const parts = segment.split('*');
  const first = parts[0] ?? '';
  const last = parts.at(-1) ?? '';
  const middle = parts.slice(1, -1);
  return (text) => {
    if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
    let from = first.length;
    for (const part of middle) {
      const at = text.indexOf(part, from);
      if (at === -1 || at + part.length > text.length - last.length) return false;
      from = at + part.length;
    }
    return true;
  };
}

/**
 * Greedy matching that goes back to the last `**` only: what stands between two `**` has a fixed number of segments, so
 * its leftmost place is as good as any other.
 */
function matchSegments(glob: readonly (Segment | typeof anySegments)[], text: readonly string[]): boolean {
  let at = 0;
  let in_ = 0;
  let retryGlob = -1;
  let retryText = 0;
  while (in_ < text.length) {
    const segment = glob[at];
    if (segment === anySegments) {
      retryGlob = at;
      retryText = in_ + 1;
      at++;
      in_++;
    } else if (segment?.(text[in_] as string) === true) {
      at++;
      in_++;
    } else if (retryGlob !== -1) {
      at = retryGlob + 1;
      in_ = ++retryText;
    } else return false;
  }
  return at === glob.length;
}

/**
 * Whether a resource is spelt in the one way that is judged: segments of `a-z 0-9 _ - .` beginning and ending
 * with a letter or a digit and without `..`, or a lone `*` (a list), at most 16 of them and 512 characters. Anything else (upper case, an
 * empty segment, a trailing slash, percent-encoding, control characters, other scripts) is refused before any rule is
 * looked at, so that no spelling can be judged as one thing and used as another (CVE-2025-5999, CVE-2026-3605).
 */
export function isNormalResource(resource: string): boolean {
  if (resource.length === 0 || resource.length > maxResourceLength) return false;
  let segments = 1;
  let previous = slash;
  for (let index = 0; index < resource.length; index++) {
    const code = resource.charCodeAt(index);
    if (code === slash) {
      // A segment ends with a letter or a digit, or is the lone star: `house.` is `house` to a resolver of names.
      if (previous === slash || isInner(previous)) return false;
      segments++;
    } else if (code === star) {
      if (previous !== slash || (index + 1 < resource.length && resource.charCodeAt(index + 1) !== slash)) return false;
    } else if (!isAlphanumeric(code)) {
      if (previous === slash || !isInner(code) || (code === dot && previous === dot)) return false;
    }
    previous = code;
  }
  return previous !== slash && !isInner(previous) && segments <= maxSegments;
}

const slash = 0x2f;
const star = 0x2a;
const dot = 0x2e;

function isAlphanumeric(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39);
}

function isInner(code: number): boolean {
  return code === 0x2d || code === 0x5f || code === dot;
}
