import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { InProcess } from '#test/chancery.ts';
import { startChancery } from '#test/chancery.ts';
import type { PostgresWorld } from '#test/postgres-target.ts';
import { connectionTo, foundDatabase, leasedUsers, startTarget, until } from './fixture.ts';

async function start(context: TestContext, major?: number): Promise<{ world: PostgresWorld; server: InProcess }> {
  const world = await startTarget(context, major);
  const server = await startChancery(context);
  await server.ok('POST', 'database/connections', connectionTo(world));
  return { world, server };
}

const audited = async (server: InProcess, query: string): Promise<{ outcome: string; code: string | null }[]> =>
  (await server.ok('GET', `audit/events?${query}`)).events;

test('saving a role makes a user, logs in as it and removes it, on record like any other', async (context) => {
  const { world, server } = await start(context);
  const role = { name: 'readonly', connection: 'app', member_of: ['app_reader'] };
  const saved = await server.ok('POST', 'database/roles', role);
  assert.equal(saved.probed, true);
  assert.deepEqual(await leasedUsers(world), []);
  const events = await audited(server, 'operation=database.create_role');
  assert.deepEqual(events.map(({ outcome }) => outcome).sort(), ['intent', 'ok']);
  await until('the lease of the probe is closed', async () => {
    const { leases } = await server.ok('GET', 'leases?state=revoked');
    return (
      leases.length === 1 && leases[0].role === 'database/probes/readonly' && leases[0].ended_as === 'already_absent'
    );
  });
  const quick = await server.ok('PATCH', 'database/roles/readonly', { max_ttl: '2h', probe: false });
  assert.deepEqual([quick.probed, quick.max_ttl, quick.default_ttl], [false, '2h', '1h']);
});

test('a role whose users cannot be made or removed is refused with what mends it, and leaves nobody behind', async (context) => {
  // From PostgreSQL 16 on, CREATEROLE grants no role that it was not given.
  const { world, server } = await start(context, 18);
  const cases = [
    { member_of: ['unrelated'] },
    { member_of: ['no_such_group'] },
    { member_of: ['app_reader'], reassign_to: 'unrelated' },
    {
      creation_statements: [
        'CREATE ROLE {{name}} LOGIN PASSWORD {{password}} VALID UNTIL {{expiration}}',
        'SELECT 1/0',
      ],
    },
    { creation_statements: ['CREATE ROLE {{name}} NOLOGIN'] },
    { member_of: ['app_reader'], revocation_statements: ['SELECT 1/0, {{name}}'.replace('{{name}}', "'{{name}}'")] },
  ];
  for (const fields of cases) {
    const { status, body } = await server.call('POST', 'database/roles', { name: 'r', connection: 'app', ...fields });
    assert.deepEqual([status, body.code], [422, 'refused'], JSON.stringify([fields, body]));
    assert.equal((await server.call('GET', 'database/roles/r')).status, 404);
  }
  const { body } = await server.call('POST', 'database/roles', {
    name: 'r',
    connection: 'app',
    member_of: ['unrelated'],
  });
  const fixes = body.missing.map(({ fix }: { fix: string }) => fix);
  assert.ok(fixes.length > 0, JSON.stringify(body));
  for (const fix of fixes) await world.root(fix);
  await server.ok('POST', 'database/roles', { name: 'r', connection: 'app', member_of: ['unrelated'] });
  await until('no user is left', async () => (await leasedUsers(world)).length === 0);
});

test('a role is tried at its own database, and a refused login is told in the words of the server', async (context) => {
  const { world, server } = await start(context);
  const fields = { name: 'r', connection: 'app', member_of: ['app_reader'] };
  await world.root('CREATE DATABASE closed');
  await world.root('REVOKE CONNECT ON DATABASE closed FROM public');
  for (const [database, said] of [
    ['nope', /login to database nope was refused: .*database "nope" does not exist/],
    ['closed', /login to database closed was refused: .*permission denied for database "closed"/],
  ] as const) {
    const { status, body } = await server.call('POST', 'database/roles', { ...fields, database });
    assert.deepEqual([status, body.code], [422, 'refused'], JSON.stringify(body));
    assert.match(body.detail, said);
    assert.match(body.hint, /right to connect/);
  }
  const nologin = { name: 'r', connection: 'app', creation_statements: ['CREATE ROLE {{name}} NOLOGIN'] };
  assert.match(
    (await server.call('POST', 'database/roles', nologin)).body.detail,
    /refused: .*password authentication failed/,
  );
  await until('no user is left', async () => (await leasedUsers(world)).length === 0);
});

test('names and statements that could be more than they seem are refused or quoted, and never run', async (context) => {
  const { world, server } = await start(context);
  const evil = `x"; DROP TABLE public.notes; --`;
  for (const fields of [
    { member_of: [evil] },
    { act_as: evil },
    { reassign_to: evil },
    { member_of: ["x'; DROP TABLE public.notes; --"] },
    { username_template: `{{role}}"; DROP TABLE notes; --{{random}}` },
    { creation_statements: ['CREATE ROLE {{name}}; -- {{password}}'] },
    { creation_statements: ['CREATE ROLE {{constructor}}'] },
    { member_of: ['a\u0000b'] },
    { member_of: ['\u202e'.repeat(200)] },
    { host: '%' },
  ]) {
    const { status, body } = await server.call('POST', 'database/roles', { name: 'r', connection: 'app', ...fields });
    assert.ok(status === 422 || status === 400, `${JSON.stringify(fields)}: ${status} ${JSON.stringify(body)}`);
  }
  // Nothing is missing where the role itself is wrong, and nothing is said of it.
  const unusable = { name: 'r', connection: 'app', creation_statements: ['CREATE ROLE {{name}}'] };
  const { status, body } = await server.call('POST', 'database/roles', unusable);
  assert.deepEqual([status, 'missing' in body], [422, false]);
  assert.deepEqual(await world.root(world.read), [{ note: 'first' }]);
  await world.root(`CREATE ROLE "x""; DROP TABLE public.notes; --"`);
  await world.root(`GRANT "x""; DROP TABLE public.notes; --" TO chancery_admin WITH ADMIN OPTION`);
  await server.ok('POST', 'database/roles', { name: 'r', connection: 'app', member_of: [evil] });
  assert.deepEqual(await world.root(world.read), [{ note: 'first' }]);
});

