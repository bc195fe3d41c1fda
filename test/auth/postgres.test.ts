import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { auditLinker } from '#audit/chain.ts';
import { bootstrapAdministrator } from '#auth/bootstrap.ts';
import { openStore } from '#storage/open.ts';
import { coreMigrations } from '#storage/migrations/core.ts';
import { type PostgresServer, startPostgres } from '#test/postgres.ts';
import { type House, openHouse, temporaryFolder, testClock } from './house.ts';

/** Two nodes on one PostgreSQL: what one decides must hold on the other. */

let server: PostgresServer;
before(async () => {
  server = await startPostgres();
});
after(() => server.stop());

async function twoNodes(context: TestContext): Promise<[House, House]> {
  const url = await server.createDatabase();
  const open = () => openStore({ url, linker: auditLinker, migrations: coreMigrations });
  const one = await openHouse(context, { open });
  return [one, await openHouse(context, { open, admin: one.admin })];
}

/** Asks until the answer is the expected one; the test's own time limit is the only one. */
async function becomes(expected: string, ask: () => Promise<string>): Promise<void> {
  while ((await ask()) !== expected) await sleep(20);
}

test('a key that is revoked on one node stops working on the other, with all tokens made from it', async (context) => {
  const [one, two] = await twoNodes(context);
  const { key, id } = await one.call<{ key: string; id: string }>(one.admin, 'auth.create_key', { principal: 'admin' });
  const child = await two.narrow(await one.narrow(key));
  for (const token of [key, child]) assert.equal(await two.code(token, 'auth.whoami'), 'ok');
  await one.call(one.admin, 'auth.revoke_key', { principal: 'admin', id });
  assert.equal(await one.code(child, 'auth.whoami'), 'unauthenticated');
  for (const token of [key, child]) await becomes('unauthenticated', () => two.code(token, 'auth.whoami'));
});

test('a policy that is changed on one node holds on the other', async (context) => {
  const [one, two] = await twoNodes(context);
  await one.allow('miller', ['mill.*'], ['**']);
  const key = await one.enrol('agent', ['miller']);
  assert.equal(await two.code(key, 'mill.get_mill', { mill: 'a' }), 'ok');
  const rules = [{ effect: 'deny', operations: ['**'], resources: ['**'] }];
  await one.call(one.admin, 'policy.put_policy', { name: 'miller', rules });
  await becomes('denied', () => two.code(key, 'mill.get_mill', { mill: 'a' }));
});

test('two administrators who take each other away on two nodes at once do not both succeed', async (context) => {
  const [one, two] = await twoNodes(context);
  let left = one.admin;
  for (let round = 0; round < 12; round++) {
    const name = `second-${round}`;
    const rival = await one.enrol(name, ['administrator'], left);
    const own = (await one.call<{ name: string }>(left, 'auth.whoami')).name;
    await becomes('ok', () => two.code(rival, 'auth.whoami'));
    const [first, second] = await Promise.all(
      round % 2 === 0
        ? [one.code(left, 'auth.delete_principal', { name }), two.code(rival, 'auth.delete_principal', { name: own })]
        : [
            one.code(left, 'auth.update_principal', { name, policies: [] }),
            two.code(rival, 'auth.update_principal', { name: own, disabled: true }),
          ],
    );
    assert.equal([first, second].filter((code) => code === 'ok').length, 1, `${first}, ${second}`);
    if (first !== 'ok') left = rival;
    await becomes('ok', () => one.code(left, 'auth.list_principals'));
  }
});

test('an approval passes once, though it is used on two nodes at once', async (context) => {
  const [one, two] = await twoNodes(context);
  await one.allow('careful', ['mill.*'], ['**'], { approval: true });
  const agent = await one.enrol('agent', ['careful']);
  for (let round = 0; round < 10; round++) {
    const input = { mill: `m-${round}` };
    const approvalId = String((await two.refusal(agent, 'mill.grind_corn', input)).members['approval_id']);
    await one.call(one.admin, 'policy.approve_request', { id: approvalId });
    const outcomes = await Promise.all(
      [one, two, one, two].map((house) => house.code(agent, 'mill.grind_corn', input, { approvalId })),
    );
    assert.equal(outcomes.filter((code) => code === 'ok').length, 1, outcomes.join());
  }
});

test('of two nodes that start on one empty database, one makes the administrator', async (context) => {
  const url = await server.createDatabase();
  const open = () => openStore({ url, linker: auditLinker, migrations: coreMigrations });
  const stores = await Promise.all([open(), open()]);
  for (const store of stores) context.after(() => store.close());
  const clock = testClock();
  const made = await Promise.all(stores.map((store) => bootstrapAdministrator(store, clock, temporaryFolder(context))));
  assert.equal(made.filter(({ created }) => created).length, 1);
  assert.equal((await stores[0]?.all('SELECT id FROM principals', []))?.length, 1);
});
