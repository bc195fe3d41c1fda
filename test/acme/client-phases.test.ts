import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { type ChildServer, spawnChancery, startChancery } from '#test/chancery.ts';
import { until } from './client-world.ts';
import { type Asked, problem, type ScriptedAuthority, startScriptedAuthority } from './scripted-authority.ts';

const order = (name: string) => ({
  account: 'scripted',
  identifiers: [name],
  challenge: 'http-01',
  wait: 30,
});

const accountAt = ({ directory, roots }: ScriptedAuthority) => ({
  name: 'scripted',
  directory,
  ca_certificate: roots,
});

const env = { CHANCERY_OUTBOUND_ALLOW: '127.0.0.1' };

test('a renewal says what it replaces, and where the authority will not hear of it, orders without (RFC 9773 section 5)', async (context) => {
  const authority = await startScriptedAuthority(context);
  const server = await startChancery(context, { env });
  await server.ok('POST', 'acme/accounts', accountAt(authority));
  const first = await server.ok('POST', 'acme/orders', order('a.example.com'));
  const path = `acme/certificates/${first.certificate_id}`;
  const renew = async () => {
    const { serial_number: before } = await server.ok('GET', path);
    const from = authority.asked.length;
    const renewal = await server.ok('POST', `${path}/renew`, { wait: 30 });
    assert.equal(renewal.state, 'issued', JSON.stringify(renewal));
    const made = authority.asked.slice(from).filter((asked) => asked.path === 'order');
    return { before, replaced: made.map(({ payload }) => payload.replaces as string | undefined) };
  };
  const serialIn = (id: string | undefined) => {
    const hex = Buffer.from(id?.split('.')[1] ?? '', 'base64url').toString('hex');
    return hex.replace(/^00/, '');
  };
  const heard = await renew();
  assert.deepEqual(heard.replaced.map(serialIn), [heard.before]);
  for (const [status, type] of [
    [409, 'alreadyReplaced'],
    [404, 'malformed'],
    [403, 'unauthorized'],
  ] as const) {
    authority.intercept(({ path: asked, payload }) =>
      asked === 'order' && payload.replaces !== undefined ? problem(status, type) : undefined,
    );
    const { before, replaced } = await renew();
    assert.deepEqual([replaced.map(serialIn)[0], replaced.slice(1)], [before, [undefined]], type);
  }
});

test('a change of the account key that a crash cut in two goes on with whichever key the authority knows', async (context) => {
  const authority = await startScriptedAuthority(context);
  let server = await spawnChancery(context, { env });
  await server.ok('POST', 'acme/accounts', accountAt(authority));
  const isKeyChange = ({ path }: Asked) => path === 'key-change';
  // Once the authority has not heard of the new key, once it has, and its answer is lost.
  for (const hears of [false, true]) {
    if (hears) authority.twist((asked, usual) => (isKeyChange(asked) ? undefined : usual));
    else authority.intercept((asked) => (isKeyChange(asked) ? 'silence' : undefined));
    const keys = new Set([authority.knownKey()]);
    server = await killedDuring(server, authority, isKeyChange, () =>
      spawnChancery(context, { env, folder: server.folder }),
    );
    keys.add(authority.knownKey());
    assert.equal(keys.size, hears ? 2 : 1);
    authority.twist(undefined);
    authority.intercept(undefined);
    assert.equal((await server.ok('GET', 'acme/accounts/scripted')).key_change_open, true);
    assert.equal((await server.ok('POST', 'acme/orders', order('a.example.com'))).state, 'issued');
    assert.equal((await server.ok('POST', 'acme/accounts/scripted/rotate-key')).key_change_open, false);
    keys.add(authority.knownKey());
    assert.equal(keys.size, 2);
    const issued = await server.ok('POST', 'acme/orders', order('b.example.com'));
    assert.equal(issued.state, 'issued', JSON.stringify(issued));
    const { certificate } = await server.ok('GET', `acme/certificates/${issued.certificate_id}`);
    assert.ok(new X509Certificate(certificate).checkHost('b.example.com'));
  }
});

async function killedDuring(
  server: ChildServer,
  authority: ScriptedAuthority,
  reached: (asked: Asked) => boolean,
  again: () => Promise<ChildServer>,
): Promise<ChildServer> {
  const from = authority.asked.length;
  const rotation = server.call('POST', 'acme/accounts/scripted/rotate-key').catch(() => undefined);
  await until(
    () => Promise.resolve(authority.asked.slice(from)),
    (asked) => asked.some(reached),
  );
  await server.kill();
  await rotation;
  return again();
}
