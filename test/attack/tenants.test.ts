import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { BoundOperation } from '#core/operation.ts';
import { type Client, type InProcess, type Reply, startChancery } from '#test/chancery.ts';
import { type FieldPath, fieldsOf, inParallel, type Input, send, withValue } from './fields.ts';
import { sampleFor } from './samples.ts';
import { viewStore } from './store-view.ts';
import { foundTenant, furnish, type Ids, type Tenant } from './world.ts';

/**
 * Two tenants, every operation, every field that takes text, every name and id of the other tenant: whatever one of them
 * asks, nothing of the other is seen or touched, and what is foreign looks like what does not exist.
 */

const settings = { env: { CHANCERY_RATE_FAILED_AUTH: 'off' } };

/** Every name and id by which something of a tenant could be meant. */
function handlesOf({ namespace, ids }: Tenant): string[] {
  const { certificate: _, ...names } = ids;
  return [...Object.values(names), namespace, `${namespace}.${ids.authority}`, `pki/roles/${ids.role}`];
}

let twins = 0;

/** Something of the same form and length that exists nowhere. */
function twinOf(handle: string, tag: string): string {
  twins += 1;
  if (handle.includes(tag)) return handle.replaceAll(tag, `z${twins.toString(36).padStart(tag.length - 1, '0')}`);
  if (/^[0-9a-f]+$/.test(handle)) return `5${randomBytes(32).toString('hex')}`.slice(0, handle.length);
  const [prefix = '', id = ''] = handle.split('_');
  return `${prefix}_${id.slice(0, 8)}${randomBytes(16).toString('hex')}`.slice(0, handle.length);
}

interface Probe {
  readonly operation: BoundOperation;
  readonly path: FieldPath;
  /** The rest of the request, with new names for new things. */
  readonly input: () => Input;
}

/** Not only counted. */
function inEarnest(sample: Input): Input {
  return 'dry_run' in sample ? { ...sample, dry_run: false } : sample;
}

/** Here a name would be looked up in the DNS, which takes as long and says what it likes. */
function isLookedUp({ id }: BoundOperation, path: FieldPath): boolean {
  return id === 'database.update_connection' && path[0] === 'host';
}

/** The fields that take text. */
function probes(operations: readonly BoundOperation[], ids: Ids): Probe[] {
  return operations.flatMap((operation) =>
    fieldsOf(operation)
      .filter(({ isText, path }) => isText && !isLookedUp(operation, path))
      .map(({ path }) => ({ operation, path, input: () => inEarnest(sampleFor(operation, ids)) })),
  );
}

/** Whether the field gives a name to something new. Afterwards that name exists here, so those come last. */
function namesSomethingNew({ operation, path }: Probe): boolean {
  const names = path.length === 1 && (path[0] === 'name' || path[0] === 'spki_sha256');
  return names && /\.(?:create|put|import|report)_/.test(operation.id);
}

function inOrder(all: readonly Probe[]): Probe[] {
  const rank = (probe: Probe) =>
    namesSomethingNew(probe) ? 9 : ['read', 'additive', 'mutating', 'destructive'].indexOf(probe.operation.effect);
  return all.toSorted((left, right) => rank(left) - rank(right));
}

/** What an answer says, without what differs between any two answers and without the handle that was asked for. */
function essence({ status, body }: Reply, handle: string): unknown {
  const { request_id: _, ...rest } = body ?? {};
  const text = JSON.stringify(rest)
    .replaceAll(handle, '<asked>')
    .replaceAll(partOf(handle), '<part>')
    .replaceAll(/\bfresh-[0-9a-z]+-[0-9a-z]+/g, '<new>')
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, '<time>');
  return status < 300 && !text.includes('"certificates":[]') ? { status } : { status, text };
}

/** Advice may build on a part of what was asked: the tag, or the one that stands for it in a twin. */
function partOf(handle: string): string {
  return /\b(?:beta|z[0-9a-z]{3})\b/.exec(handle)?.[0] ?? handle;
}

