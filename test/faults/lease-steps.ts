import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChildServer, Client } from '#test/chancery.ts';
import { type Language, type Moment, openWire, type Step, type Wire } from './lease-wire.ts';
import {
  assertSame,
  foundLeasing,
  type Leased,
  type LeaseTarget,
  mint,
  sweptLater,
  untilSilent,
} from './lease-world.ts';
import { assertNoCrash, type Spawn, spawner, temporaryFolder } from './server.ts';

/**
 * `kill -9` at every step of what is done to users and to the root password.
 *
 * Between two messages that change something, at the database or in the store, the server changes nothing that outlives
 * it. So the wires know all the points at which a crash can differ, and the code need not name any. As what happens to one
 * user does not touch another, the same thing is stopped at each of its points at the same time, with a user each, and then
 * the server is killed once. Revocations begin one after the other: MariaDB is told together to drop users that go together.
 */
export interface Act {
  readonly what: string;
  /** Begins with a lease, for acts that need one. */
  readonly prepare?: (client: Client, target: LeaseTarget) => Promise<Leased>;
  readonly run: (client: Client, leased: Leased | undefined) => Promise<unknown>;
}

const acts: readonly Act[] = [
  { what: 'mint', run: (client) => mint(client) },
  {
    what: 'renew',
    prepare: (client) => mint(client),
    run: (client, leased) => client.ok('POST', `leases/${leased?.lease_id}/renew`, { increment: '2h' }),
  },
  {
    what: 'revoke',
    prepare: (client) => mint(client),
    run: (client, leased) => client.ok('POST', `leases/${leased?.lease_id}/revoke`),
  },
  {
    what: 'revoke one with a session and a table',
    async prepare(client, target) {
      const leased = await mint(client);
      const { username } = leased;
      await target.world.logIn({ username, host: '%' }, leased.password);
      if (target.engine === 'postgresql')
        await target.world.root(
          `CREATE TABLE public.${username} (); ALTER TABLE public.${username} OWNER TO ${username}`,
        );
      return leased;
    },
    run: (client, leased) => client.ok('POST', `leases/${leased?.lease_id}/revoke`),
  },
];

interface Point {
  readonly act: Act;
  /** The step after which, or on the way to which, the server dies; from 1. */
  readonly number: number;
  readonly moment: Moment;
  readonly name: string;
}

/** Kills servers at each step of each act. After each kill, and one sweep by another server, leases and users are the same. */
export async function killAtEachStep(context: TestContext, target: LeaseTarget): Promise<void> {
  const wire = await openWire(context, target.world.settings.port, targetLanguage);
  const storage = target.storage?.();
  const folder = temporaryFolder(context, 'lease-steps');
  const spawn = spawner(context, { folder, env: storage === undefined ? {} : { CHANCERY_STORAGE: storage } });
  const scene: Scene = { context, target, wire, folder, storage, spawn };
  const points = await findPoints(scene);
  assert.ok(points.length > acts.length, 'no steps were seen');
  await killAtAll(scene, points);
  await killRotations(scene);
  const said = points.map(({ act, number, name, moment }) => `${act.what}: ${number} ${name} ${moment}`);
  context.diagnostic(`killed at ${points.length} points of leases, and at those of a rotation\n${said.join('\n')}`);
}

/** Where users are made together, while another minting lasts: at each step of two of them in one statement. */
export async function killMintsTogether(context: TestContext, target: LeaseTarget): Promise<void> {
  const wire = await openWire(context, target.world.settings.port, targetLanguage);
  const folder = temporaryFolder(context, 'lease-together');
  const spawn = spawner(context, { folder, env: {} });
  const scene: Scene = { context, target, wire, folder, storage: undefined, spawn };
  const first = await spawn();
  await foundLeasing(first, target, wire.port, { max_connections: 16, statement_timeout: '15s' });
  await first.stop();
  const points = [
    [1, 'CREATE USER', 'lost'],
    [1, 'CREATE USER', 'done'],
    [2, 'GRANT', 'done'],
    [5, 'ALTER USER', 'done'],
  ] as const;
  for (const [number, name, moment] of points) {
    const server = await spawn();
    await mint(server);
    const there = (await target.users()).length;
    const seen: string[] = [];
    wire.judge((step) => {
      const index = seen.push(step.name) - 1;
      return index === 0 ? 'done' : index === number ? moment : undefined;
    });
    const answers = [outcome(mint(server))];
    await untilStopped(wire, 1);
    answers.push(outcome(mint(server)), outcome(mint(server)));
    await untilStopped(wire, 2);
    assert.deepEqual([seen.length, seen.at(-1)], [number + 1, name]);
    assert.equal((await target.users()).length - there, moment === 'lost' ? 1 : 3, 'both were made in one statement');
    await kill(server, answers);
    await (await verify(scene, [`${name} of two users ${moment}`])).stop();
  }
}

interface Scene {
  readonly context: TestContext;
  readonly target: LeaseTarget;
  readonly wire: Wire;
  readonly folder: string;
  readonly storage: string | undefined;
  readonly spawn: Spawn;
}

/** Does everything once with nothing in the way, and says at which points it can be stopped. */
async function findPoints({ target, wire, spawn }: Scene): Promise<Point[]> {
  const server = await spawn();
  await foundLeasing(server, target, wire.port, { max_connections: 64, statement_timeout: '15s' });
  const points: Point[] = [];
  for (const act of acts) {
    const leased = await act.prepare?.(server, target);
    const seen = new Map<string | undefined, string[]>();
    wire.judge((step) => void take(seen, step));
    const answer = await act.run(server, leased);
    const subject = leased?.username ?? (answer as Leased).username;
    for (const [index, name] of (seen.get(subject) ?? []).entries()) {
      // That a later message is lost is the same as that the one before is done.
      if (index === 0) points.push({ act, number: 1, moment: 'lost', name });
      points.push({ act, number: index + 1, moment: 'done', name });
    }
  }
  wire.judge(() => undefined);
  await server.stop();
  return points;
}

