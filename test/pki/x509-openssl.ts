import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Openssl {
  readonly folder: string;
  /** Runs one line of arguments (none with spaces) and returns standard output; rejects when it fails. */
  readonly openssl: (line: string) => Promise<string>;
  /** Writes a file in the folder and returns its path. */
  readonly file: (name: string, content: string | Uint8Array) => Promise<string>;
}

/** A temporary folder with the `openssl` command in it; both are gone when the test ends. */
export async function opensslIn(context: TestContext): Promise<Openssl> {
  const folder = await mkdtemp(join(tmpdir(), 'chancery-x509-'));
  context.after(() => rm(folder, { recursive: true }));
  return {
    folder,
    openssl: async (line) => (await run('openssl', line.split(' '), { cwd: folder, maxBuffer: 1 << 22 })).stdout,
    file: async (name, content) => {
      const path = join(folder, name);
      await writeFile(path, content);
      return path;
    },
  };
}