interface Crossing {
  readonly attacker: Tenant;
  readonly victim: Tenant;
  readonly operations: readonly BoundOperation[];
}

/** SQL is read by a database, which knows no tenants; what it says to a handle depends on its spelling. */
function isStatement({ operation, path }: Probe): boolean {
  return operation.id === 'database.run_query' && path[0] === 'sql';
}

/** Tries everything; answers how many requests were made. */
async function attack({ attacker, victim, operations }: Crossing): Promise<number> {
  const tag = victim.namespace;
  const foreign = handlesOf(victim);
  const all = inOrder(probes(operations, attacker.ids).filter((probe) => !isStatement(probe)));
  let made = 0;
  for (const probe of all) {
    const { operation, path, input } = probe;
    const ask = (handle: string) => send(attacker.admin, operation, withValue(input(), path, handle));
    const tryHandle = async (handle: string): Promise<void> => {
      const twin = twinOf(handle, tag);
      const what = `${operation.id} /${path.join('/')} = ${handle}`;
      const [reply, missing] = [await ask(handle), await ask(twin)];
      made += 2;
      const text = JSON.stringify(reply.body ?? null);
      // What was asked for may come back; everything else of the other tenant, and its free texts, must not.
      const told = [tag.toUpperCase(), ...foreign].filter((each) => !handle.includes(each) && text.includes(each));
      assert.deepEqual(told, [], `${what} tells of the other tenant: ${text}`);
      assert.ok(reply.status < 500, `${what}: ${reply.status}`);
      assert.deepEqual(essence(reply, handle), essence(missing, twin), `${what} does not answer as for ${twin}`);
    };
    // Two changes of one thing at once are a conflict, and that is no answer to the question of this test.
    await inParallel(foreign, tryHandle, operation.effect === 'mutating' ? 1 : 16);
  }
  return made;
}

test('one tenant sees and touches nothing of another, whichever id it gives to whichever operation', async (context) => {
  const server = await startChancery(context, settings);
  const [alpha, beta] = [await foundTenant(server, 'alpha'), await foundTenant(server, 'beta')];
  const view = viewStore(context, server.folder);
  const before = view.digest('beta');
  const events = () =>
    view.rows("SELECT count(*) AS n FROM audit_events WHERE namespace = 'beta' AND transport <> 'system'");
  const eventsBefore = events();
  const made = await attack({ attacker: alpha, victim: beta, operations: server.chancery.operations });
  assert.deepEqual(view.digest('beta'), before);
  assert.deepEqual(events(), eventsBefore);
  context.diagnostic(
    `${server.chancery.operations.length} operations, ${handlesOf(beta).length} ids, ${made} requests`,
  );
});

test('nor does the administrator of the installation, by any operation of a tenant', async (context) => {
  const server = await startChancery(context, settings);
  const [root, beta] = [await furnish(server, 'root', 'own'), await foundTenant(server, 'beta')];
  const view = viewStore(context, server.folder);
  const before = view.digest('beta');
  const operations = server.chancery.operations.filter(({ installation }) => installation !== true);
  await attack({ attacker: root, victim: beta, operations });
  assert.deepEqual(view.digest('beta'), before);
});

