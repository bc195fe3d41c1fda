import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '#test/chancery.ts';
import {
  assertSame,
  foundLeasing,
  type Leased,
  type LeaseTarget,
  leasesIn,
  mint,
  sweptLater,
  untilSilent,
} from './lease-world.ts';
import { assertAuditVerifies } from './load.ts';
import { assertNoCrash, spawner, temporaryFolder } from './server.ts';

/** `kill -9` at random moments while users are minted, renewed, revoked, run out, and the root password is rotated. */
export async function killUnderLoad(
  context: TestContext,
  target: LeaseTarget,
  { rounds, seed }: { readonly rounds: number; readonly seed: string },
): Promise<void> {
  const storage = target.storage?.();
  const folder = temporaryFolder(context, 'lease-kill');
  const spawn = spawner(context, { folder, env: storage === undefined ? {} : { CHANCERY_STORAGE: storage } });
  const witness: Witness = {
    leased: new Map(),
    revoked: new Set(),
    counts: { answered: 0, cut: 0 },
    refusals: new Map(),
  };
  let most = 0;
  for (let round = 1; round <= rounds; round++) {
    const server = await spawn();
    if (round === 1) await foundLeasing(server, target);
    const stop = startWork(server, witness);
    const pause = 100 + randomOf(`${seed} ${round}`) * 900;
    await sleep(pause);
    await server.kill();
    await stop();
    assertNoCrash(server);
    await untilSilent(target);
    const later = await sweptLater(context, folder, storage);
    try {
      most = Math.max(most, await assertSame(later, target));
      await assertKept(later, target, witness);
      await finishRotation(later);
      if (round === rounds) await assertAuditVerifies(later);
    } catch (error) {
      throw new Error(`after kill ${round} of seed ${seed}, ${Math.round(pause)} ms into the load`, { cause: error });
    }
    await later.stop();
  }
  const { answered, cut } = witness.counts;
  const refused = [...witness.refusals].map(([what, count]) => `${count} × ${what}`).join(', ');
  // Another one may be at the same; nothing else is a reason to refuse.
  assert.deepEqual(
    [...witness.refusals.keys()].filter((what) => !what.includes(' 409 ')),
    [],
  );
  assert.ok(cut >= rounds, `only ${cut} requests were under way at a kill`);
  context.diagnostic(
    `${rounds} kills (seed ${seed}): ${witness.leased.size} users leased, ${witness.revoked.size} revoked on request; ` +
      `${answered} requests answered, ${cut} cut off; refused: ${refused === '' ? 'none' : refused}; at most ${most} users lived; ` +
      `no user without a lease, no active lease without a user`,
  );
}

/** What was cut off is taken over, so that the next server can rotate again. Its own job may be faster. */
async function finishRotation(client: Client): Promise<void> {
  const reply = await client.call('POST', 'database/connections/app/rotate-root');
  assert.ok(reply.status === 200 || reply.body.code === 'wrong_state', JSON.stringify(reply.body));
  const { lease_id: id } = await mint(client);
  await client.ok('POST', `leases/${id}/revoke`);
}

interface Witness {
  readonly leased: Map<string, Leased & { readonly short: boolean }>;
  /** Leases whose revocation was asked for, answered or not. */
  readonly revoked: Set<string>;
  readonly counts: { answered: number; cut: number };
  /** How often which request was refused with which status and code. */
  readonly refusals: Map<string, number>;
}

/** From 0 to 1, the same for the same text. */
function randomOf(text: string): number {
  return Number.parseInt(hash('sha256', text).slice(0, 8), 16) / 2 ** 32;
}

/** Clients that do all of it at once, until they are stopped; resolves when every request has ended. */
function startWork(client: Client, witness: Witness): () => Promise<void> {
  const stopping = new AbortController();
  const { leased, revoked, counts } = witness;
  const mine: Leased[] = [];
  const minter = (short: boolean) => async () => {
    const user = await mint(client, short ? { ttl: '1s' } : {});
    leased.set(user.lease_id, { ...user, short });
    if (!short) mine.push(user);
    return user;
  };
  const renew = async () => {
    const user = mine.at(-1);
    return user && client.ok('POST', `leases/${user.lease_id}/renew`, { increment: '2h' });
  };
  const revoke = async () => {
    // Some of them live on.
    const user = mine.length > 3 ? mine.shift() : undefined;
    if (user) revoked.add(user.lease_id);
    return user && client.ok('POST', `leases/${user.lease_id}/revoke`);
  };
  const rotate = () => client.ok('POST', 'database/connections/app/rotate-root');
  /** Undefined: there was nothing to do. */
  const repeat = async (work: () => Promise<unknown>): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        if (await work()) counts.answered++;
        else await sleep(5);
      } catch (error) {
        // `client.ok` says which status it was; what fetch throws is a request without an answer.
        const refusal =
          error instanceof Error
            ? /^POST ([a-z-]+).*?: (\d{3}) .*?"code":"(\w+)".*?"detail":("[^"]*)/.exec(error.message)
            : null;
        if (refusal === null) {
          counts.cut++;
          return;
        }
        const what = refusal.slice(1).join(' ');
        witness.refusals.set(what, (witness.refusals.get(what) ?? 0) + 1);
        await sleep(10);
      }
    }
  };
  const running = [minter(false), minter(false), minter(true), renew, revoke, revoke, rotate].map(repeat);
  return async () => {
    stopping.abort();
    await Promise.all(running);
  };
}

/** What a client was given and nobody ended still lives, and the newest of them can log in. */
async function assertKept(client: Client, target: LeaseTarget, { leased, revoked }: Witness): Promise<void> {
  const active = await leasesIn(client, 'active');
  const kept = [...leased.values()].filter(({ short, lease_id: id }) => !short && !revoked.has(id));
  assert.deepEqual(
    kept.filter(({ lease_id: id }) => !active.has(id)).map(({ username }) => username),
    [],
    'users that were answered and are gone',
  );
  assert.deepEqual(
    [...active.keys()].filter((id) => leased.get(id)?.short),
    [],
    'leases that have run out and live',
  );
  const newest = kept.at(-1);
  if (newest) await (await target.world.logIn({ username: newest.username, host: '%' }, newest.password)).close();
}
