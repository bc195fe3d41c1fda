import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { foundPki, spawnChancery } from '#test/chancery.ts';
import { makePackage } from '../../scripts/package.ts';

const modules = join(import.meta.dirname, '../../node_modules');

/** The tarball unpacked as npm would install it, with the dependencies that it names and those of theirs beside it. */
function installPackage(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-package-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  makePackage(join(folder, 'made'));
  const [packed] = JSON.parse(
    execFileSync('npm', ['pack', '--json', '--offline', join(folder, 'made')], { cwd: folder, encoding: 'utf8' }),
  ) as [{ filename: string }];
  const installed = join(folder, 'node_modules/chancery');
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', join(folder, packed.filename), '-C', installed, '--strip-components=1']);
  for (const name of readdirSync(modules))
    if (!name.startsWith('.')) symlinkSync(join(modules, name), join(folder, 'node_modules', name));
  return installed;
}

test('the package that is published runs where it is installed: server, threads and command line', async (context) => {
  const installed = installPackage(context);
  assert.deepEqual(
    readdirSync(installed, { recursive: true }).filter((file) => String(file).endsWith('.ts')),
    [],
  );
  const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as Record<string, unknown>;
  assert.deepEqual(
    [manifest['private'], manifest['devDependencies'], manifest['scripts']],
    [undefined, undefined, undefined],
  );
  const server = await spawnChancery(context, { main: join(installed, 'src/main.js') });
  await foundPki(server);
  const issued = await server.ok('POST', 'pki/certificates', { role: 'web', dns_names: ['www.example.com'] });
  const shown = execFileSync(
    join(installed, 'bin/chancery'),
    ['pki', 'get-certificate', issued.serial_number, '--field', 'status'],
    { encoding: 'utf8', env: { PATH: process.env['PATH'], CHANCERY_URL: server.url, CHANCERY_TOKEN: server.token } },
  );
  assert.equal(shown, 'valid\n');
  assert.match(await fetch(`${server.url}/docs`).then((reply) => reply.text()), /Chancery/);
  await server.stop();
});
