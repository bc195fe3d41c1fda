import { test } from 'node:test';
import { stopTheDatabase } from './lease-away.ts';
import { mariadbTarget } from './lease-world.ts';

test('1,000 due leases are all gone after MariaDB was stopped in the middle and started again', async (context) => {
  await stopTheDatabase(context, await mariadbTarget(context), 1000);
});
