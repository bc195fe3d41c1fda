import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type InProcess, startChancery } from '#test/chancery.ts';

/** Nothing is connected to: what the policies refuse is refused before. */
async function start(context: TestContext): Promise<InProcess> {
  const server = await startChancery(context);
  for (const name of ['app', 'other']) {
    const place = { engine: 'postgresql', host: '127.0.0.1', port: 1, username: 'admin', password: 'secret' };
    await server.ok('POST', 'database/connections', { name, ...place, tls: 'verify-full', verify: false });
  }
  const { user_prefix: prefix } = await server.ok('GET', 'database/connections/app');
  await server.ok('POST', 'pki/authorities', {
    name: 'logins',
    kind: 'root',
    common_name: 'Logins',
    organization: 'Example',
  });
  await server.ok('POST', 'pki/roles', {
    name: 'logins',
    authority: 'logins',
    extended_key_usages: ['client_auth'],
    allowed_common_names: [`${prefix}*`],
    max_ttl: '30d',
  });
  return server;
}

const allow = (operations: string[], resources: string[], conditions: object = {}) => ({
  effect: 'allow',
  operations,
  resources,
  conditions,
});

async function principal(server: InProcess, name: string, rules: object[]) {
  await server.ok('POST', 'policies', { name, rules });
  await server.ok('POST', 'principals', { name, kind: 'human', policies: [name] });
  return server.as((await server.ok('POST', `principals/${name}/keys`, {})).key);
}

const certificateRole = {
  name: 'reader',
  connection: 'app',
  credential: 'certificate',
  certificate_role: 'logins',
  member_of: ['app_reader'],
  default_ttl: '1h',
  max_ttl: '2h',
  probe: false,
};

const saving = ['database.create_role', 'database.update_role'];
const places = ['database/roles/*', 'database/connections/app'];

test('only who may issue from a role of the PKI lets users of a database role have certificates of it', async (context) => {
  const server = await start(context);
  const without = await principal(server, 'without', [allow(saving, places)]);
  const refused = await without.call('POST', 'database/roles', certificateRole);
  assert.deepEqual([refused.status, refused.body.code], [403, 'denied']);
  assert.match(refused.body.detail, /pki\.issue_certificate on pki\/roles\/logins/);

  const shorter = [allow(saving, places), allow(['pki.issue_certificate'], ['pki/roles/logins'], { max_ttl: '1h' })];
  const hour = await principal(server, 'hour', shorter);
  assert.equal((await hour.call('POST', 'database/roles', certificateRole)).status, 403);
  assert.equal((await hour.call('POST', 'database/roles', { ...certificateRole, max_ttl: '1h' })).status, 201);
  assert.equal((await hour.call('PATCH', 'database/roles/reader', { max_ttl: '2h', probe: false })).status, 403);
  assert.equal((await without.call('PATCH', 'database/roles/reader', { description: 'x', probe: false })).status, 403);
  assert.equal((await hour.call('PATCH', 'database/roles/reader', { description: 'x', probe: false })).status, 200);
});

test('a policy for some connections does not let roles be saved at others', async (context) => {
  const server = await start(context);
  const team = await principal(server, 'team', [
    allow([...saving, 'database.create_static_role'], ['database/roles/*', 'database/static-roles/*', places[1] ?? '']),
  ]);
  const ofPasswords = { name: 'writer', member_of: ['app_writer'], probe: false };
  assert.equal((await team.call('POST', 'database/roles', { ...ofPasswords, connection: 'app' })).status, 201);
  const other = await team.call('POST', 'database/roles', { ...ofPasswords, name: 'w', connection: 'other' });
  assert.equal(other.status, 403);
  assert.match(other.body.detail, /database\/connections\/other/);
  const missing = await team.call('POST', 'database/roles', { ...ofPasswords, name: 'w', connection: 'missing' });
  assert.equal(missing.status, 403);
  const moved = await team.call('PATCH', 'database/roles/writer', { connection: 'other', probe: false });
  assert.ok([400, 403].includes(moved.status));
  const staticRole = { name: 's', connection: 'other', username: 'legacy' };
  assert.equal((await team.call('POST', 'database/static-roles', staticRole)).status, 403);
  assert.deepEqual((await server.ok('GET', 'database/static-roles')).static_roles, []);
});

test('a right that needs an approval is not had by saving a role that gives it away', async (context) => {
  const server = await start(context);
  const waiting = allow(['pki.issue_certificate'], ['pki/roles/logins'], { approval: true });
  const asking = await principal(server, 'asking', [allow(saving, places), waiting]);
  const refused = await asking.call('POST', 'database/roles', certificateRole);
  assert.deepEqual([refused.status, refused.body.code], [403, 'denied']);
  assert.match(refused.body.detail, /needs an approval/);
});