test('nothing crosses by headers, cursors or equal names', async (context) => {
  const server = await startChancery(context, settings);
  const [alpha, beta] = [await foundTenant(server, 'alpha'), await foundTenant(server, 'beta')];
  const view = viewStore(context, server.folder);
  const issue = (client: Client, tenant: Tenant, headers: Record<string, string>) =>
    client.call(
      'POST',
      'pki/certificates',
      { role: tenant.ids.role, dns_names: [tenant.ids.certificateName], purpose: tenant.namespace.toUpperCase() },
      headers,
    );

  const repeated = await issue(beta.admin, beta, { 'idempotency-key': 'beta-key-1' });
  assert.equal(repeated.body.serial_number, beta.ids.serial);
  const sameKey = await issue(alpha.admin, alpha, { 'idempotency-key': 'beta-key-1' });
  assert.equal(sameKey.status, 201);
  assert.equal(sameKey.headers.get('idempotency-replayed'), null);
  assert.notEqual(sameKey.body.serial_number, beta.ids.serial);

  await beta.admin.ok('POST', `approvals/${beta.ids.approval}/approve`, {});
  const agent = server.as(alpha.key);
  const answers = [beta.ids.approval, twinOf(beta.ids.approval, 'beta')].map(async (id) => {
    const { status, body } = await issue(agent, alpha, { 'chancery-approval': id });
    return [status, body.code, body.detail, body.hint];
  });
  const [foreign, missing] = await Promise.all(answers);
  assert.deepEqual(foreign, missing);
  assert.equal(foreign?.[0], 403);

  for (const path of ['pki/certificates', 'principals', 'policies', 'pki/roles', 'pki/authorities', 'audit/events']) {
    const page = await beta.admin.ok('GET', `${path}?limit=1`);
    if (page.next_cursor === null) continue;
    const { status, body } = await alpha.admin.call('GET', `${path}?limit=1000&cursor=${page.next_cursor}`);
    // A cursor of the audit log is enciphered for its namespace; the others are keys that sort among one's own.
    assert.equal(status, path === 'audit/events' ? 400 : 200, path);
    assert.doesNotMatch(JSON.stringify(body), /beta/i, path);
  }
  assert.equal((await alpha.admin.call('GET', 'audit/events?all_namespaces=true')).status, 403);
  assert.equal((await alpha.admin.call('GET', `audit/events/${beta.ids.event}?all_namespaces=true`)).status, 403);

  const before = view.digest('beta');
  const same = { allowed_domains: ['alpha.example'], description: 'ALPHA' };
  await alpha.admin.ok('POST', 'pki/authorities', { name: beta.ids.authority, kind: 'root', common_name: 'Alpha' });
  await alpha.admin.ok('POST', 'pki/roles', { name: beta.ids.role, authority: beta.ids.authority, ...same });
  await alpha.admin.ok('POST', 'principals', { name: beta.ids.principal, kind: 'agent', policies: ['administrator'] });
  await alpha.admin.ok('POST', 'policies', {
    name: beta.ids.policy,
    rules: [{ effect: 'allow', operations: ['**'], resources: ['**'] }],
  });
  assert.equal((await alpha.admin.ok('GET', `pki/roles/${beta.ids.role}`)).description, 'ALPHA');
  assert.equal((await beta.admin.ok('GET', `pki/roles/${beta.ids.role}`)).description, 'BETA');
  const own = await alpha.admin.ok('POST', 'pki/certificates', { role: beta.ids.role, dns_names: ['alpha.example'] });
  assert.match(own.certificate, /BEGIN CERTIFICATE/);
  assert.equal(
    (await alpha.admin.call('POST', 'pki/certificates', { role: beta.ids.role, dns_names: ['a.example.com'] })).status,
    422,
  );
  await alpha.admin.ok('DELETE', `policies/${beta.ids.policy}`);
  await alpha.admin.ok('DELETE', `principals/${beta.ids.principal}`);
  assert.equal((await server.as(beta.key).ok('GET', 'auth/whoami')).namespace, 'beta');
  assert.deepEqual(view.digest('beta'), before);
});

