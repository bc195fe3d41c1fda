import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  assertAllRevocable,
  assertAllStored,
  assertAuditVerifies,
  certificateRequests,
  newWitness,
  startLoad,
  storedSerials,
  type Witness,
} from './load.ts';
import { assertNoCrash, foundServer, type Spawn } from './server.ts';

/**
 * F2 of the fault list: `kill -9` at random moments while certificates are issued, by key and by CSR. Each time the
 * server is started again on what the last one left, locks and all. At the end every certificate that a client holds is
 * in the store and can be revoked, no serial number was given twice, and the audit log is whole.
 */
export async function killRepeatedly(context: TestContext, spawn: Spawn, rounds: number): Promise<void> {
  const { folder } = await foundServer(spawn);
  const witness = newWitness();
  const requests = certificateRequests(context);
  /** The last answers before each kill: those that a lost commit would take first. */
  const atRisk: Witness['issued'] = [];
  for (let round = 1; round <= rounds; round++) {
    const server = await spawn({ folder });
    const before = witness.issued.length;
    const load = startLoad(context, server, { requests, witness });
    // Every second kill may come before the first answer.
    if (round % 2 === 0) await load.seen(1);
    await sleep(50 + Math.random() * 250);
    await server.kill();
    await load.stop();
    atRisk.push(...witness.issued.slice(before).slice(-6));
    assertNoCrash(server);
  }
  const server = await spawn({ folder });
  await assertAllStored(server, witness.issued);
  const stored = await storedSerials(server);
  assert.equal(new Set(stored).size, stored.length, 'the store has a serial number twice');
  await assertAllRevocable(server, atRisk);
  const rows = await assertAuditVerifies(server);
  assert.ok(witness.unanswered >= rounds / 2, `only ${witness.unanswered} requests were under way at a kill`);
  context.diagnostic(
    `${rounds} kills: ${witness.issued.length} certificates answered, ${witness.unanswered} requests cut off, ` +
      `${stored.length} stored, 0 lost; ${atRisk.length} revoked; ${rows} audit rows verified`,
  );
}
