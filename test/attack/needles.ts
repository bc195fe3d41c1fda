import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

/** Looking for secrets in whatever a server leaves behind: in every form in which bytes are usually written down. */

/** The octets themselves, as hex, as base64 of either alphabet at every offset, and as UTF-16. */
export function formsOf(secret: Uint8Array): Buffer[] {
  const bytes = Buffer.from(secret);
  const hex = bytes.toString('hex');
  const base64 = [0, 1, 2].map((shift) => {
    // What stands before and after decides the characters at the edges, so they are left out.
    const text = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .replaceAll('=', '');
    return text.slice(shift === 0 ? 0 : shift + 1, -2);
  });
  const urlBase64 = base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'));
  const texts = new Set([hex, hex.toUpperCase(), ...base64, ...urlBase64]);
  return [bytes, ...[...texts].map((text) => Buffer.from(text)), ...utf16(bytes)];
}

function utf16(bytes: Buffer): Buffer[] {
  return /^[\x20-\x7e]+$/.test(bytes.toString('latin1')) ? [Buffer.from(bytes.toString('latin1'), 'utf16le')] : [];
}

export interface FoundFile {
  /** Path below the folder. */
  readonly path: string;
  readonly mode: number;
  readonly isFolder: boolean;
  readonly content: Buffer;
}

/** The folder itself and everything in it. For folders of servers in processes of their own (POSIX locks, see store-view.ts). */
export function readFolder(folder: string): FoundFile[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return ['', ...entries.map((entry) => relative(folder, join(entry.parentPath, entry.name)))].map((path) => {
    const status = lstatSync(join(folder, path));
    const content = status.isFile() ? readFileSync(join(folder, path)) : Buffer.alloc(0);
    return { path, mode: status.mode & 0o7777, isFolder: status.isDirectory(), content };
  });
}

/** Canaries: texts that pass as names, and are found again in every form by what they begin with. */
const mark = 'cnryq7w3';
let made = 0;

export function newCanary(): string {
  made += 1;
  return `${mark}${made.toString(36).padStart(6, '0')}`;
}

const plain = new RegExp(`${mark}[0-9a-z]{6}`, 'g');
const veiled = formsOf(Buffer.from(mark)).slice(1);

/** The canaries that stand in a text or file as they are, and whether it holds any in another form. */
export function canariesIn(content: Buffer): { readonly plain: ReadonlySet<string>; readonly veiled: boolean } {
  const found = content.toString('latin1').match(plain) ?? [];
  return { plain: new Set(found), veiled: veiled.some((form) => content.includes(form)) };
}
