import { test } from 'node:test';
import { stopTheDatabase } from './lease-away.ts';
import { postgresTarget } from './lease-world.ts';

test('1,000 due leases are all gone after PostgreSQL was stopped in the middle and started again', async (context) => {
  await stopTheDatabase(context, await postgresTarget(context), 1000);
});
