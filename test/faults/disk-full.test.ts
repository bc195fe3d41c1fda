import assert from 'node:assert/strict';
import { closeSync, fsyncSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Client } from '#test/chancery.ts';
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
import { type Disk, noKernelFaults, smallDisk } from './machine.ts';
import { assertNoCrash, foundServer, spawner } from './server.ts';

/** F5 of the fault list: the disk of the store is full, has room again, is full when the server starts. */

const skip = noKernelFaults;

/** Fills the disk up to that many bytes, and returns what frees it again. */
function fill({ path }: Disk, leave: number): () => void {
  const ballast = join(path, 'ballast');
  const file = openSync(ballast, 'w');
  try {
    for (;;) {
      const { bavail, bsize } = statfsSync(path);
      const room = bavail * bsize - leave;
      if (room <= 0) break;
      writeSync(file, Buffer.alloc(Math.min(room, 1_048_576)));
    }
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  return () => rmSync(ballast);
}

/** Asks until nothing is issued any more. */
async function untilFull(context: TestContext, client: Client, witness: Witness): Promise<void> {
  const load = startLoad(context, client, { witness });
  const before = witness.refused.length;
  await untilTrue(() => witness.refused.length >= before + 50, '50 refusals');
  await load.stop();
}

async function assertOpenRoutesAnswer(client: Client): Promise<void> {
  for (const path of ['healthz', 'openapi.json'])
    assert.equal((await fetch(`${client.url}/${path}`)).status, 200, path);
}

test('on a full disk issuing is refused with storage_full, nothing that was acknowledged is lost, and space brings the service back', {
  skip,
}, async (context) => {
  const disk = smallDisk(context, 12 * 1024);
  const spawn = spawner(context, { folder: join(disk.path, 'data') });
  await foundServer(spawn);
  const server = await spawn();
  const witness = newWitness();
  for (const leave of [1_500_000, 400_000, 0]) {
    const free = fill(disk, leave);
    await untilFull(context, server, witness);
    await assertOpenRoutesAnswer(server);
    free();
    await untilIssued(context, server, witness);
  }
  assert.equal(witness.unanswered, 0);
  for (const { status, body } of witness.refused) {
    assert.deepEqual([status, body.code], [507, 'storage_full']);
    assert.match(body.hint, /Free space/);
  }
  await assertAllStored(server, witness.issued);
  const stored = await storedSerials(server);
  assert.equal(stored.length, witness.issued.length, 'the store has a certificate that was refused');
  const rows = await assertAuditVerifies(server);
  assertNoCrash(server);
  context.diagnostic(
    `3 times full: ${witness.issued.length} certificates answered, ${witness.refused.length} refused with 507, ` +
      `${stored.length} stored, 0 lost; ${rows} audit rows verified`,
  );
});

test('without space for its audit record no operation is answered, not even a read', { skip }, async (context) => {
  const disk = smallDisk(context, 12 * 1024);
  const spawn = spawner(context, { folder: join(disk.path, 'data') });
  await foundServer(spawn);
  const server = await spawn();
  const free = fill(disk, 0);
  await untilFull(context, server, newWitness());
  for (const path of ['pki/certificates?limit=1', 'auth/whoami', 'pki/roles/web']) {
    const { status, body } = await server.call('GET', path);
    assert.deepEqual([path, status, body.code], [path, 507, 'storage_full']);
  }
  free();
  await server.ok('GET', 'pki/roles/web');
  await assertAuditVerifies(server);
});

test('a server that was killed on a full disk starts there, answers open routes, and issues when there is space', {
  skip,
}, async (context) => {
  const disk = smallDisk(context, 12 * 1024);
  const spawn = spawner(context, { folder: join(disk.path, 'data') });
  await foundServer(spawn);
  const first = await spawn();
  const witness = newWitness();
  const free = fill(disk, 200_000);
  await untilFull(context, first, witness);
  await first.kill();
  const second = await spawn();
  await assertOpenRoutesAnswer(second);
  assert.equal(
    (await second.call('POST', 'pki/certificates', { role: 'web', dns_names: ['a.example.com'] })).status,
    507,
  );
  free();
  await untilIssued(context, second, witness);
  await assertAllStored(second, witness.issued);
  await assertAuditVerifies(second);
  assertNoCrash(second);
});
