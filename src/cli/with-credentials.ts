import { parseArgs } from 'node:util';
import { durationFault, parseDuration } from '#core/duration.ts';
import { type Api, createApi } from './api.ts';
import { exitCodeOf, type HeldSignals, holdSignals, runChild } from './child.ts';
import { readConnection } from './connection.ts';
import { childEnvironment } from './credential-environment.ts';
import { type CredentialFiles, type FileCredentials, writeCredentialFiles } from './credential-files.ts';
import { remark, showFailure, showProblem } from './explain.ts';
import { exitCodes, usageFailure } from './failure.ts';
import type { LocalContext } from './main.ts';
import { createScreen, type Screen } from './screen.ts';

/** `chancery run`: a child process that has a database user for as long as it runs, and not longer. */

const usage = `usage: chancery run --role ROLE [flags] -- COMMAND [ARGUMENT...]

Asks for credentials of a database role, runs the command with them in its environment, and revokes them when it ends.

  --role ROLE        role that says what the user may do
  --ttl DURATION     life of the lease; it is renewed while the command runs. Default: that of the role
  --purpose TEXT     why it is needed; kept in the audit
  --approval-id ID   an approval given for this very request
  --no-renew         let the lease end at its ttl even when the command still runs
  --keep-token       let the command have our own token: CHANCERY_TOKEN, or that of admin.token
  --help             this text

In the environment: DATABASE_URL and CHANCERY_LEASE_ID; PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE and PGSSLMODE for
PostgreSQL; MYSQL_HOST, MYSQL_TCP_PORT, MYSQL_PWD, MYSQL_USER and MYSQL_DATABASE for MySQL and MariaDB.

The clients of MySQL and MariaDB (mysql, mariadb-dump) take user, password and database from an option file of mode 0600,
which they find by MYSQL_HOME. A ~/.my.cnf with a user or password of its own comes after it and wins: then name the file
that MYSQL_OPTION_FILE says, as in sh -c 'mysql --defaults-file="$MYSQL_OPTION_FILE"'.

A login by certificate, and the certificates that the server's leads to, come in files as well: PGSSLCERT, PGSSLKEY and
PGSSLROOTCERT name them for PostgreSQL, MYSQL_SSL_CERT, MYSQL_SSL_KEY and MYSQL_SSL_CA for others. Such a lease is not
renewed: its end is that of the certificate. All files are in a private folder, which is removed in the end.

The command does not get our own token: CHANCERY_TOKEN is taken out, and CHANCERY_NO_TOKEN_FILE=1 keeps a chancery in it
from reading admin.token. That is no wall: who runs as the same user of the machine can read that file.

Exit code: that of the command; 128 and the number of the signal that ended it; 126 or 127 when it could not be run;
those of the other commands (chancery help) when no credentials were given out.

example:
  chancery run --role readonly -- psql -c 'SELECT now()'
`;

interface Order {
  readonly role: string;
  readonly ttl: string | undefined;
  readonly purpose: string | undefined;
  readonly approval: string | undefined;
  readonly renews: boolean;
  readonly keepsToken: boolean;
  readonly command: readonly [file: string, ...words: string[]];
}

/** Resolves to the exit code. */
export async function runWithCredentials(context: LocalContext): Promise<number> {
  const screen = createScreen(context.stdout, context.stderr, context.env, context.clock);
  try {
    const order = readOrder(context.argv);
    if (order === undefined) {
      await screen.out.write(usage);
      return exitCodes.ok;
    }
    return await serve(order, context, screen);
  } catch (thrown) {
    return showFailure(screen, thrown, false, false);
  }
}

/** Undefined: help is asked for. Throws a usage failure. */
function readOrder(argv: readonly string[]): Order | undefined {
  const end = argv.indexOf('--');
  const flags = readFlags(end === -1 ? argv : argv.slice(0, end));
  if (flags.help) return undefined;
  const [file, ...words] = end === -1 ? [] : argv.slice(end + 1);
  if (flags.role === undefined) throw usageFailure('--role is missing', { hint: 'chancery run --help' });
  if (file === undefined)
    throw usageFailure('there is no command to run', {
      hint: `write it after --: chancery run --role ${flags.role} -- psql`,
    });
  if (flags.ttl !== undefined && parseDuration(flags.ttl) === undefined)
    throw usageFailure(`--ttl is ${durationFault(flags.ttl)}`, { hint: 'write for example 15m or 1h' });
  return {
    role: flags.role,
    ttl: flags.ttl,
    purpose: flags.purpose,
    approval: flags['approval-id'],
    renews: flags['no-renew'] !== true,
    keepsToken: flags['keep-token'] === true,
    command: [file, ...words],
  };
}

