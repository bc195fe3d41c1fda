import { auditLinker } from '#audit/chain.ts';
import { verifyLog } from '#audit/verify.ts';
import type { LocalContext } from '#cli/main.ts';
import { toAppError } from '#core/errors.ts';
import { pkiMigrations } from '#engines/pki/migrations.ts';
import { openStore } from '#storage/open.ts';
import { restoreBackup } from '#storage/restore.ts';
import { type Config, ConfigError, loadConfig } from './config.ts';
import { runServer } from './main.ts';

/** What is done to a server on its own machine, with the settings of the server and without a token. */

const usage = `usage: chancery server <command>

  start                    run the server (as npm start does)
  restore --from FILE      fill an empty store with a backup, of either kind of store
  verify-log               check the audit log of a stopped server
`;

/** Resolves to the exit code. */
export async function runServerCommand(context: LocalContext): Promise<number> {
  const [command, ...rest] = context.argv;
  try {
    switch (command) {
      case 'start':
        return await runServer();
      case 'restore':
        return await restore(rest);
      case 'verify-log':
        return await verify();
      default:
        process.stderr.write(usage);
        return command === undefined || command === '--help' ? 0 : 2;
    }
  } catch (error) {
    return explain(error);
  }
}

async function restore(words: readonly string[]): Promise<number> {
  const [flag, from] = words;
  if (flag !== '--from' || from === undefined || words.length !== 2) {
    process.stderr.write(usage);
    return 2;
  }
  const config = loadConfig(process.env, process.cwd());
  await restoreBackup({ from, url: urlOf(config), migrations: pkiMigrations });
  process.stdout.write(`restored ${from}; start the server with the root key of the backup\n`);
  return 0;
}

async function verify(): Promise<number> {
  const config = loadConfig(process.env, process.cwd());
  const store = await openStore({ url: urlOf(config), migrations: pkiMigrations, linker: auditLinker });
  try {
    const report = await verifyLog(store);
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    return report.findings.length === 0 ? 0 : 1;
  } finally {
    await store.close();
  }
}

function urlOf({ storage }: Config): string {
  return storage.kind === 'sqlite' ? `sqlite:${storage.file}` : storage.url;
}

function explain(thrown: unknown): number {
  if (thrown instanceof ConfigError) {
    process.stderr.write(`error: ${thrown.message}\n`);
    return 2;
  }
  const error = toAppError(thrown);
  process.stderr.write(`error: ${error.message}\n${error.hint === undefined ? '' : `hint: ${error.hint}\n`}`);
  return 1;
}
