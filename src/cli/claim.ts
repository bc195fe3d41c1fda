import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { binaryFile } from '#core/binary-file.ts';
import { keyFingerprint, redactedUrl } from '#core/secret-view.ts';
import { createApi } from './api.ts';
import { holdSignals, runChild } from './child.ts';
import { readConnection } from './connection.ts';
import { claimedEnvironment, writeClaimedFiles } from './claimed-environment.ts';
import { remark, showFailure, showProblem } from './explain.ts';
import { CliFailure, exitCodes, usageFailure } from './failure.ts';
import { fileBytes, fillFile, releaseFiles, type Reservation, reserveFiles } from './files.ts';
import type { LocalContext } from './main.ts';
import { createScreen, type Screen } from './screen.ts';
import { safeJson } from './escape.ts';

/** `chancery claim`: secrets that an agent may not see, brought to where they are needed. */

const usage = `usage: chancery claim HANDLE --out FILE [--field NAME]
       chancery claim HANDLE --output-dir DIR
       chancery claim HANDLE [--keep-token] -- COMMAND [ARGUMENT...]

Fetches, once, the secrets behind a claim handle (chc_…) that a tool of MCP gave instead of them, with a token of the
principal that asked for them. After that the server keeps them no more: a second claim is refused and raises an alarm.
The handle may be - to be read from stdin, so that no list of processes shows it.

  --out FILE         write the secret to a new file of mode 0600: the private key, the connection URL, the token, or
                     what --field names. A file that exists, or a link, is refused before anything is fetched
  --output-dir DIR   write every field of the answer to its own file in a new, or empty, folder of mode 0700
  --field NAME       with --out: which field
  --show             print the whole answer, secrets among it, as JSON on stdout
  --keep-token       leave CHANCERY_TOKEN in the environment of the command, which is taken out otherwise
  --help             this text

A command is run with the secrets in its environment: database users as with chancery run (DATABASE_URL, PGHOST …,
MYSQL_HOST …); certificates as files of a private folder that is removed in the end, named by CHANCERY_KEY_FILE,
CHANCERY_CERTIFICATE_FILE and CHANCERY_CHAIN_FILE; a token or API key as CHANCERY_TOKEN. Its exit code is passed on.

Printed are paths, fingerprints of keys and URLs without passwords, never a secret, unless --show is given.
Other commands on claims: chancery claim list-claims, get-claim, cancel-claim and redeem-claim.

example:
  chancery claim chc_01m7… -- psql -c 'SELECT now()'
`;

type Goal =
  | { readonly kind: 'file'; readonly path: string; readonly field: string | undefined }
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'show' }
  | { readonly kind: 'command'; readonly command: readonly [string, ...string[]]; readonly keepsToken: boolean };

export interface Redeemed {
  readonly claim_id: string;
  readonly operation: string;
  readonly fields: readonly string[];
  readonly output: Readonly<Record<string, unknown>>;
}

/** Resolves to the exit code. */
export async function runClaim(context: LocalContext): Promise<number> {
  const screen = createScreen(context.stdout, context.stderr, context.env, context.clock);
  try {
    const order = readOrder(context.argv);
    if (order === undefined) {
      await screen.out.write(usage);
      return exitCodes.ok;
    }
    const handle = order.handle === '-' ? await readHandle(context.stdin) : order.handle;
    return await serve(handle, order.goal, context, screen);
  } catch (thrown) {
    return showFailure(screen, thrown, false, false);
  }
}

/** Undefined: help is asked for. Throws a usage failure. */
function readOrder(argv: readonly string[]): { readonly handle: string; readonly goal: Goal } | undefined {
  const end = argv.indexOf('--');
  const { values, positionals } = readFlags(end === -1 ? argv : argv.slice(0, end));
  if (values.help === true) return undefined;
  const [handle, ...more] = positionals;
  if (handle === undefined || more.length > 0)
    throw usageFailure('one claim handle is needed', { hint: 'chancery claim --help' });
  const [file, ...words] = end === -1 ? [] : argv.slice(end + 1);
  const goals: Goal[] = [
    ...(values.out === undefined ? [] : [{ kind: 'file', path: values.out, field: values.field } as const]),
    ...(values['output-dir'] === undefined ? [] : [{ kind: 'folder', path: values['output-dir'] } as const]),
    ...(values.show === true ? [{ kind: 'show' } as const] : []),
    ...(file === undefined
      ? []
      : [{ kind: 'command', command: [file, ...words], keepsToken: values['keep-token'] === true } as const]),
  ];
  const [goal, ...others] = goals;
  if (goal === undefined || others.length > 0)
    throw usageFailure('say where the secrets go, in one way', {
      hint: '--out FILE, --output-dir DIR, --show, or -- COMMAND; nothing was fetched',
    });
  return { handle, goal };
}

function readFlags(words: readonly string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const options = {
    out: text,
    field: text,
    'output-dir': text,
    show: flag,
    'keep-token': flag,
    help: { ...flag, short: 'h' },
  };
  try {
    return parseArgs({ args: [...words], options, allowPositionals: true });
  } catch (thrown) {
    const [sentence = ''] = (thrown as Error).message.split(/\. /);
    throw usageFailure(`${sentence.charAt(0).toLowerCase()}${sentence.slice(1)}`.replace(/\.$/, ''), {
      hint: 'flags stand before --, the command after it; chancery claim --help lists them',
    });
  }
}

