import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { type Connection, createConnection } from 'mysql2/promise';
import { type NewUser, type Target, TargetError } from '#database/target.ts';
import { mysql } from '#database/targets/mysql.ts';
import { type MariadbServer, runAs } from '#test/mariadb.ts';
import { type MariadbWorld, mariadbWorld } from '#test/mariadb-target.ts';
import { newUser, plain } from './mysql-user.ts';

/** Users of MariaDB that are asked for at the same time, and made together. */

let world: MariadbWorld;
let server: MariadbServer;
let target: Target;

before(async () => {
  world = await mariadbWorld();
  ({ server } = world);
  target = mysql.open(world.settings);
  const first = newUser();
  await target.createUser(first);
  await target.revokeUser(first, plain);
});

after(async () => {
  await target.close();
  await server.stop();
});

/** Users with a password each, which is their name. */
function newUsers(count: number, more: Partial<NewUser> = {}): NewUser[] {
  return Array.from({ length: count }, () => {
    const user = newUser(more);
    return { ...user, credential: { kind: 'password', password: user.username } };
  });
}

async function mint(users: readonly NewUser[], on = target): Promise<(string | undefined)[]> {
  const results = await Promise.allSettled(users.map((user) => on.createUser(user)));
  return results.map((result) => {
    if (result.status === 'fulfilled') return undefined;
    assert.ok(result.reason instanceof TargetError, String(result.reason));
    return `${result.reason.kind}, ${result.reason.outcome}`;
  });
}

const names = async (): Promise<string[]> =>
  (await server.run("SELECT User AS name FROM mysql.global_priv WHERE User LIKE 'chy\\_%' ORDER BY User")).map((row) =>
    String((row as { name: unknown }).name),
  );

async function connectAsRoot(context: TestContext): Promise<Connection> {
  const { port, password } = server;
  const connection = await createConnection({ host: '127.0.0.1', port, user: 'root', password });
  context.after(() => connection.destroy());
  return connection;
}

const say = (user: NewUser, ...statements: string[]) => runAs(server.port, user.username, user.username, ...statements);

test('users that are asked for at once are made in fewer statements, and each has what its role gives', async () => {
  const counted = async () => {
    const [row] = await server.run("SHOW GLOBAL STATUS LIKE 'Com_create_user'");
    return Number((row as { Value: unknown }).Value);
  };
  const users = [
    ...newUsers(14),
    ...newUsers(5, { memberOf: ['app_reader', 'app_writer'] }),
    ...newUsers(5, { connectionLimit: 3 }),
    ...newUsers(3, { memberOf: [] }),
  ];
  const earlier = await counted();
  assert.deepEqual(new Set(await mint(users)), new Set([undefined]));
  assert.ok((await counted()) - earlier < users.length / 2, 'users were made together');
  for (const user of users) {
    if (user.memberOf.length === 0) await assert.rejects(say(user, 'SELECT * FROM app.notes'), { errno: 1142 });
    else await say(user, 'SELECT * FROM app.notes');
    const insert = "INSERT INTO app.notes VALUES ('theirs')";
    if (user.memberOf.includes('app_writer')) await say(user, insert);
    else await assert.rejects(say(user, insert), { errno: 1142 });
  }
  const [limited] = users.slice(-5);
  assert.deepEqual(
    (await server.run(`SHOW CREATE USER '${limited?.username}'@'%'`)).map((row) =>
      / WITH MAX_USER_CONNECTIONS 3\b/.test(String(Object.values(row as object)[0])),
    ),
    [true],
  );
  await Promise.all(users.map((user) => target.revokeUser(user, plain)));
  assert.deepEqual(await names(), []);
});

test('a name that is taken is refused alone, and the account that has it is left as it is', async () => {
  const [mine, ...others] = newUsers(8) as [NewUser, ...NewUser[]];
  await server.run(`CREATE USER '${mine.username}'@'%' IDENTIFIED BY 'somebody else'`);
  const found = await server.run(`SHOW CREATE USER '${mine.username}'@'%'`);
  assert.deepEqual(await mint([mine, ...others]), ['exists, not_applied', ...others.map(() => undefined)]);
  for (const user of others) await say(user, 'SELECT * FROM app.notes');
  assert.deepEqual(await server.run(`SHOW CREATE USER '${mine.username}'@'%'`), found);
  await Promise.all([mine, ...others].map((user) => target.revokeUser(user, plain)));
});

