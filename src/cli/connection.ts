import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { usageFailure } from './failure.ts';
import type { Environment } from './screen.ts';
import { unreadable } from './sources.ts';

/** Which server, as whom, how long. */
export interface Connection {
  /** Without a trailing slash: `http://127.0.0.1:8420`. */
  readonly url: URL;
  readonly token: string | undefined;
  /** Where the token came from, for --verbose. */
  readonly tokenSource: string;
  /** PEM of the only roots to trust; undefined: those of Node. */
  readonly ca: string | undefined;
  readonly timeoutMs: number;
}

const defaultUrl = 'http://127.0.0.1:8420';
const defaultTimeoutMs = 60_000;

/** Reads CHANCERY_URL, CHANCERY_TOKEN, CHANCERY_DATA and CHANCERY_CA_FILE. Throws a usage failure for what cannot be. */
export function readConnection(env: Environment, timeoutMs = defaultTimeoutMs): Connection {
  const url = readUrl(env['CHANCERY_URL'] || defaultUrl);
  return { url, ...readToken(env, url), ca: readRoots(env), timeoutMs };
}

/** Longer timers overflow and fire at once. */
const maxTimerMs = 2_147_483_647;

/** Milliseconds of `--timeout`. Throws a usage failure. */
export async function readTimeout(text: string): Promise<number> {
  // Loaded when it is needed: it brings Zod along, which takes longer than all the rest of a command.
  const { durationFault, parseDuration } = await import('#core/duration.ts');
  const seconds = parseDuration(text);
  if (seconds !== undefined) return Math.min(seconds * 1000, maxTimerMs);
  throw usageFailure(`--timeout is ${durationFault(text)}`, { hint: 'write for example 30s or 5m' });
}

function readUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw usageFailure('CHANCERY_URL is not an http or https URL', { hint: `for example ${defaultUrl}` });
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    throw usageFailure('CHANCERY_URL may hold a host, a port and a path, nothing else', {
      hint: 'put the token into CHANCERY_TOKEN',
    });
  if (url.protocol === 'http:' && !isLoopback(url.hostname))
    throw usageFailure(
      `CHANCERY_URL is plain HTTP to ${url.hostname}: the token would cross the network in the clear`,
      {
        hint: 'use https (CHANCERY_CA_FILE names a private root), or a tunnel to 127.0.0.1',
      },
    );
  return url;
}

/** This machine: 127.0.0.0/8, ::1, and `localhost`, which resolves to nothing else (RFC 6761 §6.3). */
function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    hostname === '[::1]' ||
    /^127\.\d+\.\d+\.\d+$/.test(hostname)
  );
}

/** Set for a command that must not find the administrator's token by itself (`chancery run`). */
export const tokenFileSwitch = 'CHANCERY_NO_TOKEN_FILE';

/**
 * CHANCERY_TOKEN, else the administrator's token that the server wrote on its first start. The latter only for a server
 * on this machine: another one must not be shown the keys of this one. Never with CHANCERY_NO_TOKEN_FILE.
 */
function readToken(env: Environment, url: URL): Pick<Connection, 'token' | 'tokenSource'> {
  const given = env['CHANCERY_TOKEN'];
  if (given !== undefined && given !== '')
    return { token: checkToken(given, 'CHANCERY_TOKEN'), tokenSource: 'CHANCERY_TOKEN' };
  const file = join(env['CHANCERY_DATA'] || '.chancery', 'admin.token');
  if (!isLoopback(url.hostname) || env[tokenFileSwitch]) return { token: undefined, tokenSource: 'none' };
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    // Absent or not ours to read is the ordinary case; the server will say that a token is needed.
    return { token: undefined, tokenSource: 'none' };
  }
  return { token: checkToken(text, file), tokenSource: file };
}

function checkToken(text: string, source: string): string {
  const token = text.trim();
  if (/^[\x21-\x7e]{1,4096}$/.test(token)) return token;
  throw usageFailure(`${source} holds no token: it has blanks, or characters that no token has`);
}

function readRoots(env: Environment): string | undefined {
  const file = env['CHANCERY_CA_FILE'];
  if (file === undefined || file === '') return undefined;
  let pem: string;
  try {
    pem = readFileSync(file, 'utf8');
  } catch (thrown) {
    throw unreadable(`CHANCERY_CA_FILE ${file}`, thrown);
  }
  if (pem.includes('-----BEGIN CERTIFICATE-----')) return pem;
  throw usageFailure(`CHANCERY_CA_FILE ${file} holds no PEM certificate`);
}
