import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ChildServer, foundPki } from '#test/chancery.ts';
import {
  assertAllStored,
  assertAuditVerifies,
  certificateRequests,
  type Load,
  newWitness,
  startLoad,
  storedSerials,
  untilIssued,
} from './load.ts';
import { freeze, noKernelFaults, type PluggedDisk, pluggedDisk } from './machine.ts';
import { assertNoCrash, foundServer, spawner } from './server.ts';

/**
 * F7 of the fault list: the power goes while certificates are issued. The disk is an ext4 file system on a loop device;
 * shut down without a last write, it keeps exactly what was written through, as a disk does whose power is cut.
 */

const rounds = process.env['FAULTS'] === 'full' ? 30 : 10;

test(`after ${rounds} power cuts under load (30 with FAULTS=full) nothing that was acknowledged is lost`, {
  skip: noKernelFaults,
}, async (context) => {
  const disk = pluggedDisk(context);
  const spawn = spawner(context, { folder: join(disk.path, 'data') });
  await foundServer(spawn);
  const requests = certificateRequests(context);
  const witness = newWitness();
  for (let round = 1; round <= rounds; round++) {
    const server = await spawn();
    const before = witness.issued.length;
    const load = startLoad(context, server, { requests, witness });
    await load.seen(20);
    await sleep(Math.random() * 300);
    await powerCut(disk, server, load);
    assert.ok(witness.issued.length > before);
    assertIntegrity(join(disk.path, 'data', 'chancery.db'));
    assertNoCrash(server);
  }
  const server = await spawn();
  await assertAllStored(server, witness.issued);
  const stored = await storedSerials(server);
  const rows = await assertAuditVerifies(server);
  await server.stop();
  context.diagnostic(
    `${rounds} power cuts: ${witness.issued.length} certificates answered, ${witness.refused.length} refused, ` +
      `${witness.unanswered} requests cut off, ${stored.length} stored, 0 lost; ${rows} audit rows verified`,
  );
});

async function powerCut(disk: PluggedDisk, server: ChildServer, load: Load): Promise<void> {
  await freeze(server.process.pid as number);
  disk.cutPower();
  await server.kill();
  await load.stop();
  disk.plugIn();
}

/** SQLite replays its log, then every page and index is in order. */
function assertIntegrity(file: string): void {
  assert.ok(existsSync(file));
  const database = new DatabaseSync(file);
  try {
    assert.equal(database.prepare('PRAGMA integrity_check').get()?.['integrity_check'], 'ok');
  } finally {
    database.close();
  }
}

test('a new server whose power goes at once has its root key, its token and its first certificates on the disk', {
  skip: noKernelFaults,
}, async (context) => {
  const disk = pluggedDisk(context);
  const spawn = spawner(context, { folder: join(disk.path, 'data') });
  const witness = newWitness();
  const first = await spawn();
  await foundPki(first);
  const load = startLoad(context, first, { witness });
  await load.seen(1);
  await powerCut(disk, first, load);
  const second = await spawn();
  await assertAllStored(second, witness.issued);
  await untilIssued(context, second, witness);
  await assertAuditVerifies(second);
});
