import { test } from 'node:test';
import { killRepeatedly } from './kill.ts';
import { spawner } from './server.ts';

test('after 100 kills -9 under load on SQLite every certificate that a client holds is stored and revocable', async (context) => {
  await killRepeatedly(context, spawner(context), 100);
});
