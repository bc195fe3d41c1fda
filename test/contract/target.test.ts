import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as fc from 'fast-check';
import { generatePassword } from '#database/password.ts';
import { type NewUser, type Target, TargetError, type UserName } from '#database/target.ts';
import { makeUsername, newUsernameTag, usernamePrefix } from '#database/username.ts';
import { RevocationError } from '#lease/contract.ts';
import { freePort } from '#test/free-port.ts';
import { mariadbWorld } from '#test/mariadb-target.ts';
import { postgresWorld } from '#test/postgres-target.ts';
import type { TargetWorld, UserSession } from '#test/target-world.ts';

/** The contract of engines/database/target.ts, on a real server of each kind, as an administrator of least privilege. */
const worlds: readonly (readonly [string, () => Promise<TargetWorld>])[] = [
  ['PostgreSQL, the default version', () => postgresWorld()],
  ['PostgreSQL 18', () => postgresWorld({ major: 18 })],
  ['MariaDB', () => mariadbWorld()],
];

const hour = 3_600_000;

for (const [name, start] of worlds) {
  describe(name, () => {
    let world: TargetWorld;
    let target: Target;
    const sessions: UserSession[] = [];
    const tag = newUsernameTag();

    before(async () => {
      world = await start();
      target = world.kind.open(world.settings);
    });
    after(async () => {
      await Promise.all(sessions.map((session) => session.close().catch(() => undefined)));
      await target?.close();
      await world?.stop();
    });

    const newName = (): UserName => ({
      username: makeUsername(
        '{{role}}_{{random}}',
        { tag, role: 'contract', principal: 'tester', now: Date.now() },
        world.kind.usernameLimit,
      ),
      ...(world.userHost !== undefined && { host: world.userHost }),
    });
    const newUser = (over: Partial<NewUser> = {}): NewUser & { readonly password: string } => {
      const password = generatePassword();
      return {
        ...newName(),
        password,
        credential: { kind: 'password', password },
        expiresAt: Date.now() + hour,
        memberOf: ['app_reader'],
        statements: [],
        ...over,
      };
    };
    const create = async (over: Partial<NewUser> = {}) => {
      const user = newUser(over);
      await target.createUser(user);
      return user;
    };
    const logIn = async (user: UserName, password: string) => {
      const session = await world.logIn(user, password);
      sessions.push(session);
      return session;
    };
    const plan = { statements: [] };
    const targetError = (kind: TargetError['kind']) => (error: unknown) => {
      assert.ok(error instanceof TargetError, String(error));
      assert.equal(error.kind, kind, error.message);
      return true;
    };

    test('inspect tells version, encryption and clock, and that the administrator is no superuser', async () => {
      const facts = await target.inspect();
      assert.match(facts.version, /^(?:PostgreSQL|MySQL|MariaDB) \d+\.\d+/);
      assert.equal(facts.superuser, false);
      assert.equal(facts.encrypted, world.settings.tls.mode !== 'disable');
      assert.ok(Math.abs(facts.now - Date.now()) < 60_000);
    });

    test('a new user reads what its group may read, and is refused to write', async () => {
      const user = await create();
      const session = await logIn(user, user.password);
      assert.equal((await session.query(world.read)).length, 1);
      await assert.rejects(session.query(world.write));
      assert.equal(await target.canLogIn(user, user.password), true);
      assert.equal(await target.canLogIn(user, `${user.password}x`), false);
    });

    test('a second user of the same name is refused and the first one keeps its password', async () => {
      const user = await create();
      await assert.rejects(target.createUser({ ...newUser(), username: user.username }), targetError('exists'));
      assert.equal(await target.canLogIn(user, user.password), true);
    });

    test('a user for a group that does not exist is not made at all', async () => {
      const user = newUser({ memberOf: ['app_reader', 'no_such_group'] });
      await assert.rejects(target.createUser(user), TargetError);
      assert.equal(await world.userExists(user), false);
    });

    test('statements of the role make the user, however many commands each of them holds', async () => {
      const user = await create({ memberOf: [], statements: world.readerStatements });
      const session = await logIn(user, user.password);
      assert.equal((await session.query(world.read)).length, 1);
    });

    test('statements that fail half way leave no user', async () => {
      const user = newUser({ statements: world.failingStatements });
      await assert.rejects(target.createUser(user), targetError('statement'));
      assert.equal(await world.userExists(user), false);
    });

    test('revocation ends open sessions, removes the user and proves it', async () => {
      const user = await create();
      const open = await Promise.all([logIn(user, user.password), logIn(user, user.password)]);
      const busy = open[0].query(world.wait(60)).catch(() => 'ended');
      assert.deepEqual(await target.revokeUser(user, plan), { ended: 'removed', sessions: 2 });
      await Promise.all(open.map((session) => session.ended));
      assert.equal(await busy, 'ended');
      assert.equal(await world.userExists(user), false);
      await assert.rejects(world.logIn(user, user.password));
      assert.equal(await target.canLogIn(user, user.password), false);
    });

    test('revocation of a user that never was says so', async () => {
      assert.deepEqual(await target.revokeUser(newName(), plan), { ended: 'already_absent', sessions: 0 });
    });

    test('two revocations at once both end well, and one of them removed the user', async () => {
      for (let round = 0; round < 10; round++) {
        const user = await create();
        if (round % 2 === 0) await logIn(user, user.password);
        const ends = await Promise.all([1, 2, 3].map(() => target.revokeUser(user, plan)));
        assert.equal(ends.filter(({ ended }) => ended === 'removed').length, 1);
        assert.equal(await world.userExists(user), false);
      }
    });

    test('the administrator of the connection is never revoked', async () => {
      const admin = { username: world.settings.username, ...(world.userHost && { host: world.userHost }) };
      await assert.rejects(target.revokeUser(admin, plan), RevocationError);
      assert.equal((await target.inspect()).superuser, false);
    });

    test('the server itself refuses a user whose time is over, until it is extended', async () => {
      if (!world.kind.hasExpiry) {
        const user = await create({ expiresAt: Date.now() - 1000 });
        await target.extendUser(user, Date.now() + hour);
        assert.equal(await target.canLogIn(user, user.password), true);
        return;
      }
      const user = await create({ expiresAt: Date.now() - 1000 });
      assert.equal(await target.canLogIn(user, user.password), false);
      const later = Math.floor(Date.now() / 1000) * 1000 + hour;
      await target.extendUser(user, later);
      assert.equal(await target.canLogIn(user, user.password), true);
      const listed = (await target.listUsers(user.username)).find((each) => each.username === user.username);
      assert.equal(listed?.expiresAt, later);
    });

    test('extending a user that does not exist fails', async () => {
      if (!world.kind.hasExpiry) return;
      await assert.rejects(target.extendUser(newName(), Date.now() + hour), TargetError);
    });

    test('a new password takes the place of the old one, and open sessions stay', async () => {
      const user = await create();
      const session = await logIn(user, user.password);
      const next = generatePassword();
      await target.setPassword(user, next);
      assert.equal(await target.canLogIn(user, user.password), false);
      assert.equal(await target.canLogIn(user, next), true);
      assert.equal((await session.query(world.read)).length, 1);
    });

    test('a user with a bound on sessions gets no more than that', async () => {
      const user = await create({ connectionLimit: 1 });
      await logIn(user, user.password);
      await assert.rejects(world.logIn(user, user.password));
    });

    test('users are listed by their prefix to the letter, with their sessions', async () => {
      const [one, other] = [newUsernameTag(), newUsernameTag()];
      const named = (ofTag: string) =>
        create({ username: makeUsername('{{random}}', { tag: ofTag, role: 'r', principal: 'p', now: 0 }, 32) });
      const mine = await named(one);
      await named(other);
      const session = await logIn(mine, mine.password);
      const listed = await target.listUsers(usernamePrefix(one));
      assert.deepEqual(
        listed.map(({ username, sessions: open }) => [username, open]),
        [[mine.username, 1]],
      );
      assert.deepEqual(await target.listUsers(usernamePrefix(one).replace('_', '%')), []);
      assert.deepEqual(await target.listUsers(usernamePrefix(one).replaceAll(/[a-z]/g, '_')), []);
      await session.close();
    });

    test('the connection URL leads to the database, whatever the password holds', async () => {
      const password = 'a b/c?d#e%f@g:h"i\'j\\k&l=m';
      const url = new URL(target.connectionUrl({ username: 'u' }, password, world.database));
      assert.equal(decodeURIComponent(url.password), password);
      assert.equal(url.username, 'u');
      assert.equal(url.port, String(world.settings.port));
      assert.equal(url.pathname, `/${world.database}`);
      assert.equal(new URL(target.connectionUrl({ username: 'u' }, undefined, undefined)).password, '');
    });

    test('an administrator of the set-up script lacks nothing', async () => {
      const needs = { memberOf: ['app_reader', 'app_writer'], reassignTo: 'app_owner', actAs: 'app_owner' };
      assert.deepEqual(
        (await target.diagnose(needs)).filter(({ severity }) => severity === 'missing'),
        [],
      );
    });

    test('what is missing comes with the statements that mend it', async () => {
      const needs = { memberOf: ['unrelated'], reassignTo: 'unrelated' };
      const missing = (await target.diagnose(needs)).filter(({ severity }) => severity === 'missing');
      for (const { fix } of missing) await world.root(fix);
      assert.deepEqual(
        (await target.diagnose(needs)).filter(({ severity }) => severity === 'missing'),
        [],
      );
      const user = await create({ memberOf: ['unrelated'] });
      assert.deepEqual(await target.revokeUser(user, { ...plan, reassignTo: 'unrelated' }), {
        ended: 'removed',
        sessions: 0,
      });
    });

    test('a server that does not answer is told apart from one that refuses the login', async () => {
      const nobody = world.kind.open({ ...world.settings, port: await freePort() });
      await assert.rejects(nobody.inspect(), targetError('unreachable'));
      await assert.rejects(
        nobody.revokeUser(newName(), plan),
        (error) => error instanceof RevocationError && error.unavailable,
      );
      const wrong = world.kind.open({ ...world.settings, password: 'wrong' });
      await assert.rejects(wrong.inspect(), targetError('login'));
      await Promise.all([nobody.close(), wrong.close()]);
    });

    test('connections that broke are replaced', async () => {
      await Promise.all([1, 2, 3].map(() => target.inspect()));
      await world.breakAdminSessions();
      while ((await world.adminSessions()) > 0) await sleep(10);
      const user = await create();
      assert.equal(await target.canLogIn(user, user.password), true);
    });

    test('a statement that takes too long is ended at the server', async () => {
      const hasty = world.kind.open({ ...world.settings, statementTimeout: 200, applicationName: 'chancery/hasty' });
      const user = newUser({ statements: [`${world.wait(30)} /* hasty */`] });
      await assert.rejects(hasty.createUser(user), targetError('timeout'));
      await hasty.inspect();
      await hasty.close();
    });

    test('there are never more connections than allowed, and everyone is served', async () => {
      const narrow = world.kind.open({ ...world.settings, maxConnections: 2 });
      const idle = await world.adminSessions();
      let most = 0;
      const looking = new AbortController();
      const watch = (async () => {
        while (!looking.signal.aborted) most = Math.max(most, (await world.adminSessions()) - idle);
      })();
      const users = Array.from({ length: 24 }, () => newUser());
      await Promise.all(users.map((user) => narrow.createUser(user)));
      await Promise.all(users.map((user) => narrow.revokeUser(user, plan)));
      looking.abort();
      await watch;
      assert.ok(most >= 1 && most <= 2, String(most));
      for (const user of users) assert.equal(await world.userExists(user), false);
      await narrow.close();
    });

    test('closing waits for what is under way and refuses what comes after', async () => {
      const closing = world.kind.open(world.settings);
      const user = newUser();
      await closing.inspect();
      const minting = closing.createUser(user);
      await new Promise((resolve) => setImmediate(resolve));
      await closing.close();
      await minting;
      assert.equal(await world.userExists(user), true);
      await assert.rejects(closing.inspect(), targetError('unreachable'));
    });

    test('names of any kind in every field are carried as they are, or refused with nothing made', async () => {
      const notes = await world.root(world.read);
      const part = fc.oneof(
        fc.constantFrom(
          "'",
          '"',
          '`',
          ';',
          '--',
          '/*',
          '\\',
          '{{name}}',
          '$$',
          '\0',
          "'; DROP TABLE notes; --",
          '%',
          '\uD800',
        ),
        fc.string({ unit: 'grapheme', maxLength: 8 }),
        fc.constantFrom('x'.repeat(63), 'x'.repeat(300), 'ü'.repeat(40)),
      );
      const hostile = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(''));
      const field = fc.constantFrom('username', 'memberOf', 'actAs', 'reassignTo', 'password', 'prefix', 'login');
      await fc.assert(
        fc.asyncProperty(field, hostile, async (where, text) => {
          const user = newUser();
          const attempt = async () => {
            if (where === 'username') await target.createUser({ ...user, username: text });
            if (where === 'memberOf') await target.createUser({ ...user, memberOf: [text] });
            if (where === 'actAs') await target.createUser({ ...user, actAs: text });
            if (where === 'password')
              await target.createUser({ ...user, credential: { kind: 'password', password: text } });
            if (where === 'prefix') await target.listUsers(text);
            if (where === 'login') assert.equal(await target.canLogIn({ ...user, username: text }, text), false);
            if (where === 'reassignTo') await target.revokeUser(user, { reassignTo: text, statements: [] });
          };
          try {
            await attempt();
          } catch (error) {
            assert.ok(error instanceof TargetError || error instanceof RevocationError, String(error));
            if (where !== 'username') assert.equal(await world.userExists(user), false);
            return;
          }
          if (where === 'username') await target.revokeUser({ ...user, username: text }, plan);
          await target.revokeUser(user, plan);
        }),
        { numRuns: 150 },
      );
      assert.deepEqual(await world.root(world.read), notes);
      assert.equal((await target.inspect()).superuser, false);
    });

    test('no password reaches the log of the server', async () => {
      const users = [await create(), await create({ memberOf: [], statements: world.readerStatements })];
      const next = generatePassword();
      await target.setPassword(users[0] ?? newName(), next);
      for (const user of users) await logIn(user, user === users[0] ? next : user.password);
      await target.createUser(newUser({ username: users[0]?.username ?? '' })).catch(() => undefined);
      for (const user of users) await target.revokeUser(user, plan);
      const log = await world.serverLog();
      for (const user of users) {
        assert.ok(log.includes(user.username), 'the log has the statements');
        assert.ok(!log.includes(user.password));
      }
      assert.ok(!log.includes(next));
    });
  });
}
