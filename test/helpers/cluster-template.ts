import { execFile } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** User and group that a server runs as; undefined: those of this process. */
export type Owner = { readonly uid: number; readonly gid: number } | undefined;

/**
 * Fills the folder `data` with an empty database cluster. `make` makes one in the folder that it is given, which the
 * owner may write. In a run of the whole suite that is done once: `CHANCERY_TEST_TEMPLATES` (scripts/test.ts) is the
 * folder of what was made before, and this is a copy of it.
 */
export async function copyCluster(
  kind: string,
  data: string,
  owner: Owner,
  make: (folder: string) => Promise<void>,
): Promise<void> {
  const templates = process.env['CHANCERY_TEST_TEMPLATES'];
  if (templates === undefined) return make(data);
  const template = join(templates, kind);
  if (!existsSync(template)) await makeTemplate(templates, template, owner, make);
  await promisify(execFile)('cp', ['-a', '--reflink=auto', `${template}/.`, data]);
}

/** Several files may make the same one at once; the first one that is done stays. */
async function makeTemplate(
  templates: string,
  template: string,
  owner: Owner,
  make: (folder: string) => Promise<void>,
): Promise<void> {
  const own = mkdtempSync(join(templates, 'new-'));
  const made = join(own, 'made');
  mkdirSync(made, { mode: 0o700 });
  if (owner) for (const folder of [own, made]) chownSync(folder, owner.uid, owner.gid);
  try {
    await make(made);
    renameSync(made, template);
  } catch (error) {
    if (!existsSync(template)) throw error;
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}