const longestHandle = 1024;

async function readHandle(stdin: LocalContext['stdin']): Promise<string> {
  let text = '';
  for await (const chunk of stdin) {
    text += String(chunk);
    if (text.length > longestHandle) throw usageFailure('stdin holds more than a claim handle');
  }
  return text.trim();
}

/** Whatever needs a place has it before the secrets are fetched: they come once. */
async function serve(handle: string, goal: Goal, context: LocalContext, screen: Screen): Promise<number> {
  if (!/^chc_[0-9a-z]{26}_[A-Za-z0-9_-]{43}$/.test(handle))
    throw usageFailure('this is not a claim handle: chc_, 26 characters, _, 43 characters', {
      hint: 'copy it whole; nothing was sent',
    });
  const places =
    goal.kind === 'file' ? await reserveFiles([{ field: 'secret', path: goal.path, wanted: true }], false) : [];
  try {
    if (goal.kind === 'folder') await makeFolder(goal.path);
    const api = createApi(context, readConnection(context.env));
    const { problem, output } = await api.call<Redeemed>('claim.redeem_claim', { handle });
    if (problem !== undefined) {
      await releaseFiles(places);
      return await showProblem(screen, { ...problem, nearest: undefined }, false);
    }
    return await bring(output, goal, places, context, screen);
  } catch (thrown) {
    await releaseFiles(places);
    throw thrown;
  }
}

async function bring(
  redeemed: Redeemed,
  goal: Goal,
  places: readonly Reservation[],
  context: LocalContext,
  screen: Screen,
): Promise<number> {
  switch (goal.kind) {
    case 'file': {
      const [place] = places;
      if (place === undefined) throw new Error('no file was reserved');
      await writeOne(redeemed, goal.field, place, screen);
      return exitCodes.ok;
    }
    case 'folder':
      await writeFolder(redeemed, goal.path, screen);
      return exitCodes.ok;
    case 'show':
      await screen.out.write(`${safeJson(redeemed.output)}\n`);
      return exitCodes.ok;
    case 'command':
      return runWith(redeemed, goal, context, screen);
  }
}

/** What one file holds when nobody says: the field that programs take. */
const preferred = ['private_key', 'connection_url', 'bundle', 'pkcs12', 'token', 'key', 'password'];

async function writeOne({ fields, output }: Redeemed, wanted: string | undefined, place: Reservation, screen: Screen) {
  const field = wanted ?? preferred.find((name) => fields.includes(name)) ?? fields[0] ?? '';
  const found = output[field] !== undefined && output[field] !== null;
  // Fetched is fetched: what was asked for by a wrong name must not be lost.
  if (!found) await remark(screen, 'warning', `there is no field ${field}; the file holds the whole answer as JSON`);
  const value = found ? output[field] : output;
  await fillFile(place, binaryFile(field, value)?.octets ?? fileBytes(undefined, value), true);
  await tell(screen, found ? field : 'answer', place.path, value);
}

async function writeFolder({ fields, output }: Redeemed, folder: string, screen: Screen): Promise<void> {
  const entries = Object.entries(output).filter(
    ([name, value]) => /^[a-z0-9_]{1,64}$/.test(name) && value !== null && value !== undefined,
  );
  const requests = entries.map(([field, value]) => ({
    field,
    path: join(folder, fileName(field, value)),
    wanted: true,
  }));
  const places = await reserveFiles(requests, false);
  for (const [index, place] of places.entries()) {
    const [field, value] = entries[index] ?? ['', undefined];
    const bytes = binaryFile(field, value)?.octets ?? fileBytes(undefined, value);
    await fillFile(place, bytes, true);
    if (fields.includes(field)) await tell(screen, field, place.path, value);
  }
  await remark(screen, 'note', `${places.length} files are in ${folder}`);
}

function fileName(field: string, value: unknown): string {
  const first = Array.isArray(value) ? (value as unknown[])[0] : value;
  if (typeof first === 'string' && first.startsWith('-----BEGIN ')) return `${field}.pem`;
  return binaryFile(field, value)?.name ?? field;
}

async function tell(screen: Screen, field: string, path: string, value: unknown): Promise<void> {
  const facts = [keyFingerprint(value), redactedUrl(value)].filter((fact) => fact !== undefined);
  await screen.out.write(`${[field, path, ...facts].join('  ')}\n`);
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code !== 'EEXIST') throw new CliFailure(exitCodes.usage, `cannot make ${path}: ${code}; nothing was fetched`);
    const there = await readdir(path).catch(() => ['a file']);
    if (there.length > 0)
      throw usageFailure(`${path} is not an empty folder; nothing was fetched`, { hint: 'choose another path' });
  }
}

async function runWith(
  redeemed: Redeemed,
  { command, keepsToken }: Extract<Goal, { kind: 'command' }>,
  context: LocalContext,
  screen: Screen,
): Promise<number> {
  const signals = holdSignals();
  const files = await writeClaimedFiles(redeemed.output);
  try {
    const env = claimedEnvironment(context.env, redeemed, { keepsToken, files });
    return await runChild(command, env, screen, signals);
  } finally {
    await files?.remove().catch(() => remark(screen, 'warning', `remove ${files.folder} yourself: it holds a key`));
    signals.release();
  }
}
