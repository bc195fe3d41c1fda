import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';

const root = join(import.meta.dirname, '..');

/** Lints one planted file under the repository's own rules, in a folder of its own. */
function lint(context: TestContext, files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-lint-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of ['.oxlintrc.json', 'package.json', 'tsconfig.json']) cpSync(join(root, name), join(folder, name));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  const result = spawnSync(join(root, 'node_modules/.bin/oxlint'), ['--deny-warnings', ...Object.keys(files)], {
    cwd: folder,
    encoding: 'utf8',
  });
  return `${result.status} ${result.stdout}${result.stderr}`;
}

const violations: readonly (readonly [what: string, file: string, imported: string])[] = [
  ['core imports the store', 'src/core/planted.ts', '#storage/store.ts'],
  ['core imports by a path upwards', 'src/core/planted.ts', '../storage/store.ts'],
  ['the store imports the audit', 'src/storage/planted.ts', '#audit/chain.ts'],
  ['the policy imports a transport', 'src/policy/planted.ts', '#http/server.ts'],
  ['the audit imports an engine', 'src/audit/planted.ts', '#engines/pki/engine.ts'],
  ['the seal imports a room of an engine', 'src/seal/planted.ts', '#pki/issuer.ts'],
  ['the http face imports the store', 'src/http/planted.ts', '#storage/store.ts'],
  ['the cli imports the policy', 'src/cli/planted.ts', '#policy/decide.ts'],
  ['the outbound client imports an engine', 'src/outbound/planted.ts', '#pki/deps.ts'],
  ['the http face imports the outbound client', 'src/http/planted.ts', '#outbound/guarded-fetch.ts'],
  ['an engine imports a transport', 'engines/pki/planted.ts', '#http/server.ts'],
  ['an engine imports an engine', 'engines/pki/planted.ts', '#engines/acme/engine.ts'],
  ['an engine imports a room of another', 'engines/database/planted.ts', '#pki/issuer.ts'],
  ['the lease manager imports an engine', 'src/lease/planted.ts', '#database/target.ts'],
  ['an engine climbs out of its folder', 'engines/pki/planted.ts', '../../src/config.ts'],
];

for (const [what, file, imported] of violations) {
  test(`the linter catches that ${what}`, (context) => {
    const output = lint(context, {
      [file]: `import { thing } from '${imported}';\nexport const planted: unknown = thing;\n`,
    });
    assert.match(output, /^1 /);
    assert.match(output, /no-restricted-imports/);
  });
}

test('the linter catches an import cycle', (context) => {
  const output = lint(context, {
    'src/core/first.ts': `import { second } from './second.ts';\nexport const first = (): unknown => second;\n`,
    'src/core/second.ts': `import { first } from './first.ts';\nexport const second = (): unknown => first;\n`,
  });
  assert.match(output, /^1 [^]*no-cycle/);
});

test('the linter lets nobody but authorize make a grant', (context) => {
  const planted = `import { makeGrant } from '#core/grant.ts';\nexport const forged: unknown = makeGrant;\n`;
  assert.match(
    lint(context, { 'engines/pki/planted.ts': planted }),
    /^1 [^]*only src\/policy\/authorize.ts makes grants/,
  );
  assert.match(
    lint(context, { 'src/policy/planted.ts': planted }),
    /^1 [^]*only src\/policy\/authorize.ts makes grants/,
  );
});

test('the linter allows what the architecture allows', (context) => {
  const output = lint(context, {
    'engines/pki/planted.ts': `import type { Store } from '#storage/store.ts';\nexport type Planted = Store;\n`,
  });
  assert.match(output, /^0 /);
});
