import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Makes the package that can be published: `npm run package`, then `npm pack ./dist`. Node does not strip types below a
 * `node_modules`, so they are stripped here, line for line: a stack trace of the package points into the source.
 */

const root = fileURLToPath(new URL('..', import.meta.url));
const trees = ['src', 'engines'];
const asTheyAre = ['README.md', 'CHANGELOG.md', 'LICENSE', 'docs', 'skills'];

/** What names a module of ours: in an import or export, in `import()`, and in the URL of a thread's file. */
const specifier = /((?:\bfrom|\bimport)\s*\(?\s*'[#.][^']*|\bnew URL\('\.[^']*)\.ts'/g;

/** JavaScript of a module; its imports name the files as they are called in the package. */
export function toJavaScript(source: string): string {
  return stripTypeScriptTypes(source).replace(specifier, "$1.js'");
}

/** Fills `folder`, which is emptied first. */
export function makePackage(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  for (const tree of trees) copyTree(tree, folder);
  for (const each of asTheyAre) cpSync(join(root, each), join(folder, each), { recursive: true });
  const launcher = readFileSync(join(root, 'bin/chancery'), 'utf8').replace('src/chancery.ts', 'src/chancery.js');
  write(join(folder, 'bin/chancery'), launcher, 0o755);
  write(join(folder, 'package.json'), `${JSON.stringify(publishedManifest(), null, 2)}\n`);
}

function copyTree(tree: string, folder: string): void {
  for (const entry of readdirSync(join(root, tree), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const from = join(entry.parentPath, entry.name);
    const to = join(folder, from.slice(root.length));
    if (entry.name.endsWith('.ts')) write(to.replace(/\.ts$/, '.js'), toJavaScript(readFileSync(from, 'utf8')));
    else write(to, readFileSync(from));
  }
}

/** The manifest without what only the repository needs. */
function publishedManifest(): object {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, unknown>;
  const { name, version, description, license, type, engines, bin, dependencies } = manifest;
  const imports = Object.entries(manifest['imports'] as Record<string, string>).filter(
    ([, to]) => !to.includes('test/'),
  );
  return {
    name,
    version,
    description,
    license,
    type,
    engines,
    bin,
    imports: Object.fromEntries(imports),
    dependencies,
  };
}

function write(path: string, content: string | Buffer, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content, { mode });
}

if (import.meta.main) {
  const folder = process.argv[2] ?? join(root, 'dist');
  makePackage(folder);
  process.stdout.write(`${folder} is the package; npm pack ${folder} makes its tarball.\n`);
}