/** The number of a step among those of its subject; undefined for what is repeated until it has worked. */
function take(seen: Map<string | undefined, string[]>, { name, subject }: Step): number | undefined {
  const names = seen.get(subject) ?? [];
  seen.set(subject, names);
  return names.at(-1) === name ? undefined : names.push(name);
}

async function killAtAll(scene: Scene, points: readonly Point[]): Promise<void> {
  const { wire, target, spawn } = scene;
  const server = await spawn();
  const prepared = [];
  for (const point of points) prepared.push({ point, leased: await point.act.prepare?.(server, target) });
  const known = new Map<string, Point>();
  for (const { point, leased } of prepared) if (leased) known.set(leased.username, point);
  const unmade = points.filter(({ act }) => act.prepare === undefined);
  const seen = new Map<string | undefined, string[]>();
  wire.judge((step) => {
    const { subject } = step;
    const point = subject === undefined ? undefined : (known.get(subject) ?? unmade.shift());
    if (subject === undefined || point === undefined) return undefined;
    known.set(subject, point);
    return take(seen, step) === point.number ? point.moment : undefined;
  });
  const answers: Promise<unknown>[] = [];
  const early: Promise<never>[] = [];
  // What is done for several users together is begun when the one before is held, so that each has its own message.
  const alone = ({ point: { act } }: { point: Point }) => act.what === 'mint' || act.what.startsWith('revoke');
  for (const [index, { point, leased }] of prepared.toSorted((a, b) => Number(alone(a)) - Number(alone(b))).entries()) {
    const answer = outcome(point.act.run(server, leased));
    answers.push(answer);
    early.push(
      answer.then((cause) => {
        throw new Error(`it ended before it was stopped: ${point.act.what}`, { cause });
      }),
    );
    if (alone({ point }) || index === points.length - 1) await Promise.race([untilStopped(wire, index + 1), ...early]);
  }
  await kill(server, answers);
  const later = await verify(
    scene,
    [...known].map(([user, { act, number, moment, name }]) => `${user}: ${act.what} ${number} ${name} ${moment}`),
  );
  const states = new Map<string, string>();
  for (const { id, state } of (await later.ok('GET', 'leases?limit=1000')).leases) states.set(id, state);
  for (const { point, leased } of prepared)
    if (leased) assert.equal(states.get(leased.lease_id), point.act.what === 'renew' ? 'active' : 'revoked');
  await later.stop();
}

/** The new password lost on the way, and set without an answer. */
async function killRotations(scene: Scene): Promise<void> {
  for (const moment of ['lost', 'done'] as const) {
    const server = await scene.spawn();
    scene.wire.judge(({ name, subject }) => (subject === undefined && name.startsWith('ALTER') ? moment : undefined));
    const answer = outcome(server.ok('POST', 'database/connections/app/rotate-root'));
    await untilStopped(scene.wire, 1);
    await kill(server, [answer]);
    const later = await verify(scene, [`rotation ${moment}`]);
    await later.ok('POST', 'database/connections/app/rotate-root');
    assert.equal((await later.ok('GET', 'database/connections/app')).root_rotation, 'none');
    const { settings } = scene.target.world;
    await assert.rejects(scene.target.world.logIn({ username: settings.username, host: '%' }, settings.password));
    await mint(later);
    await assertSame(later, scene.target);
    await later.stop();
  }
}

/** What came of a request: undefined when it was answered. */
function outcome(request: Promise<unknown>): Promise<unknown> {
  return request.then(
    () => undefined,
    (error: unknown) => error ?? new Error('failed'),
  );
}

async function untilStopped(wire: Wire, count: number): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (wire.stopped() < count) {
    if (performance.now() > deadline) assert.fail(`only ${wire.stopped()} of ${count} were stopped`);
    await sleep(5);
  }
}

async function kill(server: ChildServer, answers: readonly Promise<unknown>[]): Promise<void> {
  await server.kill();
  for (const answer of await Promise.all(answers))
    assert.ok(answer, 'a request was answered by a server that was dead');
  assertNoCrash(server);
}

/** Another server, a minute later by its clock, has swept: users and leases are the same, and the root password is known. */
async function verify({ context, target, wire, folder, storage }: Scene, killed: readonly string[]) {
  wire.judge(() => undefined);
  await untilSilent(target);
  const later = await sweptLater(context, folder, storage);
  try {
    await assertSame(later, target);
    const { username, password } = await mint(later);
    await (await target.world.logIn({ username, host: '%' }, password)).close();
    return later;
  } catch (error) {
    throw new Error(`after a kill at\n${killed.join('\n')}`, { cause: error });
  }
}

const changes =
  /CREATE (?:ROLE|USER)|ALTER (?:ROLE|USER)|DROP (?:ROLE|USER|OWNED)|REASSIGN OWNED|GRANT|SET DEFAULT ROLE|KILL|pg_terminate_backend/;

const targetLanguage: Language = {
  name: (message) => changes.exec(message)?.[0],
  subject: (message) => /chy_[0-9a-z]{5}_reader_[0-9a-z]{13}/.exec(message)?.[0],
};
