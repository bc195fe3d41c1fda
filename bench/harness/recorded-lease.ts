import type { ChildServer } from '#test/chancery.ts';
import type { TargetWorld } from '#test/target-world.ts';
import type { RecordedSql } from './bare-lease.ts';
import { callerOf, type EngineName, foundRole } from './lease-world.ts';
import { recordSql } from './recorded-sql.ts';

/** What the server sends for one user on connections that are open already. */
export async function recordLease(server: ChildServer, engine: EngineName, world: TargetWorld): Promise<RecordedSql> {
  const recorder = await recordSql(engine, world.settings.port);
  const caller = callerOf(server, 1);
  try {
    await foundRole(server, engine, world, { port: recorder.port, name: 'recorded', connections: 4 });
    const mint = () => caller.post('database/roles/recorded-reader/credentials');
    const warm = await mint();
    await caller.post(`leases/${warm.lease_id}/revoke`);
    recorder.take();
    const { lease_id: id, username } = await mint();
    const minted = recorder.take();
    await caller.post(`leases/${id}/revoke`);
    return { name: username, mint: minted, revoke: recorder.take() };
  } finally {
    caller.close();
    // It would keep the process from ending.
    recorder.close();
  }
}
