import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { AppError } from '#core/errors.ts';

/** Makes a folder for its owner alone (mode 0700), and those above it. Throws `wrong_state` where there can be none. */
export function makeFolder(path: string): void {
  try {
    makeWithParents(resolve(path));
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    throw new AppError(
      'wrong_state',
      `There is no folder ${path}, and it cannot be made: ${reasons[code] ?? message}.`,
      {
        hint: 'Give a folder that whoever runs Chancery may write to (CHANCERY_DATA, CHANCERY_STORAGE).',
        cause: error,
      },
    );
  }
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space is left',
  EDQUOT: 'the disk quota is used up',
  EEXIST: 'something that is no folder stands in the way',
  ENOTDIR: 'something that is no folder stands in the way',
  ENOENT: 'the file system takes no folders there',
};

/** Node's own recursive `mkdir` never ends where a file system answers ENOENT for a folder that has its parent (/proc). */
function makeWithParents(path: string): void {
  if (isFolder(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeWithParents(parent);
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Another process may have made it just now.
    if (!isFolder(path)) throw error;
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
