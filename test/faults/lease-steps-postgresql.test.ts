import { test } from 'node:test';
import { killAtEachStep } from './lease-steps.ts';
import { postgresTarget } from './lease-world.ts';

test('kill -9 at each step of mint, renew, revoke and root rotation on PostgreSQL leaves no user without a lease, and none without a user', async (context) => {
  await killAtEachStep(context, await postgresTarget(context));
});
