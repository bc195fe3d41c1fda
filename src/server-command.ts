import { existsSync } from 'node:fs';
import { auditLinker } from '#audit/chain.ts';
import { verifyLog } from '#audit/verify.ts';
import type { LocalContext } from '#cli/main.ts';
import { systemClock } from '#core/clock.ts';
import { createRootKeyFile, rootKeyFromFile, rootKeyFromText } from '#seal/root-key.ts';
import { changeRootKey } from '#seal/rotation.ts';
import { openStore } from '#storage/open.ts';
import { restoreBackup } from '#storage/restore.ts';
import type { Store } from '#storage/store.ts';
import { type Config, ConfigError, loadConfig } from './config.ts';
import { runServer } from './main.ts';
import { afterRestore, migrations } from './migrations.ts';

/** What is done to a server on its own machine, with the settings of the server and without a token. */

const usage = `usage: chancery server <command>

  start                    run the server (as npm start does)
  restore --from FILE      fill an empty store with a backup, of either kind of store
  verify-log               check the audit log of a stopped server
  change-root-key --to FILE
                           put all that is sealed under another root key, with every server stopped; FILE is made when
                           there is none
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
      case 'change-root-key':
        return await changeKey(rest);
      default:
        process.stderr.write(usage);
        return command === undefined || command === '--help' ? 0 : 2;
    }
  } catch (error) {
    return explain(error);
  }
}

async function restore(words: readonly string[]): Promise<number> {
  const from = onlyValue(words, '--from');
  if (from === undefined) return wrongUsage();
  const config = loadConfig(process.env, process.cwd());
  await restoreBackup({ from, url: urlOf(config), migrations, afterwards: afterRestore });
  process.stdout.write(`restored ${from}; start the server with the root key of the backup\n`);
  return 0;
}

/** The value of the one flag that a command takes. */
function onlyValue(words: readonly string[], flag: string): string | undefined {
  return words.length === 2 && words[0] === flag ? words[1] : undefined;
}

function wrongUsage(): number {
  process.stderr.write(usage);
  return 2;
}

function openOwnStore(config: Config): Promise<Store> {
  return openStore({ url: urlOf(config), migrations, linker: auditLinker });
}

async function changeKey(words: readonly string[]): Promise<number> {
  const file = onlyValue(words, '--to');
  if (file === undefined) return wrongUsage();
  const config = loadConfig(process.env, process.cwd());
  const store = await openOwnStore(config);
  try {
    const { file: oldFile, text } = config.rootKey;
    const from = text === undefined ? rootKeyFromFile(oldFile) : rootKeyFromText(text, 'CHANCERY_ROOT_KEY');
    if (!existsSync(file)) createRootKeyFile(file);
    const to = rootKeyFromFile(file);
    const versions = await changeRootKey({ store, from, to, clock: systemClock });
    const what = versions.length === 0 ? 'nothing was left to do' : `it holds data key ${versions.join(', ')}`;
    process.stdout.write(`root key ${to.id}: ${what}; start the server with CHANCERY_ROOT_KEY_FILE=${file}\n`);
    return 0;
  } finally {
    await store.close();
  }
}

async function verify(): Promise<number> {
  const store = await openOwnStore(loadConfig(process.env, process.cwd()));
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
  // Whoever runs this sits at the machine; there is no log to look into.
  const { message, hint }: { message: string; hint?: string | undefined } =
    thrown instanceof Error ? thrown : new Error(String(thrown));
  process.stderr.write(`error: ${message}\n${hint === undefined ? '' : `hint: ${hint}\n`}`);
  return 1;
}