test('a role whose users could become a superuser is refused, and no statement is told that would take it away', async (context) => {
  const world = await startTarget(context);
  await world.root('CREATE ROLE gateway NOLOGIN; GRANT postgres TO gateway');
  const server = await startChancery(context);
  await foundDatabase(server, world);
  for (const group of ['gateway', 'chancery_admin', 'postgres']) {
    const role = { name: 'strong', connection: 'app', member_of: [group] };
    const { status, body } = await server.call('POST', 'database/roles', role);
    assert.deepEqual([status, body.code], [422, 'refused'], JSON.stringify(body));
    assert.doesNotMatch(JSON.stringify(body), /NOSUPERUSER/);
    assert.match(JSON.stringify(body), /choose another group/);
  }
});

test('role and policy bound the life of a lease, and a refusal says what would pass', async (context) => {
  const world = await startTarget(context);
  const server = await startChancery(context);
  await foundDatabase(server, world, { max_leases: 2 });
  const { status, body } = await server.call('POST', 'database/roles/readonly/credentials', { ttl: '5h' });
  assert.deepEqual([status, body.code, body.nearest_request], [422, 'refused', { role: 'readonly', ttl: '4h' }]);
  const plan = await server.ok('POST', 'database/roles/readonly/credentials/plan', { ttl: '5h' });
  assert.deepEqual(
    [plan.allowed, plan.refusals[0].rule, plan.nearest_request],
    [false, 'max_ttl', { role: 'readonly', ttl: '4h' }],
  );

  await server.ok('POST', 'policies', {
    name: 'short',
    rules: [
      {
        effect: 'allow',
        operations: ['database.issue_credentials', 'database.plan_credentials'],
        resources: ['database/roles/readonly'],
        conditions: { max_ttl: '10m' },
      },
    ],
  });
  await server.ok('POST', 'principals', { name: 'agent', kind: 'agent', policies: ['short'] });
  const agent = server.as((await server.ok('POST', 'principals/agent/keys', {})).key);
  const cut = await agent.ok('POST', 'database/roles/readonly/credentials');
  assert.equal(cut.adjustments.length, 1);
  assert.equal(Date.parse(cut.max_expires_at) - Date.parse(cut.issued_at), 600_000);
  assert.equal(Date.parse(cut.expires_at) - Date.parse(cut.issued_at), 600_000);
  assert.equal((await agent.call('POST', 'database/roles/readonly/credentials', { ttl: '1h' })).status, 403);

  const fits = await agent.ok('POST', 'database/roles/readonly/credentials/plan', {});
  assert.deepEqual([fits.allowed, fits.credentials.ttl, fits.nearest_request], [true, '10m', null]);
  const second = await agent.ok('POST', 'database/roles/readonly/credentials', { ttl: '1m' });
  const full = await agent.call('POST', 'database/roles/readonly/credentials', { ttl: '1m' });
  assert.deepEqual([full.status, full.body.code], [429, 'rate_limited']);
  assert.ok(Number(full.headers.get('retry-after')) > 0);
  const planned = await agent.ok('POST', 'database/roles/readonly/credentials/plan', { ttl: '1m' });
  assert.deepEqual([planned.allowed, planned.refusals[0].rule], [false, 'max_leases']);
  assert.equal((await leasedUsers(world)).length, 2);
  await agent.ok('POST', `leases/${second.lease_id}/revoke`);
  assert.deepEqual(await leasedUsers(world), [cut.username]);
});

test('a renewal lets the user live on at the server, asks role and policy again, and ends at the maximum', async (context) => {
  const world = await startTarget(context);
  const server = await startChancery(context);
  await foundDatabase(server, world, { default_ttl: '1m', max_ttl: '1h' });
  const issued = await server.ok('POST', 'database/roles/readonly/credentials');
  const validUntil = async () => {
    const [row] = await world.root(`SELECT rolvaliduntil AS at FROM pg_roles WHERE rolname = '${issued.username}'`);
    return new Date(row?.['at'] as string).getTime();
  };
  assert.equal(Math.floor((await validUntil()) / 1000), Date.parse(issued.expires_at) / 1000);
  const renewed = await server.ok('POST', `leases/${issued.lease_id}/renew`, { increment: '30m' });
  assert.ok(Date.parse(renewed.expires_at) > Date.parse(issued.expires_at) + 1_000_000);
  assert.equal(Math.floor((await validUntil()) / 1000), Date.parse(renewed.expires_at) / 1000);
  const capped = await server.ok('POST', `leases/${issued.lease_id}/renew`, { increment: '2h' });
  assert.deepEqual([capped.capped, capped.expires_at], [true, issued.max_expires_at]);
  assert.equal((await server.call('POST', `leases/${issued.lease_id}/renew`, { increment: '2h' })).status, 409);
});