test('of two that want one name the first has it, with its own password', async () => {
  const [first, second] = newUsers(2) as [NewUser, NewUser];
  const rival: NewUser = { ...first, credential: { kind: 'password', password: 'another' } };
  assert.deepEqual(await mint([first, rival, second]), [undefined, 'exists, not_applied', undefined]);
  await say(first, 'SELECT * FROM app.notes');
  await Promise.all([first, second].map((user) => target.revokeUser(user, plain)));
});

test('a group that may not be granted is refused to those who want it, and nothing of them is left', async () => {
  const barred = newUsers(4, { memberOf: ['unrelated'] });
  const bundled = newUsers(3, { memberOf: ['app_reader', 'unrelated'] });
  const good = newUsers(4);
  assert.deepEqual(await mint([...barred, ...good, ...bundled]), [
    ...barred.map(() => 'privilege, not_applied'),
    ...good.map(() => undefined),
    ...bundled.map(() => 'privilege, not_applied'),
  ]);
  assert.deepEqual(await names(), good.map(({ username }) => username).toSorted());
  await Promise.all(good.map((user) => target.revokeUser(user, plain)));
});

test('a lock that all of them wait for holds them up once, and nothing arrives late', async (context) => {
  const hasty = mysql.open({ ...world.settings, statementTimeout: 500 });
  context.after(() => hasty.close());
  const [early, ...users] = newUsers(9) as [NewUser, ...NewUser[]];
  await hasty.createUser(early);
  const backup = await connectAsRoot(context);
  await backup.query('FLUSH TABLES WITH READ LOCK');
  const [first, ...others] = await mint(users, hasty);
  assert.deepEqual([first, new Set(others)], ['timeout, not_applied', new Set(['timeout, not_applied'])]);
  await backup.query('UNLOCK TABLES');
  assert.deepEqual(await names(), [early.username]);
  await hasty.revokeUser(early, plain);
});

test('who waited for too long is refused before anything of it reaches the server', async (context) => {
  const narrow = mysql.open({ ...world.settings, maxConnections: 2, connectTimeout: 300, statementTimeout: 1000 });
  context.after(() => narrow.close());
  const [early, first, ...users] = newUsers(6) as [NewUser, NewUser, ...NewUser[]];
  await narrow.createUser(early);
  const backup = await connectAsRoot(context);
  await backup.query('FLUSH TABLES WITH READ LOCK');
  const waiting = mint([first], narrow);
  const late = mint(users, narrow);
  assert.deepEqual(await waiting, ['timeout, not_applied']);
  await backup.query('UNLOCK TABLES');
  assert.deepEqual(
    await late,
    users.map(() => 'timeout, not_applied'),
  );
  assert.deepEqual(await names(), [early.username]);
  assert.deepEqual(
    await mint(users, narrow),
    users.map(() => undefined),
    'the next are served',
  );
  await Promise.all([early, ...users].map((user) => target.revokeUser(user, plain)));
});

test('mintings that are cut off together at any moment say whether something of them may be there, and are revoked', async () => {
  for (let wait = 0; wait < 10; wait++) {
    const users = newUsers(6, wait % 2 === 0 ? {} : { memberOf: ['app_reader', 'app_writer'] });
    const minting = mint(users);
    await new Promise((resolve) => setTimeout(resolve, wait * 2));
    await world.breakAdminSessions();
    const there = new Set(await names());
    for (const [index, outcome] of (await minting).entries()) {
      assert.match(outcome ?? 'made', /^(made|unreachable, (unknown|not_applied))$/);
      if (outcome?.endsWith('not_applied')) assert.equal(there.has(users[index]?.username ?? ''), false);
    }
    for (const user of users) await target.revokeUser(user, plain).catch(() => target.revokeUser(user, plain));
    assert.deepEqual(await names(), []);
  }
});

test('no error of theirs cites a password or its hash', async () => {
  const users = newUsers(6, { memberOf: ['absent'] });
  const errors = await Promise.all(users.map((user) => target.createUser(user).catch((error: unknown) => error)));
  for (const error of errors) {
    assert.ok(error instanceof TargetError);
    const told = `${error.message} ${error.hint} ${JSON.stringify(error.cause)}`;
    assert.doesNotMatch(told, /USING|\*[0-9A-F]{40}/);
  }
  assert.deepEqual(await names(), []);
});
