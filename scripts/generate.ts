import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { documents } from './generated-documents.ts';

/** A file that is made from the code. It is checked in, and `npm run check` fails when the two differ. */
export interface GeneratedDocument {
  /** Path from the root of the repository. */
  readonly file: string;
  /** The content; the same code always gives the same bytes. */
  readonly render: () => string | Promise<string>;
}

/** Writes the documents below `root`. Returns the files that were not as they are now. */
export async function writeDocuments(list: readonly GeneratedDocument[], root: string): Promise<string[]> {
  const changed: string[] = [];
  for (const { file, render } of list) {
    const path = resolve(root, file);
    const content = await render();
    if ((await contentOf(path)) === content) continue;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
    changed.push(file);
  }
  return changed;
}

/** The files below `root` that are not what the code would make of them now. Writes nothing. */
export async function differingDocuments(list: readonly GeneratedDocument[], root: string): Promise<string[]> {
  const compared = await Promise.all(
    list.map(async ({ file, render }) => ((await contentOf(resolve(root, file))) === (await render()) ? [] : [file])),
  );
  return compared.flat();
}

async function contentOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw thrown;
  }
}

async function main(check: boolean): Promise<void> {
  const root = resolve(import.meta.dirname, '..');
  if (!check) {
    for (const file of await writeDocuments(documents, root)) console.log(`written: ${file}`);
    return;
  }
  const differing = await differingDocuments(documents, root);
  for (const file of differing) console.error(`not up to date: ${file}; run npm run generate`);
  if (differing.length > 0) process.exitCode = 1;
}

if (import.meta.main) await main(process.argv.includes('--check'));
