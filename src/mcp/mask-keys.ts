/** Private keys in text: PEM, also with escaped line ends or cut off, DER in base64, and JWK. */

const mask = '[masked: private key]';

// In an address a space is %20 or +.
const label = '(?:[A-Z0-9]{1,20}(?: |%20|\\+)){0,4}PRIVATE(?: |%20|\\+)KEY(?:(?: |%20|\\+)BLOCK)?-----';

// Redaction goes before cutting, so a block without an end is one too.
const pem = new RegExp(`-----BEGIN(?: |%20|\\+)${label}[\\s\\S]*?(?:-----END(?: |%20|\\+)${label}|$)`, 'g');
const end = new RegExp(`-----END(?: |%20|\\+)${label}`, 'g');

/**
 * How the DER of a key that is not encrypted begins, in base64: SEQUENCE, INTEGER 0 or 1, and what only keys have then (RFC
 * 5208 §5, RFC 5958 §2, RFC 8017 A.1.2, RFC 5915 §3). Certificates, requests and public keys begin otherwise.
 */
const starts = [
  'MII[A-P][A-Za-z0-9+/_-][AQgw]IBA(?:DA|TA|AK)', // of two octets of length: PKCS #8, PKCS #1
  'MI[GH][A-Za-z0-9+/_-](?:AgE[AB]MB[A-Za-z]G|AgEB(?:BD[A-D]|BE[I-L])|AgEAAk)', // of one: PKCS #8 and SEC 1 of EC
  'M[A-H][AEIMQUYcgkosw048]CAQ[AE]w[BE][AQgw]Y[DH]', // of none: PKCS #8 of Ed25519, X25519, P-256
  'M[A-H][AEIMQUYcgkosw048]CAQEE[IM]', // SEC 1 of P-256
].join('|');
/** Line ends among it may be escaped: `\n` as two characters, in JSON within JSON as three. */
const der = new RegExp(`(?<![A-Za-z0-9+/])(?:${starts})(?:[A-Za-z0-9+/_=-]|\\\\{1,4}[nr]|[\\r\\n]){20,}`, 'g');

/** RFC 7518 §6.2.2, §6.3.2: the member d. */
const jwk = /("d\\{0,4}" {0,4}: {0,4}\\{0,4}")[A-Za-z0-9_-]{22,}/g;

export function maskKeys(text: string): string {
  const whole = text.includes('-----BEGIN') ? text.replace(pem, mask) : text;
  return maskEnds(whole).replace(der, mask).replace(jwk, '$1[masked]');
}

/** A block whose beginning was cut off: what stands before its end. */
function maskEnds(text: string): string {
  if (!text.includes('-----END')) return text;
  let masked = '';
  let from = 0;
  for (const { index, 0: marker } of text.matchAll(end)) {
    let start = index;
    while (start > from && isOfBody(text.charCodeAt(start - 1))) start--;
    masked += `${text.slice(from, start)}${mask}`;
    from = index + marker.length;
  }
  return masked + text.slice(from);
}

/** Base64, line ends, and the backslash of escaped ones. */
function isOfBody(code: number): boolean {
  return (
    (code >= 0x2f && code <= 0x39) || // / and digits
    (code >= 0x41 && code <= 0x5a) ||
    (code >= 0x61 && code <= 0x7a) ||
    code === 0x2b ||
    code === 0x3d ||
    code === 0x5c ||
    code === 0x0a ||
    code === 0x0d
  );
}
