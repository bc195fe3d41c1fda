import { test } from 'node:test';
import { startPostgres } from '#test/postgres.ts';
import { killRepeatedly } from './kill.ts';
import { spawner } from './server.ts';

test('after 30 kills -9 under load on PostgreSQL every certificate that a client holds is stored and revocable', async (context) => {
  const database = await startPostgres();
  context.after(() => database.stop());
  const CHANCERY_STORAGE = await database.createDatabase();
  await killRepeatedly(context, spawner(context, { env: { CHANCERY_STORAGE } }), 30);
});
