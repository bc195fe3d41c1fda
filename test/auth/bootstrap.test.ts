import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createAuthenticate } from '#auth/authenticate.ts';
import { bootstrapAdministrator } from '#auth/bootstrap.ts';
import { AppError } from '#core/errors.ts';
import type { Store } from '#storage/store.ts';
import { openStore, temporaryFolder, testClock } from './house.ts';

const clock = testClock();

async function whoHolds(store: Store, file: string): Promise<string> {
  const token = readFileSync(file, 'utf8').trim();
  const { namespace, name, policies } = await createAuthenticate({ store })({ kind: 'bearer', token }, clock.now());
  return `${namespace} ${name} ${policies.join()}`;
}

test('an empty store gets an administrator whose key is in a file for its owner only', async (context) => {
  const folder = join(temporaryFolder(context), 'data');
  const store = await openStore(folder);
  context.after(() => store.close());
  const first = await bootstrapAdministrator(store, clock, folder);
  assert.deepEqual(first, { created: true, tokenFile: join(folder, 'admin.token') });
  assert.equal(statSync(first.tokenFile).mode & 0o777, 0o600);
  assert.equal(await whoHolds(store, first.tokenFile), 'root admin administrator');
  const text = readFileSync(first.tokenFile, 'utf8');
  assert.deepEqual(await bootstrapAdministrator(store, clock, folder), { ...first, created: false });
  assert.equal(readFileSync(first.tokenFile, 'utf8'), text, 'the second start touches nothing');
  assert.ok(!readdirSync(folder).includes('admin.token.new'));
  const events = await store.all<{ operation: string; outcome: string }>(
    'SELECT operation, outcome FROM audit_events',
    [],
  );
  assert.deepEqual(
    events.map((event) => ({ ...event })),
    [{ operation: 'auth.bootstrap_administrator', outcome: 'ok' }],
  );
});

test('a crash between file and rows is made good by the next start', async (context) => {
  const folder = temporaryFolder(context);
  const store = await openStore(folder);
  context.after(() => store.close());
  const failing: Store = { ...store, commit: () => Promise.reject(new AppError('storage_full', 'full')) };
  await assert.rejects(bootstrapAdministrator(failing, clock, folder), { code: 'storage_full' });
  const dead = readFileSync(join(folder, 'admin.token'), 'utf8');
  writeFileSync(join(folder, 'admin.token.new'), 'half a ke');
  assert.equal((await bootstrapAdministrator(store, clock, folder)).created, true);
  assert.notEqual(readFileSync(join(folder, 'admin.token'), 'utf8'), dead);
  assert.equal(await whoHolds(store, join(folder, 'admin.token')), 'root admin administrator');
});

test('a link planted under the name of the file is replaced, not written through', async (context) => {
  const folder = temporaryFolder(context);
  const store = await openStore(folder);
  context.after(() => store.close());
  const target = join(folder, 'elsewhere');
  writeFileSync(target, 'untouched');
  symlinkSync(target, join(folder, 'admin.token'));
  symlinkSync(target, join(folder, 'admin.token.new'));
  await bootstrapAdministrator(store, clock, folder);
  assert.equal(readFileSync(target, 'utf8'), 'untouched');
  assert.equal(await whoHolds(store, join(folder, 'admin.token')), 'root admin administrator');
});

test('of two nodes that start on one empty store, one makes the administrator and the other keeps no dead key', async (context) => {
  const folder = temporaryFolder(context);
  const store = await openStore(folder);
  context.after(() => store.close());
  const nodes = [join(folder, 'one'), join(folder, 'two')];
  const results = await Promise.all(nodes.map((node) => bootstrapAdministrator(store, clock, node)));
  assert.equal(results.filter((result) => result.created).length, 1);
  for (const { created, tokenFile } of results) assert.equal(existsSync(tokenFile), created);
  const winner = results.find((result) => result.created)?.tokenFile ?? '';
  assert.equal(await whoHolds(store, winner), 'root admin administrator');
});
