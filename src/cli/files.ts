import { constants } from 'node:fs';
import { chmod, mkdir, open, rename, stat, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import type { Command } from './command.ts';
import { CliFailure, exitCodes, usageFailure } from './failure.ts';
import { fullChainField, hasFullChain } from './full-chain.ts';
import type { Field } from './schema.ts';
import { didYouMean } from '#core/suggest.ts';
import { isPem } from './record.ts';

/**
 * `--out` and `--output-dir`. Every file is made before the request is sent, empty and with mode 0600: a private key
 * that arrives and has no place to go would be lost. Files that were not needed are taken away again.
 */
export interface Reservation {
  readonly field: string;
  readonly path: string;
  /** Where the bytes go first: the path itself, or with --force a neighbour that is renamed in the end. */
  readonly written: string;
  readonly handle: FileHandle;
  /** Whether an answer without this field is an error: it was asked for by name. */
  readonly wanted: boolean;
}

export interface FileRequest {
  readonly field: string;
  readonly path: string;
  readonly wanted: boolean;
}

/** Which files the options ask for. Throws usage failures for fields that the answer cannot have. */
export function requestedFiles(command: Command, options: ReadonlyMap<string, readonly string[]>): FileRequest[] {
  const named = (options.get('out') ?? []).map((word) => parseOut(command, word));
  const folder = options.get('output-dir')?.[0];
  if (folder === undefined) return named;
  const taken = new Set(named.map(({ field }) => field));
  const fields = command.output().fields.filter((field) => !taken.has(field.name) && isKept(command, field));
  if (fields.length === 0 && named.length === 0)
    throw usageFailure(`${command.area} ${command.verb} answers with nothing that --output-dir could write`);
  return [
    ...named,
    ...fields.map((field) => ({ field: field.name, path: join(folder, fileName(field)), wanted: false })),
    ...(hasFullChain(command) && !taken.has(fullChainField)
      ? [{ field: fullChainField, path: join(folder, `${fullChainField}.pem`), wanted: false }]
      : []),
  ];
}

function parseOut(command: Command, word: string): FileRequest {
  const split = word.indexOf('=');
  const field = word.slice(0, split);
  const path = word.slice(split + 1);
  if (split <= 0 || path === '')
    throw usageFailure('--out takes FIELD=PATH', { hint: 'for example --out certificate=web.pem' });
  const known = [
    ...command.output().fields.map(({ name }) => name),
    ...(hasFullChain(command) ? [fullChainField] : []),
  ];
  if (known.includes(field)) return { field, path, wanted: true };
  throw usageFailure(`the answer of ${command.verb} has no field "${field}"`, {
    hint: didYouMean(field, known) ?? `it has ${known.join(', ')}`,
  });
}

/** What `--output-dir` writes: PEM, encoded binaries, and secrets. */
function isKept(command: Command, field: Field): boolean {
  const { kind, item, values } = field.type;
  if (command.operation.sensitive?.includes(field.name) === true) return true;
  const isString = values === undefined && (kind === 'string' || (kind === 'list' && item?.kind === 'string'));
  return isString && (/\bPEM\b/.test(field.description) || isBase64(field));
}

/** Fields whose text is base64 of a binary form; a file gets the bytes. */
export function isBase64(field: Field): boolean {
  return field.schema.contentEncoding === 'base64' || field.name in binaryExtensions;
}

const binaryExtensions: Readonly<Record<string, string>> = { der: '.der', pkcs12: '.p12', pkcs7: '.p7b' };

/** Made of the schema's field name only, never of anything that the server says. */
function fileName(field: Field): string {
  if (isBase64(field))
    return `${field.name in binaryExtensions ? 'certificate' : field.name}${binaryExtensions[field.name] ?? '.bin'}`;
  return /\bPEM\b/.test(field.description) ? `${field.name}.pem` : field.name;
}

/** Makes the files. Throws a usage failure, and leaves none behind, when one of them cannot be made. */
export async function reserveFiles(requests: readonly FileRequest[], force: boolean): Promise<Reservation[]> {
  const reserved: Reservation[] = [];
  try {
    for (const request of requests) reserved.push(await reserve(request, force));
  } catch (thrown) {
    await releaseFiles(reserved);
    throw thrown;
  }
  return reserved;
}

async function reserve(request: FileRequest, force: boolean): Promise<Reservation> {
  const { path } = request;
  const written = force ? join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`) : path;
  try {
    if (!request.wanted) await makeFolder(dirname(path));
    if (force && (await isFolder(path))) throw Object.assign(new Error('folder'), { code: 'EISDIR' });
    // O_EXCL also refuses a symbolic link that somebody laid there (open(2)).
    const handle = await open(written, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    return { ...request, written, handle };
  } catch (thrown) {
    throw cannotMake(path, thrown);
  }
}

/** Not by `recursive`: that of Node never ends where nothing can be made and yet nothing forbids it, as below /proc. */
async function makeFolder(path: string): Promise<void> {
  if (await isFolder(path)) return;
  const parent = dirname(path);
  if (parent !== path) await makeFolder(parent);
  await mkdir(path, { mode: 0o700 }).catch((thrown: unknown) => {
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
  });
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    // Absent is what it mostly is; whatever else is wrong, the rename will say.
    return false;
  }
}

function cannotMake(path: string, thrown: unknown): CliFailure {
  const { code = '' } = thrown as NodeJS.ErrnoException;
  if (code === 'EEXIST')
    return usageFailure(`${path} exists already; nothing was sent`, {
      hint: 'choose another path, or replace it with --force',
    });
  const why: Readonly<Record<string, string>> = {
    ENOENT: 'its folder does not exist',
    EACCES: 'permission denied',
    EISDIR: 'it is a folder',
    ENOTDIR: 'a part of its path is no folder',
    EROFS: 'the file system is read-only',
  };
  return new CliFailure(exitCodes.usage, `cannot write ${path}: ${why[code] ?? code}; nothing was sent`);
}

/** Takes reserved files away again. */
export async function releaseFiles(reserved: readonly Reservation[]): Promise<void> {
  for (const { handle, written } of reserved) {
    await handle.close().catch(() => undefined);
    await unlink(written).catch(() => undefined);
  }
}

export interface Written {
  readonly field: string;
  readonly path: string;
  readonly secret: boolean;
}

/** Writes one value into its reserved file, durably. Secrets keep mode 0600; the rest gets what umask leaves of 0644. */
export async function fillFile(reservation: Reservation, bytes: Buffer, secret: boolean): Promise<Written> {
  const { handle, written, path, field } = reservation;
  await handle.writeFile(bytes);
  await handle.sync();
  await handle.close();
  if (!secret) await chmod(written, 0o644 & ~process.umask());
  if (written !== path) await rename(written, path);
  return { field, path, secret };
}

/** What a file holds for a value: PEM of a list one after another, binary forms decoded, all else as text or JSON. */
export function fileBytes(field: Field | undefined, value: unknown): Buffer {
  if (typeof value === 'string') {
    if (field !== undefined && isBase64(field)) return Buffer.from(value, 'base64');
    return Buffer.from(isPem(value) ? endLine(value) : value);
  }
  if (Array.isArray(value) && value.every((item) => typeof item === 'string'))
    return Buffer.from(value.map(endLine).join(''));
  return Buffer.from(`${JSON.stringify(value, null, 2)}\n`);
}

function endLine(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`;
}
