import { bareDriver, driverConnections } from './harness/bare-lease.ts';
import { cpuPerRequest, readCpu } from './harness/cpu.ts';
import { callerOf, during, type EngineName, foundRole, percentile, rateOf, withTarget } from './harness/lease-world.ts';
import { recordLease } from './harness/recorded-lease.ts';
import type { Benchmark } from './harness/settings.ts';
import { type Cell, printTable, ratio } from './harness/table.ts';
import { withServer } from './harness/world.ts';
import type { ChildServer } from '#test/chancery.ts';
import type { TargetWorld } from '#test/target-world.ts';

/** Database users leased and taken back per second, beside a bare driver that runs the same SQL. */
export const benchmark: Benchmark = {
  name: 'lease',
  summary: 'database users minted and verified gone per second over REST, beside the bare driver with the same SQL',
  async run({ seconds, wants }) {
    const rows: Cell[][] = [];
    for (const engine of ['postgresql', 'mysql'] as const)
      if (wants(engine)) rows.push(...(await withTarget(engine, (world) => measureEngine(engine, world, seconds))));
    printTable(
      'Users minted and revoked (locked, dropped, proved gone); store: SQLite; CPU of our server in µs per request',
      ['database', 'clients', '', 'bare per s', 'ours per s', '÷ bare', 'p50 ms', 'p95 ms', 'CPU', 'main', 'other'],
      rows,
    );
  },
};

const clientCounts = [1, 4, 16, 64];
/** Bare and ours in turn, so that what else the machine does hits both. */
const rounds = 3;

async function measureEngine(engine: EngineName, world: TargetWorld, seconds: number): Promise<Cell[][]> {
  return withServer({}, async (server) => {
    const recorded = await recordLease(server, engine, world);
    await foundRole(server, engine, world);
    const bare = bareDriver(engine, world.settings, driverConnections[engine], recorded);
    const rows: Cell[][] = [];
    for (const clients of clientCounts)
      rows.push(...(await measureClients({ engine, world, server, seconds }, clients, bare)));
    await bare.close();
    return rows;
  });
}

interface Place {
  readonly engine: EngineName;
  readonly world: TargetWorld;
  readonly server: ChildServer;
  readonly seconds: number;
}

interface Sums {
  bare: number;
  ours: number;
  readonly taken: number[];
  readonly cpu: { total: number; main: number }[];
}

async function measureClients(
  { world, server, seconds }: Place,
  clients: number,
  bare: ReturnType<typeof bareDriver>,
): Promise<Cell[][]> {
  const caller = callerOf(server, clients);
  const empty = (): Sums => ({ bare: 0, ours: 0, taken: [], cpu: [] });
  const sums = { mint: empty(), revoke: empty() };
  const pid = server.process.pid as number;
  const milliseconds = (seconds * 1000) / rounds;
  for (let round = 0; round < rounds; round++) {
    // Each from a server without users: on MariaDB the cost of a user grows with how many there are.
    const names: string[] = [];
    const bareMint = await rateOf(clients, during(milliseconds), async (index) => {
      const name = `bare_${clients}_${round}_${index}_${names.length}`;
      await bare.mint(name);
      names.push(name);
    });
    const bareRevoke = await rateOf(clients, names, (name) => bare.revoke(name));
    const leases: string[] = [];
    let before = readCpu(pid);
    const mint = await rateOf(clients, during(milliseconds), async () => {
      leases.push((await caller.post('database/roles/app-reader/credentials')).lease_id);
    });
    sums.mint.cpu.push(cpuPerRequest(pid, before, readCpu(pid), mint.taken.length));
    before = readCpu(pid);
    const revoke = await rateOf(clients, leases, (id) => caller.post(`leases/${id}/revoke`));
    sums.revoke.cpu.push(cpuPerRequest(pid, before, readCpu(pid), revoke.taken.length));
    add(sums.mint, bareMint.rate, mint);
    add(sums.revoke, bareRevoke.rate, revoke);
    await assertNoneLeft(world);
  }
  caller.close();
  return Object.entries(sums).map(([what, sum]) => row(world, clients, what, sum));
}

function add(sums: Sums, bare: number, { rate, taken }: { rate: number; taken: number[] }): void {
  sums.bare += bare / rounds;
  sums.ours += rate / rounds;
  sums.taken.push(...taken);
}

function row({ title }: TargetWorld, clients: number, what: string, { bare, ours, taken, cpu }: Sums): Cell[] {
  const mean = (part: 'total' | 'main'): number => cpu.reduce((sum, each) => sum + each[part], 0) / cpu.length;
  const times = [percentile(taken, 0.5), percentile(taken, 0.95)];
  return [
    title,
    clients,
    what,
    bare,
    ours,
    ratio(ours, bare),
    ...times,
    mean('total'),
    mean('main'),
    mean('total') - mean('main'),
  ];
}

/** A rate of revocations that leave users behind is no rate. */
async function assertNoneLeft(world: TargetWorld): Promise<void> {
  const sql =
    world.kind.engine === 'postgresql'
      ? "SELECT rolname FROM pg_roles WHERE rolname LIKE 'bare\\_%' OR rolname LIKE 'chy\\_%'"
      : "SELECT User FROM mysql.global_priv WHERE User LIKE 'bare\\_%' OR User LIKE 'chy\\_%'";
  const left = await world.root(sql);
  if (left.length > 0) throw new Error(`${left.length} users were left behind: ${JSON.stringify(left[0])}`);
}
