import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { assertAuditVerifies } from './load.ts';
import { killAtStart, spawner, temporaryFolder } from './server.ts';

test('after kill -9 at any step of its first start a server starts, with an administrator whose token works', async (context) => {
  const spawn = spawner(context);
  await (await spawn()).stop();
  let steps = 1;
  for (; ; steps++) {
    const folder = temporaryFolder(context, 'first-start');
    const cutOff = await killAtStart(folder, steps);
    const server = await spawn({ folder });
    await server.ok('GET', 'auth/whoami');
    await assertAuditVerifies(server);
    await server.kill();
    assert.deepEqual(
      readdirSync(folder).filter((file) => !/^(?:chancery\.db.*|root\.key|admin\.token|checkpoints\.log)$/.test(file)),
      [],
      'half-made files were left behind',
    );
    if (!cutOff) break;
  }
  assert.ok(steps > 8, `only ${steps} steps were seen`);
  context.diagnostic(`${steps - 1} first starts cut off, each at a later file; all ${steps} folders usable`);
});
