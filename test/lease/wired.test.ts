import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { auditLinker } from '#audit/chain.ts';
import { afterRestore, migrations } from '#chancery/migrations.ts';
import { restoredSetting } from '#lease/migrations.ts';
import { openStore } from '#storage/open.ts';
import { restoreBackup } from '#storage/restore.ts';
import { startChancery } from '#test/chancery.ts';
import { temporaryFolder } from './house.ts';

test('the server as it is shipped sweeps, and shows leases in its metrics and its status', async (context) => {
  const server = await startChancery(context);
  const { text } = (await server.ok('GET', 'system/metrics')) as { text: string };
  const lines = text.split('\n');
  for (const state of ['minting', 'active', 'revoking', 'stuck'])
    assert.ok(lines.includes(`chancery_leases{state="${state}"} 0`), state);
  for (const line of ['chancery_leases_overdue 0', 'chancery_lease_brake_applied 0'])
    assert.ok(lines.includes(line), line);
  assert.match(text, /^chancery_lease_last_sweep_seconds \d/m);
  const status = await server.ok('GET', 'leases/status');
  assert.deepEqual([status.active, status.brake, status.targets_away], [0, null, []]);
  assert.deepEqual((await server.ok('GET', 'leases')).leases, []);
});

test('a store that is restored as the command does it has the mark that the brake looks for', async (context) => {
  const server = await startChancery(context);
  const { file } = (await server.ok('POST', 'system/backups', {})) as { file: string };
  const url = `sqlite:${join(temporaryFolder(context), 'store.db')}`;
  const from = join(server.folder, 'backups', file);
  await restoreBackup({ from, url, migrations, afterwards: afterRestore });
  const store = await openStore({ url, migrations, linker: auditLinker });
  context.after(() => store.close());
  const mark = await store.first('SELECT value FROM settings WHERE name = ?', [restoredSetting]);
  assert.notEqual(mark, undefined);
});
