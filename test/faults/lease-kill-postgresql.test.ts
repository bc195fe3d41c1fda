import { test } from 'node:test';
import { killUnderLoad } from './lease-kill.ts';
import { postgresTarget } from './lease-world.ts';

/** `CHANCERY_TEST_LEASE_KILLS=100` for the long run; a seed repeats the moments. */
const rounds = Number(process.env['CHANCERY_TEST_LEASE_KILLS'] ?? 6);
const seed = process.env['CHANCERY_TEST_SEED'] ?? String(Date.now());

test(`after each of ${rounds} kills -9 under load the leased users on PostgreSQL are those of the active leases`, async (context) => {
  await killUnderLoad(context, await postgresTarget(context), { rounds, seed });
});
