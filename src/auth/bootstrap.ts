import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Change, insert } from '#core/change.ts';
import type { Clock } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import { newId } from '#core/ids.ts';
import { administrator } from '#policy/built-in.ts';
import type { PrincipalRow } from '#storage/core-tables.ts';
import { makeFolder } from '#storage/folder.ts';
import type { Store } from '#storage/store.ts';
import { newCredential, type NewCredential } from './credential-row.ts';

export interface Bootstrapped {
  /** False when the store has principals already; then nothing was touched. */
  readonly created: boolean;
  /** Where the key of the administrator is, or was on the first start. */
  readonly tokenFile: string;
}

/**
 * Makes the namespace `root` and its first administrator in an empty store, and writes the key to `<data>/admin.token`
 * (mode 0600).
 *
 * The file is durable before the rows are: a crash in between leaves a file whose key opens nothing and a store that is
 * still empty, so that the next start does it all again and replaces the file. The other order would leave an
 * administrator whose key nobody has.
 */
export async function bootstrapAdministrator(store: Store, clock: Clock, dataFolder: string): Promise<Bootstrapped> {
  const tokenFile = join(dataFolder, 'admin.token');
  if (await hasPrincipals(store)) return { created: false, tokenFile };
  const now = clock.now();
  const { principal, key, changes } = firstAdministrator('root', now);
  await writeDurably(dataFolder, tokenFile, `${key.secret}\n`);
  try {
    await store.commit(
      [insert('namespaces', { name: 'root', description: 'The first namespace', created_at: now }), ...changes],
      [bootstrapEvent(principal, now)],
    );
  } catch (error) {
    // Another node was first: its administrator is the one, and our file holds a key of nobody.
    if (!(error instanceof AppError) || error.code !== 'conflict') throw error;
    await rm(tokenFile, { force: true });
    return { created: false, tokenFile };
  }
  return { created: true, tokenFile };
}

/** The first principal of a namespace: `admin`, a human with everything, and one key. */
export function firstAdministrator(namespace: string, now: number): FirstAdministrator {
  const principal: PrincipalRow = {
    id: newId('prn', now),
    namespace,
    name: 'admin',
    kind: 'human',
    description: 'First administrator',
    policies: JSON.stringify([administrator]),
    disabled: 0,
    created_at: now,
  };
  const key = newCredential('key', {
    namespace,
    principal_id: principal.id,
    created_at: now,
    description: 'First key',
  });
  return { principal, key, changes: [insert('principals', { ...principal }), insert('credentials', { ...key.row })] };
}

export interface FirstAdministrator {
  readonly principal: PrincipalRow;
  readonly key: NewCredential;
  readonly changes: readonly Change[];
}

async function hasPrincipals(store: Store): Promise<boolean> {
  return (await store.first<{ found: number }>('SELECT 1 AS found FROM principals LIMIT 1', [])) !== undefined;
}

function bootstrapEvent(principal: PrincipalRow, now: number) {
  return {
    id: newId('aud', now),
    at: now,
    namespace: 'root',
    requestId: newId('req', now),
    principal: 'bootstrap',
    principalKind: 'system',
    credentialId: null,
    operation: 'auth.bootstrap_administrator',
    resource: `principals/${principal.name}`,
    outcome: 'ok' as const,
    code: null,
    transport: 'system' as const,
    sourceAddress: null,
    purpose: null,
    details: {},
  };
}

/** Writes beside, then renames: the file is whole or not there, and what stood under the name is replaced, not followed. */
async function writeDurably(folder: string, file: string, text: string): Promise<void> {
  makeFolder(folder);
  const fresh = `${file}.new`;
  await rm(fresh, { force: true });
  const handle = await open(fresh, 'wx', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(fresh, file);
  const parent = await open(folder, 'r');
  try {
    await parent.sync();
  } finally {
    await parent.close();
  }
}
