import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { generatePassword } from '#database/password.ts';
import type { NewUser, RevocationPlan, Target } from '#database/target.ts';
import { makeUsername, newUsernameTag } from '#database/username.ts';
import { type Residue, RevocationError } from '#lease/contract.ts';
import { type PostgresWorld, postgresWorld } from '#test/postgres-target.ts';
import type { UserSession } from '#test/target-world.ts';

/** What a leased user can leave behind in PostgreSQL: gone, or reported to the letter. */
const hour = 3_600_000;
const dropped: RevocationPlan = { statements: [] };
const reassigned: RevocationPlan = { statements: [], reassignTo: 'app_owner' };

for (const major of [undefined, 18]) {
  describe(`revocation on PostgreSQL ${major ?? '(default version)'}`, () => {
    let world: PostgresWorld;
    let target: Target;
    const tag = newUsernameTag();
    const databases = ['app', 'Second "db"', 'third'];

    before(async () => {
      world = await postgresWorld(major === undefined ? {} : { major });
      for (const database of databases.slice(1)) {
        await world.root(`CREATE DATABASE "${database.replaceAll('"', '""')}"`);
        await world.rootIn(database, 'GRANT USAGE, CREATE ON SCHEMA public TO app_owner');
      }
      await world.root('GRANT CREATE ON DATABASE app, third, "Second ""db""" TO app_writer');
      for (const database of databases)
        await world.rootIn(database, 'GRANT USAGE, CREATE ON SCHEMA public TO app_writer');
      target = world.kind.open(world.settings);
    });
    after(async () => {
      await target?.close();
      await world?.stop();
    });

    const create = async (over: Partial<NewUser> = {}) => {
      const password = generatePassword();
      const user = {
        username: makeUsername('{{random}}', { tag, role: 'r', principal: 'p', now: 0 }, 63),
        password,
        credential: { kind: 'password' as const, password },
        expiresAt: Date.now() + hour,
        memberOf: ['app_writer'],
        statements: [],
        ...over,
      };
      await target.createUser(user);
      return user;
    };
    type User = Awaited<ReturnType<typeof create>>;

    const litter = (user: User, prefix: string) => `
      CREATE SCHEMA ${prefix}_schema;
      CREATE TABLE ${prefix}_schema.t (id serial PRIMARY KEY, note text);
      CREATE VIEW ${prefix}_schema.v AS SELECT * FROM ${prefix}_schema.t;
      CREATE FUNCTION public.${prefix}_f() RETURNS int LANGUAGE sql AS 'SELECT 1';
      CREATE PROCEDURE public.${prefix}_p() LANGUAGE sql AS 'SELECT 1';
      CREATE TYPE public.${prefix}_e AS ENUM ('a');
      ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app_reader;
      ALTER DEFAULT PRIVILEGES IN SCHEMA ${prefix}_schema GRANT SELECT ON TABLES TO PUBLIC;
      SELECT lo_from_bytea(0, 'large'), lo_from_bytea(0, 'larger');
      GRANT SELECT ON ${prefix}_schema.t TO app_reader;
      -- ${user.username}`;

    /** Objects in all databases, open sessions busy and idle, prepared transactions. */
    const litterEverywhere = async (user: User): Promise<UserSession[]> => {
      const sessions: UserSession[] = [];
      const prefix = user.username.slice(-8);
      for (const [index, database] of databases.entries()) {
        const session = await world.logInTo(database, user, user.password);
        sessions.push(session);
        await session.query(litter(user, `o${prefix}`));
        await session.query(`BEGIN; CREATE TABLE public.p${prefix} (); PREPARE TRANSACTION 'it''s ${prefix} ${index}'`);
        await world.rootIn(database, `GRANT TEMPORARY ON DATABASE "${database.replaceAll('"', '""')}" TO app_owner`);
      }
      await world.root(
        `SET ROLE app_owner; GRANT SELECT ON public.notes TO "${user.username}";
         ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO "${user.username}"`,
      );
      await world.root(
        `ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY; CREATE POLICY "p${prefix}" ON public.notes TO "${user.username}" USING (true)`,
      );
      await sessions[0]?.query('BEGIN');
      sessions[1]?.query('SELECT pg_sleep(60)').catch(() => undefined);
      return sessions;
    };
    const requireNothingLeft = async (user: User) => {
      assert.equal(await world.userExists(user), false);
      const rows = await world.root(`
        SELECT 'role' FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass
          AND refobjid NOT IN (SELECT oid FROM pg_authid) AND refobjid >= 16384
        UNION ALL SELECT gid FROM pg_prepared_xacts
        UNION ALL SELECT 'session' FROM pg_stat_activity WHERE usesysid NOT IN (SELECT oid FROM pg_authid)`);
      assert.deepEqual(rows, []);
    };
    const count = async (database: string, sql: string) => Number((await world.rootIn(database, sql))[0]?.['n']);
    const residueOf = async (user: User, plan: RevocationPlan): Promise<readonly Residue[]> => {
      const error = await target.revokeUser(user, plan).then(
        () => assert.fail('the revocation did not fail'),
        (thrown: unknown) => thrown,
      );
      assert.ok(error instanceof RevocationError, String(error));
      assert.equal(error.unavailable, false, error.message);
      assert.equal(await target.canLogIn(user, user.password), false);
      return error.residue;
    };

    test('objects, grants, default privileges, policies, large objects, sessions and prepared transactions in three databases go', async () => {
      const user = await create();
      const sessions = await litterEverywhere(user);
      assert.deepEqual(await target.revokeUser(user, dropped), { ended: 'removed', sessions: 3 });
      await Promise.all(sessions.map((session) => session.ended));
      await requireNothingLeft(user);
      for (const database of databases) {
        assert.equal(
          await count(
            database,
            "SELECT count(*) AS n FROM pg_class WHERE relnamespace::regnamespace::text ~ '^o.*_schema$'",
          ),
          0,
        );
        assert.equal(await count(database, 'SELECT count(*) AS n FROM pg_largeobject_metadata'), 0);
      }
    });

    test('with somebody to take them, the objects of three databases are handed over', async () => {
      const user = await create();
      await litterEverywhere(user);
      assert.deepEqual(await target.revokeUser(user, reassigned), { ended: 'removed', sessions: 3 });
      await requireNothingLeft(user);
      for (const database of databases) {
        const owned = `SELECT count(*) AS n FROM pg_class WHERE relname = 't' AND relowner = 'app_owner'::regrole`;
        assert.equal(await count(database, owned), 1);
        assert.equal(
          await count(
            database,
            `SELECT count(*) AS n FROM pg_largeobject_metadata WHERE lomowner = 'app_owner'::regrole`,
          ),
          2,
        );
      }
    });

    test('a user that acts as another role leaves nothing to hand over', async () => {
      const user = await create({ actAs: 'app_owner' });
      const session = await world.logIn(user, user.password);
      await session.query('CREATE TABLE public.acted ()');
      await session.close();
      const rows = await world.root("SELECT tableowner FROM pg_tables WHERE tablename = 'acted'");
      assert.deepEqual(rows, [{ tableowner: 'app_owner' }]);
      assert.equal((await target.revokeUser(user, dropped)).ended, 'removed');
      await world.root('DROP TABLE public.acted');
    });

    test('what others have built upon an object is not destroyed but reported, and everything else is done', async () => {
      const user = await create();
      for (const database of ['app', 'third']) {
        const session = await world.logInTo(database, user, user.password);
        await session.query(
          'CREATE TABLE public."T x" (a int); CREATE FUNCTION public.gone(int) RETURNS int LANGUAGE sql AS $$ SELECT $1 $$',
        );
        await session.close();
      }
      await world.rootIn('third', 'CREATE VIEW public.built AS SELECT * FROM public."T x"');
      const residue = await residueOf(user, dropped);
      assert.deepEqual(
        residue.map(({ place, object }) => [place, object]),
        [
          ['third', 'function public.gone(integer)'],
          ['third', 'table public."T x"'],
        ],
      );
      assert.match(residue[0]?.reason ?? '', /view (?:public\.)?built depends on table/);
      assert.equal(await count('app', `SELECT count(*) AS n FROM pg_class WHERE relname = 'T x'`), 0);
      await world.rootIn('third', 'DROP VIEW public.built');
      assert.equal((await target.revokeUser(user, dropped)).ended, 'removed');
      await requireNothingLeft(user);
    });

    test('a grant that the administrator may not take back is named', async () => {
      const user = await create();
      await world.root(`CREATE TABLE public.mine (); GRANT SELECT ON public.mine TO "${user.username}"`);
      const residue = await residueOf(user, dropped);
      assert.deepEqual(
        residue.map(({ place, object }) => [place, object]),
        [['app', 'a grant on table public.mine']],
      );
      await world.root('DROP TABLE public.mine');
      assert.equal((await target.revokeUser(user, dropped)).ended, 'removed');
    });

    test('a database that allows no connections is reported with what is in it', async () => {
      const user = await create();
      const session = await world.logInTo('third', user, user.password);
      await session.query(
        `BEGIN; CREATE TABLE public.shut (); COMMIT; BEGIN; CREATE TABLE public.also (); PREPARE TRANSACTION 'shut'`,
      );
      await session.close();
      const [row] = await world.rootIn('third', "SELECT 'public.shut'::regclass::oid AS oid");
      await world.root('ALTER DATABASE third ALLOW_CONNECTIONS false');
      const residue = await residueOf(user, dropped);
      assert.deepEqual(
        residue.map(({ place, object }) => [place, object]),
        [
          ['third', `pg_class ${String(row?.['oid'])}`],
          ['third', 'prepared transaction shut'],
        ],
      );
      assert.match(residue[0]?.reason ?? '', /ALTER DATABASE "third" ALLOW_CONNECTIONS true/);
      await world.root('ALTER DATABASE third ALLOW_CONNECTIONS true');
      assert.equal((await target.revokeUser(user, dropped)).ended, 'removed');
      await requireNothingLeft(user);
    });

    test('a database that the administrator may not enter is reported with the grant that mends it', async () => {
      const user = await create();
      const session = await world.logInTo('third', user, user.password);
      await session.query('CREATE TABLE public.there ()');
      await session.close();
      await world.root('REVOKE CONNECT ON DATABASE third FROM PUBLIC, chancery_admin');
      const findings = await target.diagnose({ memberOf: [] });
      const [residue] = await residueOf(user, dropped);
      assert.equal(residue?.place, 'third');
      const fix = /Run: (GRANT .*)$/.exec(residue?.reason ?? '')?.[1] ?? '';
      assert.ok(findings.some((finding) => finding.fix === fix));
      await world.root(fix);
      assert.equal((await target.revokeUser(user, dropped)).ended, 'removed');
      await world.root('GRANT CONNECT ON DATABASE third TO PUBLIC');
    });

    test('an object that another session holds is reported, and goes when it is free', async () => {
      const hasty = world.kind.open({ ...world.settings, statementTimeout: 400 });
      const user = await create();
      const session = await world.logIn(user, user.password);
      await session.query('CREATE TABLE public.held (); GRANT SELECT ON public.held TO app_reader');
      const other = await create();
      const reader = await world.logIn(other, other.password);
      await session.query('GRANT ALL ON public.held TO app_writer');
      await reader.query('BEGIN; SELECT * FROM public.held');
      const error = await hasty.revokeUser(user, dropped).catch((thrown: unknown) => thrown);
      assert.ok(error instanceof RevocationError);
      assert.deepEqual(
        error.residue.map(({ place, object }) => [place, object]),
        [['app', 'table public.held']],
      );
      await reader.close();
      assert.equal((await hasty.revokeUser(user, dropped)).ended, 'removed');
      await target.revokeUser(other, dropped);
      await hasty.close();
    });

    test('a role that should take the objects and is not there is reported', async () => {
      const user = await create();
      const session = await world.logIn(user, user.password);
      await session.query('CREATE TABLE public.ownerless ()');
      await session.close();
      const residue = await residueOf(user, { statements: [], reassignTo: 'nobody_of_this_name' });
      assert.deepEqual(
        residue.map(({ object }) => object),
        ['table public.ownerless'],
      );
      assert.match(residue[0]?.reason ?? '', /nobody_of_this_name/);
      assert.equal((await target.revokeUser(user, reassigned)).ended, 'removed');
      await world.root('DROP TABLE public.ownerless');
    });

    test('a user that somebody made a superuser is left to a superuser, and said so', async () => {
      const user = await create();
      await world.root(`ALTER ROLE "${user.username}" SUPERUSER`);
      await assert.rejects(
        target.revokeUser(user, dropped),
        (error) => error instanceof RevocationError && !error.unavailable && /42501/.test(error.message),
      );
      await world.root(`ALTER ROLE "${user.username}" NOSUPERUSER`);
      assert.equal((await target.revokeUser(user, dropped)).ended, 'removed');
    });

    test('a function that its new owner could not have made is reported with the grant that mends it', async () => {
      const user = await create();
      await world.root('REVOKE CREATE ON SCHEMA public FROM app_owner');
      const session = await world.logIn(user, user.password);
      await session.query('CREATE FUNCTION public.stuck() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$');
      await session.close();
      const [residue] = await residueOf(user, reassigned);
      assert.deepEqual([residue?.place, residue?.object], ['app', 'function public.stuck()']);
      assert.match(residue?.reason ?? '', /schema public.*GRANT CREATE ON SCHEMA the_schema TO "app_owner"$/);
      await world.root('GRANT CREATE ON SCHEMA public TO app_owner');
      assert.equal((await target.revokeUser(user, reassigned)).ended, 'removed');
      await world.root('DROP FUNCTION public.stuck()');
    });

    test('many users that own something are revoked at once, over few connections', async () => {
      const users = await Promise.all(Array.from({ length: 12 }, () => create()));
      for (const user of users)
        await world.rootIn('third', `CREATE SCHEMA "${user.username}" AUTHORIZATION "${user.username}"`);
      const narrow = world.kind.open({ ...world.settings, maxConnections: 2 });
      const ends = await Promise.all(users.map((user) => narrow.revokeUser(user, dropped)));
      assert.ok(ends.every(({ ended }) => ended === 'removed'));
      await narrow.close();
    });

    test('a revocation whose connection breaks half way ends well the next time', async () => {
      const user = await create();
      await litterEverywhere(user);
      const blocker = world.rootIn(
        'third',
        `BEGIN; LOCK TABLE "o${user.username.slice(-8)}_schema".t; SELECT pg_sleep(1); COMMIT`,
      );
      const revocation = target.revokeUser(user, dropped).catch((error: unknown) => error);
      for (;;) {
        const rows = await world.root(
          "SELECT 1 FROM pg_stat_activity WHERE usename = 'chancery_admin' AND wait_event_type = 'Lock' AND query LIKE '%OWNED%'",
        );
        if (rows.length > 0) break;
      }
      await world.breakAdminSessions();
      const error = await revocation;
      assert.ok(error instanceof RevocationError && error.unavailable, String(error));
      await blocker;
      assert.equal((await target.revokeUser(user, dropped)).ended, 'removed');
      await requireNothingLeft(user);
    });

    test('two revocations of a user that owns much, at once, both end well', async () => {
      const user = await create();
      await litterEverywhere(user);
      const ends = await Promise.all([target.revokeUser(user, dropped), target.revokeUser(user, dropped)]);
      assert.deepEqual(ends.map(({ ended }) => ended).sort(), ['already_absent', 'removed']);
      await requireNothingLeft(user);
    });

    test('a client that logs in again and again while it is revoked has no session afterwards', async () => {
      for (let round = 0; round < 8; round++) {
        const user = await create();
        const revoked = new AbortController();
        const hammer = [1, 2, 3].map(async () => {
          while (!revoked.signal.aborted) {
            const session = await world.logIn(user, user.password).catch(() => undefined);
            session?.query('SELECT pg_sleep(60)').catch(() => undefined);
          }
        });
        try {
          await world.logIn(user, user.password);
          assert.equal((await target.revokeUser(user, dropped)).ended, 'removed');
          await requireNothingLeft(user);
        } finally {
          revoked.abort();
          await Promise.all(hammer);
        }
      }
    });

    test('a statement of the role that waits for too long is no sign that the server is away', async () => {
      const user = await create();
      await world.root('CREATE TABLE public.held (); GRANT ALL ON public.held TO PUBLIC');
      const blocker = world.root('BEGIN; LOCK TABLE public.held; SELECT pg_sleep(3); COMMIT');
      const hasty = world.kind.open({ ...world.settings, statementTimeout: 500 });
      const isHeld = "SELECT 1 FROM pg_locks WHERE relation = 'public.held'::regclass AND granted";
      while ((await world.root(isHeld)).length === 0);
      const statements = ['SELECT FROM public.held'];
      const error: unknown = await hasty.revokeUser(user, { statements }).catch((thrown: unknown) => thrown);
      assert.ok(error instanceof RevocationError && !error.unavailable, String(error));
      await blocker;
      assert.equal((await hasty.revokeUser(user, { statements })).ended, 'removed');
      await world.root('DROP TABLE public.held');
      await hasty.close();
    });

    test('statements of the role run after the sessions have ended and before the drop', async () => {
      const user = await create();
      const session = await world.logIn(user, user.password);
      await session.query('CREATE TABLE public.kept ()');
      await world.root(
        'GRANT CREATE ON SCHEMA public TO unrelated; GRANT unrelated TO chancery_admin; CREATE TABLE public.trace (n int, who text); GRANT ALL ON public.trace TO PUBLIC',
      );
      const statements = [
        `INSERT INTO public.trace SELECT count(*), '{{name}}' FROM pg_stat_activity WHERE usename = '{{username}}'; SET search_path = public`,
        'BEGIN; REASSIGN OWNED BY {{name}} TO unrelated',
      ];
      assert.deepEqual(await target.revokeUser(user, { statements }), { ended: 'removed', sessions: 1 });
      assert.deepEqual(await world.root('SELECT * FROM public.trace'), [{ n: 0, who: user.username }]);
      assert.deepEqual(await world.root("SELECT tableowner FROM pg_tables WHERE tablename = 'kept'"), [
        { tableowner: 'unrelated' },
      ]);
      await world.root('DROP TABLE public.kept, public.trace');
      const next = await create();
      await assert.rejects(
        target.revokeUser(next, { statements: ['SELECT no_such_function({{name}})'] }),
        RevocationError,
      );
      assert.equal(await target.canLogIn(next, next.password), false);
      assert.equal((await target.revokeUser(next, dropped)).ended, 'removed');
    });
  });
}
