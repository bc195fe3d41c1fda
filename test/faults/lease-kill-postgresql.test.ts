import { test } from 'node:test';
import { killUnderLoad } from './lease-kill.ts';
import { postgresTarget } from './lease-world.ts';

/** `FAULTS=full` for the long run; `CHANCERY_SEED` repeats the moments. */
const rounds = process.env['FAULTS'] === 'full' ? 100 : 6;
const seed = process.env['CHANCERY_SEED'] ?? String(Date.now());

test(`after each of ${rounds} kills -9 under load the leased users on PostgreSQL are those of the active leases`, async (context) => {
  await killUnderLoad(context, await postgresTarget(context), { rounds, seed });
});
