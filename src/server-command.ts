import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { auditLinker } from '#audit/chain.ts';
import { parseCheckpoint, splitCheckpoints } from '#audit/checkpoint.ts';
import { checkpointFile } from '#audit/checkpoint-file.ts';
import { openCheckpointKey } from '#audit/checkpoint-key.ts';
import { type Checkpoints, localCheckpoints } from '#audit/head.ts';
import { verifyLog } from '#audit/verify.ts';
import type { LocalContext } from '#cli/main.ts';
import { systemClock } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import { openKeyring, unwrapRow } from '#seal/keyring.ts';
import { createRootKeyFile, type RootKey, rootKeyFromFile, rootKeyFromText } from '#seal/root-key.ts';
import { changeRootKey } from '#seal/rotation.ts';
import { installationId } from '#seal/settings.ts';
import type { SealKeyRow } from '#storage/core-tables.ts';
import { openStore } from '#storage/open.ts';
import { restoreBackup } from '#storage/restore.ts';
import type { Store } from '#storage/store.ts';
import { type Config, ConfigError, loadConfig, storeUrl } from './config.ts';
import { runServer } from './main.ts';
import { afterRestore, migrations } from './migrations.ts';

/** What is done to a server on its own machine, with the settings of the server and without a token. */

const usage = `usage: chancery server <command>

  start                    run the server (as npm start does)
  restore --from FILE      fill an empty store with a backup, of either kind of store
  verify-log               check the audit log of a stopped server, also against checkpoints.log in the data folder
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
  await restoreBackup({ from, url: storeUrl(config.storage), migrations, afterwards: afterRestore });
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
  return openStore({ url: storeUrl(config.storage), migrations, linker: auditLinker });
}

async function changeKey(words: readonly string[]): Promise<number> {
  const file = onlyValue(words, '--to');
  if (file === undefined) return wrongUsage();
  const config = loadConfig(process.env, process.cwd());
  const store = await openOwnStore(config);
  try {
    const from = ownRootKey(config);
    if (!existsSync(file)) {
      // A new key beside a store that did not take it would be taken for the key of that store.
      await assertOpensAll(store, from);
      createRootKeyFile(file);
    }
    const to = rootKeyFromFile(file);
    const versions = await changeRootKey({ store, from, to, clock: systemClock });
    const what = versions.length === 0 ? 'nothing was left to do' : `it holds data key ${versions.join(', ')}`;
    process.stdout.write(`root key ${to.id}: ${what}; start the server with CHANCERY_ROOT_KEY_FILE=${file}\n`);
    return 0;
  } finally {
    await store.close();
  }
}

function ownRootKey({ rootKey: { file, text } }: Config): RootKey {
  return text === undefined ? rootKeyFromFile(file) : rootKeyFromText(text, 'CHANCERY_ROOT_KEY');
}

/** Throws `wrong_state` for another root key than the one that wraps the data keys. */
async function assertOpensAll(store: Store, rootKey: RootKey): Promise<void> {
  const sql = 'SELECT version, wrapped_key, root_key_id, state, created_at FROM seal_keys ORDER BY version';
  for (const row of await store.all<SealKeyRow>(sql, [])) (await unwrapRow(rootKey, row)).fill(0);
}

async function verify(): Promise<number> {
  const config = loadConfig(process.env, process.cwd());
  const store = await openOwnStore(config);
  try {
    const { checkpoints, ignored } = await ownCheckpoints(config, store);
    const { head, ...report } = await verifyLog(store, { checkpoints });
    const shown = {
      ...report,
      head: { seq: head.seq, hash: Buffer.from(head.hash).toString('hex') },
      checkpoints_ignored: ignored,
    };
    process.stdout.write(`${JSON.stringify(shown, null, 2)}\n`);
    return report.findings.length === 0 ? 0 : 1;
  } finally {
    await store.close();
  }
}

/**
 * Those of checkpoints.log. Whether they are ours only the root key can tell, since the key that signs them is sealed;
 * without it they are compared as they stand, and that is said.
 */
async function ownCheckpoints(config: Config, store: Store): Promise<Checkpoints> {
  const file = checkpointFile(join(config.data, 'checkpoints.log'));
  try {
    const rootKey = ownRootKey(config);
    const readOnly: Store = { ...store, commit: async () => Promise.reject(noCheckpointKey()) };
    const deps = { store: readOnly, clock: systemClock };
    const keyring = await openKeyring({ ...deps, rootKey });
    try {
      const signer = await openCheckpointKey({ ...deps, sealer: keyring, installationId: await installationId(deps) });
      return await localCheckpoints({ signer, file });
    } finally {
      keyring.close();
    }
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const why = `the signatures of ${file.path} were not verified: ${error.message}`;
    process.stderr.write(`warning: ${why}\n`);
    return unverified(await file.tail());
  }
}

/** An examination writes nothing, and a key made now has signed nothing. */
function noCheckpointKey(): AppError {
  return new AppError('wrong_state', 'The store has no key that signs checkpoints.');
}

function unverified(text: string): Checkpoints {
  const notes = splitCheckpoints(text);
  const checkpoints = notes.flatMap((note) => {
    try {
      return [parseCheckpoint(note)];
    } catch {
      return [];
    }
  });
  return { checkpoints, ignored: notes.length - checkpoints.length };
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
