import { randomBytes } from 'node:crypto';
import { rmdirSync, unlinkSync } from 'node:fs';
import { lstat, mkdir, mkdtemp, realpath, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { binaryFile } from '#core/binary-file.ts';
import { keyFingerprint, redactedUrl } from '#core/secret-view.ts';
import { createKeptKeys, type KeptKeys } from './kept-keys.ts';
import { writeNew } from './private-file.ts';
import { type Delivered, type OfferedOperation, type SecretDelivery, secretFieldsOf } from './backend.ts';

/**
 * Delivery by `chancery mcp`: secrets go into files of mode 0600 in a folder of mode 0700 on the machine of the client, and
 * the result holds their paths. Names of files are made here, from the names of fields and from chance, never from text
 * that came from outside.
 */
export interface FileDelivery {
  readonly delivery: SecretDelivery;
  /** In the same folder. */
  readonly keptKeys: KeptKeys;
  /** Removes every file that was written, and the folder if it was made for them and is empty. At once: a signal may follow. */
  readonly removeAll: () => void;
}

/** `folder` is made when it is not there. Throws when it is not a folder, not ours, or open to others. */
export async function createFileDelivery(folder: string): Promise<FileDelivery> {
  const { path, made } = await ownFolder(resolve(folder));
  const written = new Set<string>();
  return {
    keptKeys: createKeptKeys(path, (file) => written.add(file)),
    delivery: {
      async deliver(operation, output) {
        const files = await writeAll(path, operation, output);
        for (const file of Object.values(files)) written.add(file);
        return describe(operation, output, files);
      },
    },
    removeAll() {
      for (const file of written) quietly(() => unlinkSync(file));
      if (made) quietly(() => rmdirSync(path));
    },
  };
}

/** The same, made when the first secret comes; until then nobody asks for a folder. */
export function lazyFileDelivery(folder: () => Promise<string>): FileDelivery {
  let making: Promise<FileDelivery> | undefined;
  let made: FileDelivery | undefined;
  const ready = async (): Promise<FileDelivery> => {
    making ??= folder().then(createFileDelivery);
    try {
      return (made = await making);
    } catch (thrown) {
      making = undefined;
      throw thrown;
    }
  };
  return {
    delivery: { deliver: async (operation, output) => (await ready()).delivery.deliver(operation, output) },
    keptKeys: {
      find: async (name) => (await ready().catch(() => undefined))?.keptKeys.find(name),
      keep: async (name, request) => (await ready().catch(() => undefined))?.keptKeys.keep(name, request),
      drop: async (name) => (await ready().catch(() => undefined))?.keptKeys.drop(name),
    },
    removeAll: () => made?.removeAll(),
  };
}

/** What somebody else removed before needs no removing. */
function quietly(remove: () => void): void {
  try {
    remove();
  } catch {
    // as above
  }
}

/**
 * A folder of the user: below XDG_RUNTIME_DIR, which is emptied when the user logs out, else below XDG_CACHE_HOME or
 * ~/.cache, else a new temporary one.
 */
export async function defaultFolder(env: Readonly<Record<string, string | undefined>>): Promise<string> {
  const { XDG_RUNTIME_DIR: runtime, XDG_CACHE_HOME: cache, HOME: home } = env;
  const base = runtime || cache || (home && join(home, '.cache'));
  return base ? join(base, 'chancery', 'mcp') : mkdtemp(join(tmpdir(), 'chancery-mcp-'));
}

async function ownFolder(wanted: string): Promise<{ readonly path: string; readonly made: boolean }> {
  await mkdir(dirname(wanted), { recursive: true, mode: 0o700 });
  const path = join(await realpath(dirname(wanted)), basename(wanted));
  const made = await mkdir(path, { mode: 0o700 }).then(
    () => true,
    (thrown: unknown) => {
      if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw thrown;
    },
  );
  // A link that somebody laid there would send the secrets elsewhere.
  const found = await lstat(path);
  if (!found.isDirectory()) throw new Error(`${path} is not a folder`);
  const self = process.getuid?.();
  if (self !== undefined && found.uid !== self) throw new Error(`${path} belongs to another user`);
  if ((found.mode & 0o077) !== 0) throw new Error(`${path} is open to other users: chmod 700 ${path}`);
  return { path, made };
}

type Files = Readonly<Record<string, string>>;

/** What stands beside a key is written too, since programs take both as files. */
const companions = ['certificate', 'chain', 'server_ca'];

async function writeAll(
  folder: string,
  operation: OfferedOperation,
  output: Readonly<Record<string, unknown>>,
): Promise<Files> {
  const secrets = secretFieldsOf(operation, output);
  const beside = companions.filter((field) => output[field] !== undefined && output[field] !== null);
  const set = randomBytes(6).toString('hex');
  const files: Record<string, string> = {};
  try {
    for (const field of [...secrets, ...beside]) {
      const path = join(folder, `${set}-${fileName(field, output[field])}`);
      await writeNew(path, binaryFile(field, output[field])?.octets ?? fileText(output[field]));
      files[field] = path;
    }
    return files;
  } catch (thrown) {
    for (const path of Object.values(files)) await unlink(path).catch(() => undefined);
    throw thrown;
  }
}

function fileName(field: string, value: unknown): string {
  if (!/^[a-z0-9_]{1,64}$/.test(field)) throw new Error('a field with such a name is not written');
  const first = Array.isArray(value) ? (value as unknown[])[0] : value;
  return typeof first === 'string' && first.startsWith('-----BEGIN ')
    ? `${field}.pem`
    : (binaryFile(field, value)?.name ?? field);
}

function fileText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join('');
  return `${JSON.stringify(value, null, 2)}\n`;
}

function describe(operation: OfferedOperation, output: Readonly<Record<string, unknown>>, files: Files): Delivered {
  const fields = secretFieldsOf(operation, output);
  const fingerprints = fields.flatMap((field) => {
    const fingerprint = keyFingerprint(output[field]);
    return fingerprint === undefined ? [] : [[field, fingerprint] as const];
  });
  const url = redactedUrl(output['connection_url']);
  const expiresAt = output['expires_at'] ?? output['not_after'];
  return {
    output: Object.fromEntries(Object.entries(output).filter(([field]) => !fields.includes(field))),
    delivery: {
      method: 'file',
      fields,
      files,
      next: 'The secrets are in these files, of mode 0600 on the machine of this client. Give their paths to the program that needs them, do not read them, and delete them when they are not needed any more.',
      ...(fingerprints.length === 0 ? {} : { fingerprints: Object.fromEntries(fingerprints) }),
      ...(url === undefined ? {} : { redacted_url: url }),
      ...(typeof expiresAt === 'string' ? { expires_at: expiresAt } : {}),
    },
  };
}
