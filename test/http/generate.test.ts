import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type TestContext, test } from 'node:test';
import { settingTexts } from '#chancery/settings.ts';
import { renderConfiguration } from '../../scripts/configuration-page.ts';
import { differingDocuments, type GeneratedDocument, writeDocuments } from '../../scripts/generate.ts';

const documents: readonly GeneratedDocument[] = [
  { file: 'a.md', render: () => 'a\n' },
  { file: 'deep/er/b.json', render: async () => '{}\n' },
];

async function folder(context: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'chancery-generate-'));
  context.after(() => rm(path, { recursive: true }));
  return path;
}

test('documents are written once, and again only when they changed', async (context) => {
  const root = await folder(context);
  assert.deepEqual(await writeDocuments(documents, root), ['a.md', 'deep/er/b.json']);
  assert.deepEqual(await writeDocuments(documents, root), []);
  assert.equal(await readFile(join(root, 'deep/er/b.json'), 'utf8'), '{}\n');
});

test('the check names the files that differ or are missing, and writes nothing', async (context) => {
  const root = await folder(context);
  await writeDocuments([{ file: 'a.md', render: () => 'a\n' }], root);
  await writeFile(join(root, 'a.md'), 'edited by hand\n');
  assert.deepEqual(await differingDocuments(documents, root), ['a.md', 'deep/er/b.json']);
  assert.equal(await readFile(join(root, 'a.md'), 'utf8'), 'edited by hand\n');
});

test('the page of the configuration in the repository is the one that the settings make', async () => {
  const page = await readFile(resolve(import.meta.dirname, '../../docs/configuration.md'), 'utf8');
  assert.equal(page, renderConfiguration());
});

test('the page of the configuration explains every setting', () => {
  const page = renderConfiguration();
  for (const { name, about } of settingTexts()) assert.ok(page.includes(`## ${name}\n\n${about}`), name);
});