test('a certificate of another tenant is one from outside, to whichever operation it is given', async (context) => {
  const server = await startChancery(context, settings);
  const [alpha, beta] = [await foundTenant(server, 'alpha'), await foundTenant(server, 'beta')];
  const authority = await beta.admin.ok('GET', `pki/authorities/${beta.ids.authority}`);
  const view = viewStore(context, server.folder);
  const before = view.digest('beta');
  // What stands in the certificate itself may come back, and what is above it when that was given as well.
  const { serial, authoritySerial, spki, certificateName, certificate, ...hidden } = beta.ids;
  const telling = ['BETA', ...Object.values(hidden).filter((each) => each !== hidden.root)];
  const pems = [certificate, String(authority.certificate), certificate + String(authority.certificate)];
  let tried = 0;
  for (const operation of server.chancery.operations) {
    const fields = fieldsOf(operation).filter(({ path }) =>
      /cert|chain|anchor|intermediate|pem/.test(String(path.findLast((step) => typeof step === 'string'))),
    );
    for (const { path } of fields) {
      for (const pem of pems) {
        const sample = inEarnest(sampleFor(operation, alpha.ids));
        const { status, body } = await send(alpha.admin, operation, withValue(sample, path, pem));
        const text = JSON.stringify(body);
        tried += 1;
        assert.ok(status < 500, `${operation.id}: ${text}`);
        const told = telling.filter((each) => text.includes(each));
        assert.deepEqual(told, [], `${operation.id} /${path.join('/')}: ${status} ${text}`);
      }
    }
  }
  assert.ok(tried >= 12, String(tried));
  assert.deepEqual(view.digest('beta'), before);
  const verdict = await alpha.admin.ok('POST', 'pki/certificates/validate', { certificate });
  assert.equal(verdict.valid, false, 'an authority of another tenant is no trust anchor');
  const mine = await beta.admin.ok('POST', 'pki/certificates/validate', { certificate });
  assert.equal(mine.valid, true);
  assert.equal(
    [serial, authoritySerial, spki, certificateName].every((each) => each.length > 0),
    true,
  );
});

/** Operations that everybody may use about themselves, with the input that makes them so. */
const selfOperations = [
  'auth.whoami',
  'auth.create_token',
  'auth.list_tokens',
  'auth.revoke_token',
  'policy.test_policy',
  'policy.list_approvals',
  'claim.redeem_claim',
  'claim.list_claims',
];

test('a principal without a policy is denied every operation that is not about itself, whatever exists', async (context) => {
  const server = await startChancery(context, settings);
  const [alpha, beta] = [await foundTenant(server, 'alpha'), await foundTenant(server, 'beta')];
  await alpha.admin.ok('POST', 'principals', { name: 'nobody', kind: 'agent' });
  const { key } = await alpha.admin.ok('POST', 'principals/nobody/keys', {});
  const nobody = server.as(key);
  const view = viewStore(context, server.folder);
  const before = view.digest();
  const missing = Object.fromEntries(
    Object.entries(beta.ids).map(([name, id]) => [name, twinOf(id, 'beta')]),
  ) as unknown as Ids;
  const notSelf = server.chancery.operations.filter(({ access }) => access !== 'self');
  await inParallel(notSelf, async (operation) => {
    const details: string[] = [];
    for (const ids of [alpha.ids, beta.ids, { ...missing, certificate: beta.ids.certificate }]) {
      const input = sampleFor(operation, ids);
      const { status, body } = await send(nobody, operation, input);
      const told = `${operation.id}: ${status} ${JSON.stringify(body)}`;
      assert.deepEqual([status, body.code], [403, 'denied'], told);
      details.push(
        maskedBy(JSON.stringify({ ...body, request_id: '' }), [...Object.values(input), ...Object.values(ids)]),
      );
    }
    assert.equal(new Set(details).size, 1, `${operation.id} tells what exists: ${details.join('\n')}`);
  });
  assert.deepEqual(view.digest(), before);
  const selfMade = server.chancery.operations.filter(({ access }) => access !== undefined && access !== 'policy');
  assert.deepEqual(selfMade.map(({ id }) => id).sort(), [...selfOperations].sort());
  assert.equal((await nobody.ok('GET', 'auth/whoami')).name, 'nobody');
});

function maskedBy(text: string, values: readonly unknown[]): string {
  const texts = values.filter((value): value is string => typeof value === 'string' && value.length > 3);
  return texts
    .toSorted((left, right) => right.length - left.length)
    .reduce((all, value) => all.replaceAll(value, '<id>'), text);
}

