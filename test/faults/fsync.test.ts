import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ChildServer } from '#test/chancery.ts';
import {
  assertAllStored,
  assertAuditVerifies,
  newWitness,
  startLoad,
  storedSerials,
  untilIssued,
  untilTrue,
  type Witness,
} from './load.ts';
import { freeze, noKernelFaults, type PluggedDisk, pluggedDisk, requireTool } from './machine.ts';
import { assertNoCrash, foundServer, type Spawn, spawner } from './server.ts';

/**
 * F8 of the fault list: the disk refuses to say that data is on it. strace lets fsync and fdatasync of the running
 * server fail without doing anything; a power cut afterwards shows what had really been written through.
 */

/** From now on the n-th fsync of each thread fails, `'15'` alone, `'15+'` with all that follow, `'15+40'` with every 40th after it. Resolves to what ends this. */
async function failFsync(context: TestContext, server: ChildServer, which: string): Promise<() => Promise<void>> {
  requireTool('strace', 'strace');
  const inject = `inject=fsync,fdatasync:error=EIO:when=${which}`;
  const words = ['-f', '-q', '-e', 'trace=fsync,fdatasync', '-e', inject, '-p', String(server.process.pid)];
  const tracer = spawn('strace', words, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  tracer.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const exited = once(tracer, 'exit');
  const end = async (): Promise<void> => {
    tracer.kill('SIGINT');
    await exited;
  };
  context.after(() => tracer.kill('SIGKILL'));
  await untilTrue(() => /fsync|fdatasync/.test(said) || tracer.exitCode !== null, 'the tracer to see an fsync');
  assert.equal(tracer.exitCode, null, `strace cannot trace the server (is ptrace allowed?): ${said}`);
  return end;
}

async function cutAndRestart(disk: PluggedDisk, server: ChildServer, spawnServer: Spawn): Promise<ChildServer> {
  disk.cutPower();
  await server.kill();
  disk.plugIn();
  return spawnServer();
}

function assertSaysUnavailable(witness: Witness): void {
  assert.ok(witness.refused.length > 0);
  for (const { status, body } of witness.refused) {
    assert.deepEqual([status, body.code], [503, 'unavailable'], JSON.stringify(body));
    assert.match(body.hint, /Try again/);
  }
}

test('while fsync fails nothing is issued, the server says unavailable, and goes on when the disk does', {
  skip: noKernelFaults,
}, async (context) => {
  const disk = pluggedDisk(context);
  const spawnServer = spawner(context, { folder: join(disk.path, 'data') });
  await foundServer(spawnServer);
  const server = await spawnServer();
  const witness = newWitness();
  const load = startLoad(context, server, { witness });
  await load.seen(10);
  const mend = await failFsync(context, server, '10+');
  await untilTrue(() => witness.refused.length >= 20, '20 refusals', witness);
  const issued = witness.issued.length;
  await untilTrue(() => witness.refused.length >= 40, '40 refusals', witness);
  assert.equal(witness.issued.length, issued, 'a certificate was answered although no fsync succeeded');
  await load.stop();
  await mend();
  await untilIssued(context, server, witness);
  assertSaysUnavailable(witness);
  assertNoCrash(server);
  await freeze(server.process.pid as number);
  const again = await cutAndRestart(disk, server, spawnServer);
  await assertAllStored(again, witness.issued);
  assert.equal((await storedSerials(again)).length, witness.issued.length, 'a certificate that was refused is stored');
  const rows = await assertAuditVerifies(again);
  context.diagnostic(
    `${witness.issued.length} certificates answered, ${witness.refused.length} refused with 503 while fsync failed, ` +
      `0 lost in the power cut after it, 0 stored that were refused; ${rows} audit rows verified`,
  );
});

test('a power cut while fsync fails takes nothing that was acknowledged before it', {
  skip: noKernelFaults,
}, async (context) => {
  const disk = pluggedDisk(context);
  const spawnServer = spawner(context, { folder: join(disk.path, 'data') });
  await foundServer(spawnServer);
  const server = await spawnServer();
  const witness = newWitness();
  const load = startLoad(context, server, { witness });
  await load.seen(10);
  await failFsync(context, server, '10+');
  await untilTrue(() => witness.refused.length >= 10, '10 refusals', witness);
  const again = await cutAndRestart(disk, server, spawnServer);
  await load.stop();
  await assertAllStored(again, witness.issued);
  await assertAuditVerifies(again);
});

test('when a single fsync fails, what was answered is true, and the next request succeeds', {
  skip: noKernelFaults,
}, async (context) => {
  const disk = pluggedDisk(context);
  const spawnServer = spawner(context, { folder: join(disk.path, 'data') });
  await foundServer(spawnServer);
  for (let round = 0; round < 3; round++) {
    const server = await spawnServer();
    const witness = newWitness();
    const before = (await storedSerials(server)).length;
    const load = startLoad(context, server, { witness });
    await load.seen(5);
    // One, and another much later: the first may hit what the server writes for itself, of which no client hears.
    const mend = await failFsync(context, server, `${4 + round}+40`);
    await untilTrue(() => witness.refused.length > 0, 'a refusal', witness);
    await load.stop();
    await mend();
    await untilIssued(context, server, witness);
    assertSaysUnavailable(witness);
    await freeze(server.process.pid as number);
    const again = await cutAndRestart(disk, server, spawnServer);
    await assertAllStored(again, witness.issued);
    assert.equal((await storedSerials(again)).length - before, witness.issued.length, 'what was refused is stored');
    await assertAuditVerifies(again);
    await again.stop();
  }
});
