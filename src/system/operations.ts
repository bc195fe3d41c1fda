import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { toRfc3339 } from '#core/clock.ts';
import { defineOperation } from '#core/operation.ts';
import type { Store } from '#storage/store.ts';

export interface SystemDeps {
  readonly store: Store;
  /** Where backups are written; no request can name another place. */
  readonly backupFolder: string;
  readonly version: string;
  readonly installationId: string;
}

const resource = () => 'system/backups';

const backupOutput = z.strictObject({
  file: z.string().describe('Name of the file in the backups folder of the server'),
  bytes: z.number().int(),
  created_at: z.string(),
});

export const createBackup = defineOperation({
  id: 'system.create_backup',
  title: 'Back up the store',
  summary:
    'Writes a consistent copy of the store into the backups folder of the server while it goes on working. Secrets in it stay sealed: keep the root key elsewhere. `chancery server restore` reads it back.',
  input: z.strictObject({}),
  output: backupOutput.extend({ path: z.string().describe('Path on the server') }),
  http: { method: 'POST', path: '/system/backups', status: 201 },
  resource,
  effect: 'additive',
  installation: true,
  async run(grant, _input, deps: SystemDeps) {
    await mkdir(deps.backupFolder, { recursive: true, mode: 0o700 });
    const file = `chancery-${new Date(grant.now).toISOString().replaceAll(/[:.]/g, '-')}.backup`;
    const path = join(deps.backupFolder, file);
    await deps.store.backup(path);
    const { size } = await stat(path);
    const output = { file, path, bytes: size, created_at: toRfc3339(grant.now) };
    return { output, audit: { file, bytes: size } };
  },
});

export const listBackups = defineOperation({
  id: 'system.list_backups',
  title: 'List backups',
  summary: 'Lists the files in the backups folder of the server, newest first.',
  input: z.strictObject({}),
  output: z.strictObject({ backups: z.array(backupOutput) }),
  http: { method: 'GET', path: '/system/backups' },
  resource,
  effect: 'read',
  installation: true,
  async run(_grant, _input, deps: SystemDeps) {
    const files = await readdir(deps.backupFolder).catch(() => []);
    const names = files
      .filter((file) => file.endsWith('.backup'))
      .toSorted()
      .toReversed()
      .slice(0, 1000);
    const backups = await Promise.all(
      names.map(async (file) => {
        const { size, mtimeMs } = await stat(join(deps.backupFolder, file));
        return { file, bytes: size, created_at: toRfc3339(mtimeMs) };
      }),
    );
    return { output: { backups } };
  },
});

export const getInfo = defineOperation({
  id: 'system.get_info',
  title: 'Show the installation',
  summary: 'Shows version, installation id and kind of store.',
  input: z.strictObject({}),
  output: z.strictObject({
    version: z.string(),
    installation_id: z.string(),
    store: z.enum(['sqlite', 'postgres']),
    node_version: z.string(),
  }),
  http: { method: 'GET', path: '/system/info' },
  resource: () => 'system/info',
  effect: 'read',
  async run(_grant, _input, deps: SystemDeps) {
    const output = {
      version: deps.version,
      installation_id: deps.installationId,
      store: deps.store.kind,
      node_version: process.version,
    };
    return { output };
  },
});

export const systemOperations = [getInfo, createBackup, listBackups];
