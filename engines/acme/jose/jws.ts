import { decodeBase64url } from './base64url.ts';
import { JoseError } from './errors.ts';

/** The protected header as it came: what it means is up to who asked for it. */
export type JwsHeader = Readonly<Record<string, unknown>>;

/** The flattened JSON serialization (RFC 7515 §7.2.2), the only one in ACME. */
export interface FlattenedJws {
  readonly protected: string;
  readonly payload: string;
  readonly signature: string;
}

export interface ParsedJws {
  readonly header: JwsHeader;
  /** Decoded. */
  readonly payload: Buffer;
  /** What is signed (RFC 7515 §5.1). */
  readonly signingInput: Buffer;
  readonly signature: Buffer;
}

/** Reads the body of a request. Verifies nothing. Throws JoseError with `malformed`. */
export function parseJws(body: Buffer): ParsedJws {
  return readJws(parseJson(body.toString('utf8'), 'The body'));
}

/**
 * The same, for one that stands inside another as a JSON value (external account binding, key change). RFC 8555 §6.2:
 * no unprotected header, one signature, an attached payload in base64url, no critical extensions.
 */
export function readJws(value: unknown): ParsedJws {
  const jws = objectOf(value, 'The JWS');
  if (Object.hasOwn(jws, 'signatures'))
    throw malformed('The JWS has the member signatures; one signature in the flattened serialization is allowed.');
  if (Object.hasOwn(jws, 'header')) throw malformed('The JWS has an unprotected header.');
  const texts = { protected: text(jws, 'protected'), payload: text(jws, 'payload'), signature: text(jws, 'signature') };
  const headerText = decodeBase64url(texts.protected, 'The protected header').toString('utf8');
  const header = objectOf(parseJson(headerText, 'The protected header'), 'The protected header');
  // RFC 7797 is asked for by both members together; nothing else that is critical is known here either.
  if (Object.hasOwn(header, 'crit') || Object.hasOwn(header, 'b64'))
    throw malformed('The protected header has crit or b64, which ACME does not use (RFC 8555 section 6.2).');
  return {
    header,
    payload: decodeBase64url(texts.payload, 'The payload'),
    signingInput: Buffer.from(`${texts.protected}.${texts.payload}`, 'ascii'),
    signature: decodeBase64url(texts.signature, 'The signature'),
  };
}

/** The payload as a JSON object. Throws JoseError with `malformed`. */
export function payloadObject(payload: Buffer): Readonly<Record<string, unknown>> {
  return objectOf(parseJson(payload.toString('utf8'), 'The payload'), 'The payload');
}

function parseJson(source: string, what: string): unknown {
  try {
    return JSON.parse(source);
  } catch {
    // the parser's own message quotes the source
    throw malformed(`${what} is not JSON.`);
  }
}

function objectOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw malformed(`${what} is not a JSON object.`);
}

function text(jws: Readonly<Record<string, unknown>>, member: string): string {
  const value = jws[member];
  if (typeof value === 'string') return value;
  throw malformed(`The JWS has no text in its member ${member}.`);
}

function malformed(message: string): JoseError {
  return new JoseError('malformed', message);
}
