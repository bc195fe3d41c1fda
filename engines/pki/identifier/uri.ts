import { parseDnsName } from './dns-name.ts';
import { parseIpAddress } from './ip-address.ts';
import { type Malformed, malformed, shown } from './malformed.ts';

/** An absolute URI for uniformResourceIdentifier (RFC 5280 §4.2.1.6), in one spelling. */
export interface Uri {
  readonly kind: 'uri';
  readonly value: string;
  /** Lower case. */
  readonly scheme: string;
  /** Scheme and authority as they begin the value: `spiffe://example.org`, `urn:`. */
  readonly origin: string;
  /** Lower case; null when the URI has no authority. */
  readonly host: string | null;
  /** Whether the host is an address and not a name. */
  readonly hostIsAddress: boolean;
  readonly path: string;
  /** With its `?`; empty when there is none. */
  readonly query: string;
}

interface Authority {
  readonly text: string;
  readonly host: string;
  readonly hostIsAddress: boolean;
}

const maxLength = 2048;

/** Unreserved and reserved characters of RFC 3986 §2, without `#`, and without the three that separate or match elsewhere. */
const allowedCharacter = /[^A-Za-z0-9\-._~:/?[\]@!$&'()+=%]/;

/** RFC 3986 §3.1. */
const schemeAndRest = /^([A-Za-z][A-Za-z0-9+.-]{0,63}):(.*)$/;

/**
 * Reads an absolute URI. Accepts either case in scheme and host and answers lower case (RFC 3986 §6.2.2.1). Refuses
 * what has a second spelling or reading: user names, fragments, dot segments, needless or lower-case percent-encoding,
 * encoded separators, and the literal characters `* , ;`. URIs of the scheme `spiffe` follow the SPIFFE ID rules.
 */
export function parseUri(text: string): Uri | Malformed {
  if (text === '') return malformed('is empty');
  if (text.length > maxLength) return malformed(`is longer than ${maxLength} characters`);
  const foreign = allowedCharacter.exec(text);
  if (foreign) return malformed(characterFlaw(foreign[0]));
  const encoding = encodingFlaw(text);
  if (encoding !== undefined) return encoding;
  const [, givenScheme, rest] = schemeAndRest.exec(text) ?? [];
  if (givenScheme === undefined || rest === undefined) return malformed('is not an absolute URI: it has no scheme');
  const scheme = givenScheme.toLowerCase();
  const uri = rest.startsWith('//') ? hierarchical(scheme, rest.slice(2)) : opaque(scheme, rest);
  return uri.kind === 'uri' ? uri : retry(uri, scheme);
}

/** A flaw of the authority may come with a better authority; it stands only if the whole then is a URI. */
function retry(flaw: Malformed, scheme: string): Malformed {
  if (flaw.suggestion === undefined) return flaw;
  const again = parseUri(`${scheme}://${flaw.suggestion}`);
  return malformed(flaw.problem, again.kind === 'uri' ? again.value : undefined);
}

function characterFlaw(character: string): string {
  if (character === '#') return 'has a fragment, which names a part of a document and not a peer';
  if (character === '*') return 'has a *, which only the patterns of a role hold';
  if (character === ',' || character === ';') return `has the separator ${shown(character)}; write it percent-encoded`;
  return `has the character ${shown(character)}, which URIs hold only percent-encoded (RFC 3986 §2.1)`;
}

/** Octets that must not even be encoded: controls, `/`, `\`, `*`. Software that decodes too early would see them. */
const forbiddenOctet = /^(?:[01][\dA-F]|7F|2F|5C|2A)$/;

/** RFC 3986 §6.2.2: one spelling, with capital hex digits and nothing encoded that need not be. */
function encodingFlaw(text: string): Malformed | undefined {
  if (!text.includes('%')) return undefined;
  if (/%(?![\dA-Fa-f]{2})/.test(text)) return malformed('has a % that is not followed by two hexadecimal digits');
  const capital = text.replace(/%[\dA-Fa-f]{2}/g, (encoded) => encoded.toUpperCase());
  const plain = capital.replace(/%([2-7][\dA-F])/g, (encoded, hex: string) => {
    const character = String.fromCharCode(Number.parseInt(hex, 16));
    return /[A-Za-z0-9\-._~]/.test(character) ? character : encoded;
  });
  for (const [, hex] of capital.matchAll(/%(..)/g)) {
    if (forbiddenOctet.test(hex ?? '')) return malformed(`has the encoded character %${hex}, which is refused`);
  }
  if (plain === text) return undefined;
  const again = parseUri(plain);
  return malformed(
    'has percent-encoding in another than its normal spelling (RFC 3986 §6.2.2)',
    again.kind === 'uri' ? again.value : again.suggestion,
  );
}

/** A URI without an authority, such as `urn:uuid:…`. */
function opaque(scheme: string, rest: string): Uri | Malformed {
  if (scheme === 'spiffe') return malformed('is not a SPIFFE ID: spiffe: is followed by // and a trust domain');
  if (/^(?:https?|wss?|ftp|file)$/.test(scheme))
    return malformed(`is no URI with a host: ${scheme}: is followed by //`);
  const [path, query] = splitQuery(rest);
  const flaw = path === '' ? 'has nothing after its scheme' : segmentFlaw(path);
  if (flaw !== undefined) return malformed(flaw);
  const origin = `${scheme}:`;
  return {
    kind: 'uri',
    value: `${origin}${path}${query}`,
    scheme,
    origin,
    host: null,
    hostIsAddress: false,
    path,
    query,
  };
}

function hierarchical(scheme: string, rest: string): Uri | Malformed {
  const end = /[/?]/.exec(rest)?.index ?? rest.length;
  const authority = scheme === 'spiffe' ? parseTrustDomain(rest.slice(0, end)) : parseAuthority(rest.slice(0, end));
  if ('kind' in authority) {
    const { problem, suggestion } = authority;
    return malformed(problem, suggestion === undefined ? undefined : suggestion + rest.slice(end));
  }
  const [path, query] = splitQuery(rest.slice(end));
  const flaw = (scheme === 'spiffe' ? spiffeFlaw(path, query) : undefined) ?? segmentFlaw(path);
  if (flaw !== undefined) return malformed(flaw);
  const { host, hostIsAddress, text } = authority;
  const origin = `${scheme}://${text}`;
  return { kind: 'uri', value: `${origin}${path}${query}`, scheme, origin, host, hostIsAddress, path, query };
}

function splitQuery(text: string): [path: string, query: string] {
  const mark = text.indexOf('?');
  return mark === -1 ? [text, ''] : [text.slice(0, mark), text.slice(mark)];
}

function segmentFlaw(path: string): string | undefined {
  if (/[[\]]/.test(path)) return 'has brackets in its path, which belong around IPv6 addresses only';
  if (path.includes('//')) return 'has an empty path segment';
  return /(?:^|\/)\.{1,2}(?:\/|$)/.test(path)
    ? 'has the path segment . or .., which some resolve and some do not'
    : undefined;
}

/** Host and port. RFC 5280 §4.2.1.6: the host is a fully qualified name or an address. */
function parseAuthority(text: string): Authority | Malformed {
  if (text.includes('@')) return malformed('has a user name, which a certificate cannot vouch for');
  const [, bracketed, name, port] = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(.*))?$/.exec(text) ?? [];
  if (port !== undefined && !/^(?:0|[1-9]\d{0,4})$/.test(port)) return malformed('has a port that is not a number');
  if (Number(port ?? 0) > 65_535) return malformed('has a port above 65535');
  const tail = port === undefined ? '' : `:${port}`;
  if (bracketed !== undefined) {
    const address = parseIpAddress(bracketed);
    if (address.kind === 'malformed') return malformed(`has a host that ${address.problem}`);
    return { text: `[${address.value}]${tail}`, host: address.value, hostIsAddress: true };
  }
  if (name === undefined) return malformed('has a host that is neither a DNS name nor an address');
  if (name === '') return malformed('has an empty host (RFC 5280 §4.2.1.6)');
  const host = /^[\d.]+$/.test(name) ? parseIpAddress(name) : parseDnsName(name);
  if (host.kind === 'malformed') {
    const suggestion = host.suggestion === undefined ? undefined : host.suggestion + tail;
    return malformed(`has a host that ${host.problem}`, suggestion);
  }
  return { text: host.value + tail, host: host.value, hostIsAddress: host.kind === 'ip' };
}

/** SPIFFE-ID §2.1: 1 to 255 of a-z, 0-9, dot, hyphen, underscore. */
function parseTrustDomain(text: string): Authority | Malformed {
  if (/^[a-z0-9._-]{1,255}$/.test(text)) return { text, host: text, hostIsAddress: false };
  const lower = text.toLowerCase();
  return malformed(
    'has a trust domain that is not 1 to 255 of a-z, 0-9, dot, hyphen and underscore (SPIFFE-ID §2.1)',
    /^[a-z0-9._-]{1,255}$/.test(lower) ? lower : undefined,
  );
}

/** SPIFFE-ID §2.2 and §2.3. */
function spiffeFlaw(path: string, query: string): string | undefined {
  if (query !== '') return 'has a query, which a SPIFFE ID does not (SPIFFE-ID §2)';
  if (/^(?:\/[A-Za-z0-9._-]+)*$/.test(path)) return undefined;
  return 'has a path whose segments are not all of A-Z, a-z, 0-9, dot, hyphen and underscore (SPIFFE-ID §2.2)';
}