function readFlags(words: readonly string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const options = {
    role: text,
    ttl: text,
    purpose: text,
    'approval-id': text,
    'no-renew': flag,
    'keep-token': flag,
    help: { ...flag, short: 'h' },
  };
  try {
    return parseArgs({ args: [...words], options, allowPositionals: false }).values;
  } catch (thrown) {
    const [sentence = ''] = (thrown as Error).message.split(/\. /);
    throw usageFailure(`${sentence.charAt(0).toLowerCase()}${sentence.slice(1)}`.replace(/\.$/, ''), {
      hint: 'flags stand before --, the command after it; chancery run --help lists them',
    });
  }
}

interface Lease extends FileCredentials {
  readonly lease_id: string;
  readonly issued_at: string;
  readonly expires_at: string;
}

async function serve(order: Order, context: LocalContext, screen: Screen): Promise<number> {
  const api = createApi(context, readConnection(context.env));
  const signals = holdSignals();
  try {
    const { role, ttl, purpose, approval } = order;
    const headers = approval === undefined ? undefined : { 'chancery-approval': approval };
    const asked = await api.call<Lease>('database.issue_credentials', { role, ttl, purpose }, headers);
    // The nearest request would be told as another command than this one.
    if (asked.problem) return await showProblem(screen, { ...asked.problem, nearest: undefined }, false);
    return await runLeased(order, asked.output, { api, context, screen, signals });
  } finally {
    signals.release();
  }
}

interface Surroundings {
  readonly api: Api;
  readonly context: LocalContext;
  readonly screen: Screen;
  readonly signals: HeldSignals;
}

async function runLeased(order: Order, lease: Lease, { api, context, screen, signals }: Surroundings): Promise<number> {
  const renewal = order.renews && lease.certificate === undefined ? keepAlive(api, lease, screen) : undefined;
  let files: CredentialFiles | undefined;
  try {
    files = await writeCredentialFiles(lease);
    const interrupted = signals.ending();
    if (interrupted !== undefined) return exitCodeOf(interrupted);
    const env = childEnvironment(context.env, lease, { keepsToken: order.keepsToken, files });
    return await runChild(order.command, env, screen, signals);
  } finally {
    renewal?.stop();
    await files?.remove().catch(() => remark(screen, 'warning', `remove ${files?.folder} yourself: it holds a key`));
    await giveBack(api, lease, screen);
  }
}

async function giveBack(api: Api, { lease_id, expires_at }: Lease, screen: Screen): Promise<void> {
  let reason: string;
  try {
    const { problem, output } = await api.call<{ readonly state: string }>('lease.revoke_lease', { lease_id });
    if (problem === undefined && output.state === 'revoked') return;
    reason = problem === undefined ? 'the database did not let go of the user yet' : problem.detail;
  } catch (thrown) {
    reason = (thrown as Error).message;
  }
  await remark(screen, 'warning', `lease ${lease_id} is not revoked yet: ${reason}`);
  await remark(screen, 'note', `the server goes on trying; the lease ends at ${expires_at} in any case`);
}

interface Renewal {
  stop(): void;
}

/** Milliseconds. Timers above 2^31 − 1 fire at once, and a lease that long needs no renewal in time. */
const longestWait = 86_400_000;
const shortestWait = 1000;

/** Renews after two thirds of what is left, for as long as it was given at first, until the role's end is reached. */
function keepAlive(api: Api, lease: Lease, screen: Screen): Renewal {
  const increment = Math.max(1, Math.round((Date.parse(lease.expires_at) - Date.parse(lease.issued_at)) / 1000));
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const schedule = (expiresAt: string): void => {
    if (stopped) return;
    const left = Date.parse(expiresAt) - screen.clock.now();
    const wait = Math.min(longestWait, Math.max(shortestWait, (left * 2) / 3));
    timer = setTimeout(() => void renew(expiresAt), wait);
    timer.unref();
  };
  const renew = async (before: string): Promise<void> => {
    try {
      const { problem, output } = await api.call<Lease>('lease.renew_lease', { lease_id: lease.lease_id, increment });
      if (problem === undefined && output.expires_at !== before) return schedule(output.expires_at);
      if (!stopped) await remark(screen, 'warning', `the credentials end at ${before} and are not renewed any more`);
    } catch {
      // The server may be back before the lease ends.
      if (Date.parse(before) > screen.clock.now()) schedule(before);
    }
  };
  schedule(lease.expires_at);
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
