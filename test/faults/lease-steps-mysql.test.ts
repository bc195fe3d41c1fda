import { test } from 'node:test';
import { killAtEachStep, killMintsTogether } from './lease-steps.ts';
import { mariadbTarget } from './lease-world.ts';

test('kill -9 at each step of mint, renew, revoke and root rotation on MariaDB leaves no user without a lease, and none without a user', async (context) => {
  await killAtEachStep(context, await mariadbTarget(context));
});

test('kill -9 at each step of users of MariaDB that are made together leaves no user without a lease, and none without a user', async (context) => {
  await killMintsTogether(context, await mariadbTarget(context));
});
