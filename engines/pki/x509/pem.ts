import { AppError } from '#core/errors.ts';

/** One block of a PEM text (RFC 7468). */
export interface PemBlock {
  /** Between `BEGIN ` and the dashes: `CERTIFICATE`. */
  readonly label: string;
  readonly der: Buffer;
}

const octetsPerLine = 48;
const maxBlocks = 1000;

/** PEM in the strict form of RFC 7468 §3: 64 characters a line, LF, a newline at the end. */
export function encodePem(label: string, der: Uint8Array): string {
  const bytes = Buffer.isBuffer(der) ? der : Buffer.from(der.buffer, der.byteOffset, der.byteLength);
  let text = `-----BEGIN ${label}-----\n`;
  for (let start = 0; start < bytes.length; start += octetsPerLine)
    text += `${bytes.toString('base64', start, start + octetsPerLine)}\n`;
  return `${text}-----END ${label}-----\n`;
}

export interface PemLimits {
  /** The only label that is accepted. */
  readonly label: string;
  /** Longest text in characters. */
  readonly maxLength: number;
  /** Most blocks; default 1. */
  readonly maxBlocks?: number;
  /** Whether lines before, between and after the blocks are passed over; default false. */
  readonly explained?: boolean;
}

/** Labels that stand for others: older tools, certtool and keytool among them, write them (RFC 7468 §5.1, §7). */
const synonyms: Readonly<Record<string, string>> = {
  'NEW CERTIFICATE REQUEST': 'CERTIFICATE REQUEST',
  'X509 CERTIFICATE': 'CERTIFICATE',
};

/**
 * Reads PEM: blocks of one label with nothing but blank lines around them. LF and CRLF, spaces at the end of a line and
 * lines of any length are accepted (RFC 7468 §2), explanatory text with `explained` only, header lines never. Base64 must
 * be canonical: its own alphabet, right padding, unused bits zero. Throws `AppError('invalid_request')`, or `too_large`.
 */
export function decodePem(text: string, limits: PemLimits): Buffer[] {
  if (text.length > limits.maxLength)
    throw new AppError('too_large', `The PEM has ${text.length} characters; at most ${limits.maxLength} are allowed.`);
  const blocks = readBlocks(text, Math.min(limits.maxBlocks ?? 1, maxBlocks), limits.explained);
  for (const { label } of blocks) {
    if ((synonyms[label] ?? label) !== limits.label)
      throw notPem(`has a block labelled ${label}; ${limits.label} is needed`);
  }
  return blocks.map((block) => block.der);
}

/** As `decodePem` for exactly one block. */
export function decodeOnePem(text: string, label: string, maxLength: number, explained = false): Buffer {
  const [der] = decodePem(text, { label, maxLength, explained });
  if (der === undefined) throw notPem('holds no block');
  return der;
}

/** Reads every block whatever its label; see `decodePem`. At least one. */
export function decodePemBlocks(text: string, maxLength: number, most = 100): PemBlock[] {
  if (text.length > maxLength)
    throw new AppError('too_large', `The PEM has ${text.length} characters; at most ${maxLength} are allowed.`);
  return readBlocks(text, Math.min(most, maxBlocks));
}

const begin = /^-----BEGIN ([A-Z0-9](?:[A-Z0-9 ]{0,62}[A-Z0-9])?)-----$/;

function readBlocks(text: string, most: number, explained = false): PemBlock[] {
  const blocks: PemBlock[] = [];
  let label: string | undefined;
  let base64 = '';
  for (const raw of text.split('\n')) {
    const line = withoutTrailingBlanks(raw);
    if (label === undefined) {
      if (line === '') continue;
      label = begin.exec(line)?.[1];
      // What was meant to begin a block is no explanation.
      if (label === undefined && explained && !line.includes('-----')) continue;
      if (label === undefined) throw notPem('has something other than -----BEGIN …----- where a block begins');
      if (blocks.length === most) throw notPem(`has more than ${most} block${most === 1 ? '' : 's'}`);
      base64 = '';
    } else if (line.startsWith('-')) {
      if (line !== `-----END ${label}-----`) throw notPem(`has a block labelled ${label} that does not end`);
      blocks.push({ label, der: decodeBase64(base64) });
      label = undefined;
    } else base64 += line;
  }
  if (label !== undefined) throw notPem(`has a block labelled ${label} that does not end`);
  if (blocks.length === 0) throw notPem('holds no block');
  return blocks;
}

function withoutTrailingBlanks(line: string): string {
  let end = line.length;
  while (end > 0 && blanks.has(line[end - 1] ?? '')) end -= 1;
  return line.slice(0, end);
}

const blanks: ReadonlySet<string> = new Set([' ', '\t', '\r']);

/** Buffer skips what is not base64; encoding again shows whether anything was skipped, missing or not canonical. */
function decodeBase64(base64: string): Buffer {
  const der = Buffer.from(base64, 'base64');
  if (der.length === 0 || der.toString('base64') !== base64) throw notPem('has a block that is not canonical base64');
  return der;
}

function notPem(problem: string): AppError {
  return new AppError('invalid_request', `The PEM ${problem}.`, {
    hint: 'Send the text from -----BEGIN to the end of -----END, unchanged, and nothing else.',
  });
}
