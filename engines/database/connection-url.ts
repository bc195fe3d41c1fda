import { AppError } from '#core/errors.ts';
import type { EngineName, TargetTls } from './target.ts';

/** What an address like `postgres://chancery:secret@db.example:5432/app?sslmode=verify-full` says. */
export interface ConnectionAddress {
  readonly engine: EngineName;
  readonly host: string;
  readonly port: number | undefined;
  readonly database: string | undefined;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly tls: TargetTls['mode'] | undefined;
}

const engines: Readonly<Record<string, EngineName>> = {
  'postgres:': 'postgresql',
  'postgresql:': 'postgresql',
  'mysql:': 'mysql',
  'mariadb:': 'mysql',
};

/** libpq's `sslmode` and MySQL's `ssl-mode`, in our words. `prefer` and `allow` protect from nobody, so they have none. */
const tlsModes: Readonly<Record<string, TargetTls['mode']>> = {
  disable: 'disable',
  disabled: 'disable',
  require: 'require',
  required: 'require',
  'verify-ca': 'verify-ca',
  verify_ca: 'verify-ca',
  'verify-full': 'verify-full',
  verify_identity: 'verify-full',
};

/** Reads an address. Throws `invalid_request`, which never repeats the text: there may be a password in it. */
export function parseConnectionUrl(text: string): ConnectionAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) throw malformed('is not a URL');
  const engine = engines[url.protocol];
  if (engine === undefined) throw malformed('has a scheme that is none of postgres, postgresql, mysql, mariadb');
  if (url.hostname === '') throw malformed('names no host');
  if (url.hash !== '') throw malformed('has a fragment; write # in a password as %23');
  const [, database = '', ...rest] = url.pathname.split('/');
  if (rest.length > 0) throw malformed('has a path of more than the name of a database');
  return {
    engine,
    host: decode(url.hostname)
      .replaceAll(/^\[|\]$/g, '')
      .toLowerCase(),
    port: url.port === '' ? undefined : Number(url.port),
    database: decode(database) || undefined,
    username: decode(url.username) || undefined,
    password: decode(url.password) || undefined,
    tls: readTls(url.searchParams),
  };
}

function readTls(parameters: URLSearchParams): TargetTls['mode'] | undefined {
  let mode: TargetTls['mode'] | undefined;
  for (const [name, value] of parameters) {
    if (name !== 'sslmode' && name !== 'ssl-mode') throw malformed('has a parameter other than sslmode and ssl-mode');
    mode = tlsModes[value.toLowerCase()];
    if (mode === undefined)
      throw malformed('has an sslmode that is none of disable, require, verify-ca and verify-full');
  }
  return mode;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw malformed('holds a % that no two hexadecimal digits of UTF-8 follow; write % itself as %25');
  }
}

function malformed(what: string): AppError {
  return new AppError('invalid_request', `/url: the address ${what}.`, {
    details: [{ at: '/url', message: what }],
    hint: 'Write postgres://user@host:5432/database, or give host, port, database and username apart.',
  });
}
