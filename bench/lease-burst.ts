import { setTimeout as sleep } from 'node:timers/promises';
import type { ChildServer } from '#test/chancery.ts';
import type { TargetWorld } from '#test/target-world.ts';
import { bareDriver, driverConnections } from './harness/bare-lease.ts';
import { readMemory } from './harness/cpu.ts';
import {
  type Caller,
  callerOf,
  type EngineName,
  foundRole,
  percentile,
  rateOf,
  withTarget,
} from './harness/lease-world.ts';
import { recordLease } from './harness/recorded-lease.ts';
import type { Benchmark } from './harness/settings.ts';
import { type Cell, printTable } from './harness/table.ts';
import { withServer } from './harness/world.ts';

/** Very many leases that are due in the same moment, while users go on being minted. */
export const benchmark: Benchmark = {
  name: 'lease-burst',
  summary: '2,000 (--large: 10,000) leases due in one second: when they are gone, and what minting feels of it',
  async run({ large, wants }) {
    const rows: Cell[][] = [];
    for (const engine of ['postgresql', 'mysql'] as const)
      if (wants(engine)) rows.push(await measureBurst(engine, large ? 10_000 : 2000));
    printTable(
      'Leases due at once, each verified gone; one client mints every 100 ms, before and meanwhile. Bare: as many users, by the driver alone with the SQL of a single revocation, and nobody mints',
      [
        'database',
        'leases',
        'bare s',
        'all gone s',
        'per s',
        'mint p95 ms idle',
        'meanwhile',
        'ratio',
        'RSS MiB before',
        'peak',
      ],
      rows,
    );
  },
};

const idleMints = 100;
const pace = 100;

async function measureBurst(engine: EngineName, leases: number): Promise<Cell[]> {
  return withTarget(engine, (world) =>
    withServer({}, async (server) => {
      await foundRole(server, engine, world);
      const bare = await bareSeconds(server, engine, world, leases);
      const caller = callerOf(server, 32);
      await rateOf(32, Array.from({ length: leases }), () => caller.post('database/roles/app-reader/credentials'));
      // Those that are minted to be measured are of another role.
      await server.ok('POST', 'database/roles', { name: 'other', connection: 'app', member_of: ['app_reader'] });
      const idle: number[] = [];
      for (let index = 0; index < idleMints; index++) idle.push(await mint(caller));
      const { resident } = readMemory(server.process.pid as number);
      const began = performance.now();
      await caller.post('leases/revoke', { role: 'database/roles/app-reader' });
      const meanwhile: number[] = [];
      while ((await server.ok('GET', 'leases/status')).revoking > 0) meanwhile.push(await mint(caller));
      const seconds = (performance.now() - began) / 1000;
      const { peak } = readMemory(server.process.pid as number);
      caller.close();
      const p95 = [percentile(idle, 0.95), percentile(meanwhile, 0.95)] as const;
      return [world.title, leases, bare, seconds, leases / seconds, ...p95, p95[1] / p95[0], resident, peak];
    }),
  );
}

/** Seconds for the same number of users without leases, records and HTTP. */
async function bareSeconds(
  server: ChildServer,
  engine: EngineName,
  world: TargetWorld,
  count: number,
): Promise<number> {
  const recorded = await recordLease(server, engine, world);
  const connections = driverConnections[engine];
  const bare = bareDriver(engine, world.settings, connections, recorded);
  const names = Array.from({ length: count }, (_, index) => `bare_${index}`);
  await rateOf(connections, names, (name) => bare.mint(name));
  const { rate } = await rateOf(connections, names, (name) => bare.revoke(name));
  await bare.close();
  return count / rate;
}

/** Milliseconds that a mint took; the next begins a tenth of a second later. */
async function mint(caller: Caller): Promise<number> {
  const began = performance.now();
  await caller.post('database/roles/other/credentials');
  const taken = performance.now() - began;
  await sleep(Math.max(0, pace - taken));
  return taken;
}
