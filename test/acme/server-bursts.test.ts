import { test } from 'node:test';
import { assertFailuresAreBounded, assertOpenAuthorizationsAreBounded, narrowRole } from './bursts.ts';
import { startDnsServer } from '#test/dns-server.ts';
import { acmeWorld } from './server-world.ts';

test('limits of what is open and of what fails hold for requests that come at once', async (context) => {
  const dns = await startDnsServer();
  context.after(() => dns.close());
  const world = await acmeWorld(context, { CHANCERY_ACME_RESOLVERS: `127.0.0.1:${dns.port}` });
  const key = await narrowRole(world.server);
  const client = await world.client('narrow');
  await client.register({}, key);
  await assertOpenAuthorizationsAreBounded(client);
  await assertFailuresAreBounded(client);
});
