import { createReadStream } from 'node:fs';
import { CliFailure, exitCodes, usageFailure } from './failure.ts';

/** Reads `@path`, `@-` and `--input`. Standard input can be taken once. */
export interface Sources {
  /**
   * The text of a file, or of standard input for `-`, without one last line end. `hint`: for a file that is not there.
   * `field`: what it is read for.
   */
  readonly read: (path: string, hint?: string, field?: string) => Promise<string>;
}

/** Bytes: the server's own limit of a body, so more could not be sent. */
const defaultMaxBytes = 1_048_576;

/** `maxBytes`: the limit of the operation, where it has one. */
export function createSources(stdin: AsyncIterable<unknown>, maxBytes = defaultMaxBytes): Sources {
  let taken = false;
  return {
    read: async (path, hint, field) => {
      if (path === '-') {
        if (taken) throw usageFailure('standard input can be read by one option only');
        taken = true;
      }
      const name = sourceName(path);
      const stream = path === '-' ? stdin : createReadStream(path);
      const bytes = await collect(name, stream, maxBytes).catch((thrown: unknown) => {
        throw thrown instanceof CliFailure ? thrown : unreadable(name, thrown, hint);
      });
      return decode(name, bytes, field).replace(/\r?\n$/, '');
    },
  };
}

/** As messages call it. */
export function sourceName(path: string): string {
  return path === '-' ? 'standard input' : path;
}

async function collect(name: string, stream: AsyncIterable<unknown>, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
    size += bytes.length;
    if (size > maxBytes)
      throw usageFailure(`${name} is larger than ${maxBytes} bytes, which is more than this request may hold`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a folder',
};

/** A file that cannot be read, as a usage failure. */
export function unreadable(name: string, thrown: unknown, hint?: string): CliFailure {
  const code = (thrown as NodeJS.ErrnoException).code ?? 'unknown error';
  return new CliFailure(exitCodes.usage, `cannot read ${name}: ${reasons[code] ?? code}`, { hint });
}

/** What `openssl` calls the contents of a field, where they are no certificate. */
const opensslCommands: Readonly<Record<string, string>> = { csr: 'req', private_key: 'pkey' };

function decode(name: string, bytes: Buffer, field = ''): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    // 0x30 begins every DER SEQUENCE, so every certificate, key and request in binary form.
    const hint = `it looks like DER; turn it into PEM first: openssl ${opensslCommands[field] ?? 'x509'} -inform der`;
    throw usageFailure(`${name} is not UTF-8 text`, { hint: bytes[0] === 0x30 ? hint : undefined });
  }
}