test('an auditor of the installation reads without secrets, and changes nothing', async (context) => {
  const server = await startChancery(context, settings);
  const { ids } = await furnish(server, 'root', 'tenant');
  await server.ok('POST', 'principals', { name: 'auditor', kind: 'human', policies: ['auditor'] });
  const { key } = await server.ok('POST', 'principals/auditor/keys', {});
  const auditor = server.as(key);
  const view = viewStore(context, server.folder);
  const before = view.digest();
  const secrets = [...readSecrets(view.rows('SELECT secret_hash FROM credentials')), server.token ?? ''];
  const allowed: BoundOperation[] = [];
  for (const operation of server.chancery.operations.filter(({ access }) => access !== 'self')) {
    const { status, body } = await send(auditor, operation, sampleFor(operation, ids));
    const text = JSON.stringify(body);
    assert.ok(status < 500, `${operation.id}: ${status} ${text}`);
    assert.doesNotMatch(text, /PRIVATE KEY|chy_[0-9A-Za-z]{40}|secret_hash|wrapped_key/, operation.id);
    for (const secret of secrets) assert.equal(text.includes(secret), false, operation.id);
    if (status !== 403) allowed.push(operation);
  }
  for (const { id, effect, sensitive } of allowed) assert.deepEqual([effect, sensitive], ['read', undefined], id);
  assert.ok(allowed.length >= 20, allowed.map(({ id }) => id).join());
  assert.deepEqual(view.digest(), before);
});

function readSecrets(rows: readonly Record<string, unknown>[]): string[] {
  return rows.flatMap((row) => Object.values(row).map(String));
}

/** Tokens that were good or look good. */
async function deadTokens(server: InProcess): Promise<Readonly<Record<string, string>>> {
  const make = async (name: string, body: object = {}) => {
    await server.ok('POST', 'principals', { name, kind: 'agent', policies: ['administrator'] });
    return server.ok('POST', `principals/${name}/keys`, body);
  };
  const revoked = await make('revoked');
  const child = await server.as(revoked.key).ok('POST', 'tokens', {});
  const grandchild = await server.as(child.token).ok('POST', 'tokens', {});
  await server.ok('DELETE', `principals/revoked/keys/${revoked.id}`);
  const disabled = await make('disabled');
  await server.ok('PATCH', 'principals/disabled', { disabled: true });
  const deleted = await make('deleted');
  await server.ok('DELETE', 'principals/deleted');
  const expired = await make('expired', { ttl: '1s' });
  await new Promise((resolve) => setTimeout(resolve, 1100));
  return {
    revoked: revoked.key,
    'child of a revoked key': child.token,
    'grandchild of a revoked key': grandchild.token,
    disabled: disabled.key,
    deleted: deleted.key,
    expired: expired.key,
    'one character off': `${server.token?.slice(0, -1)}${server.token?.endsWith('x') ? 'y' : 'x'}`,
    'an id in place of the secret': revoked.id,
  };
}

test('without a good token every operation answers 401, does nothing, and tells nothing', async (context) => {
  const server = await startChancery(context, settings);
  const { ids } = await furnish(server, 'root', 'tenant');
  const tokens = await deadTokens(server);
  const view = viewStore(context, server.folder);
  const before = { state: view.digest(), events: view.requestEvents() };
  const said = new Set<string>();
  const attempts = server.chancery.operations.flatMap((operation) =>
    [undefined, ...Object.values(tokens)].map((token) => ({ operation, token })),
  );
  await inParallel(attempts, async ({ operation, token }) => {
    const { status, body } = await send(server.as(token), operation, sampleFor(operation, ids));
    assert.deepEqual([status, body.code], [401, 'unauthenticated'], `${operation.id} ${token}`);
    if (token !== undefined) said.add(body.detail);
  });
  assert.equal(said.size, 1, 'a dead token cannot be asked what it once was');
  assert.deepEqual(view.digest(), before.state);
  assert.equal(view.requestEvents() - before.events, attempts.length, 'every attempt is in the audit log');
});
