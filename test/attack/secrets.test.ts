import assert from 'node:assert/strict';
import { createHash, createPrivateKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { AnyOperation } from '#core/operation.ts';
import { type ChildServer, type Client, foundPki, type Reply, spawnChancery } from '#test/chancery.ts';
import { allOperations } from '#chancery/operations.ts';
import { type KeyPair, pem, privatePem, selfSigned } from './csr.ts';
import { type FieldPath, fieldsOf, inParallel, type Input, send, withValue } from './fields.ts';
import { canariesIn, formsOf, newCanary, readFolder } from './needles.ts';
import { sampleFor } from './samples.ts';
import { furnish, type Ids } from './world.ts';

/**
 * What a server leaves behind: its log at the most talkative level, its store with write-ahead log, backups, audit, the
 * files beside them, and its answers. A thousand canaries go in by every field, header and path; what may be kept is
 * listed, and everything else must be nowhere.
 */

const talkative = { CHANCERY_LOG_LEVEL: 'trace', CHANCERY_ACCESS_LOG: 'true', CHANCERY_RATE_FAILED_AUTH: 'off' };

type Listed = AnyOperation<never>;

interface Planted {
  readonly operation: string;
  /** `rules/0/effect`; a header as `header authorization`. */
  readonly field: string;
  /** A text where the field takes text, and not something else. */
  readonly isText: boolean;
}

/** Fields of requests that are secret: no answer ever shows them again. */
const secretFields = new Set(['private_key', 'password', 'csr', 'header authorization', 'header cookie']);

const subject = ['common_name', 'organization', 'organizational_unit', 'locality', 'province'];
const constraints = ['permitted', 'excluded'].flatMap((side) => [
  ...['dns_names', 'emails', 'uris'].map((field) => `name_constraints/${side}/${field}/0`),
  ...subject.map((field) => `name_constraints/${side}/directory_names/0/${field}`),
]);
const ofRoles = [...subject.slice(1), 'allowed_domains/0', 'allowed_common_names/0'];

const ofDatabaseRoles = ['member_of/0', 'database', 'act_as', 'reassign_to'];

/**
 * What is kept: free texts about things, what stands in certificates of authorities, what roles, policies and tokens
 * allow. Beside it the names in the resource of an audit event, which `isResource` knows.
 */
const kept: Readonly<Record<string, readonly string[]>> = {
  'any operation': ['description', 'purpose'],
  'auth.create_token': ['resources/0', 'denied_resources/0'],
  'policy.create_policy': ['rules/0/resources/0'],
  'policy.put_policy': ['rules/0/resources/0'],
  'pki.create_authority': [...subject, ...constraints],
  'pki.sign_intermediate': [...subject, ...constraints],
  'pki.cross_sign_authority': constraints,
  'pki.create_role': ofRoles,
  'pki.update_role': ofRoles,
  'database.create_connection': ['host', 'database', 'username', 'tls_server_name'],
  'database.create_role': ofDatabaseRoles,
  'database.update_role': ofDatabaseRoles,
  'database.create_static_role': ['username', 'database'],
  'database.update_static_role': ['database'],
  'acme.create_account': ['external_account/key_id'],
  'acme.configure_directory': ['caa_identities/0'],
  'acme.create_external_account_key': ['allowed_identifiers/0'],
  'lease.apply_brake': ['reason'],
  'lease.forget_leases': ['reason'],
  'lease.release_brake': ['reason'],
};

function mayBeKept({ operation, field, isText }: Planted): boolean {
  const listed = [...(kept['any operation'] ?? []), ...(kept[operation] ?? [])];
  return isText && (listed.includes(field) || isResource(operation, field));
}

/** Whether the value of a field is part of the resource by which the audit names what was asked for. */
function isResource(id: string, field: string): boolean {
  const operation = allOperations.find((each) => each.id === id);
  const known = { [field]: 'canary' } as Input;
  return operation?.resource(known).split('/').includes('canary') ?? false;
}

interface Planting {
  readonly path: FieldPath;
  readonly value: (canary: string) => unknown;
  readonly isText: boolean;
}

const forms: readonly Omit<Planting, 'path'>[] = [
  { value: (canary) => canary, isText: true },
  {
    value: (canary) => pem(Buffer.alloc(60), 'PRIVATE KEY').replace(/=*\n-----END/, `${canary}\n-----END`),
    isText: true,
  },
  { value: (canary) => ({ [canary]: canary }), isText: false },
  { value: (canary) => [[canary]], isText: false },
];

/** Each form once for each field that takes text. */
function plantings(operation: Listed): Planting[] {
  const fields = fieldsOf(operation).filter(({ isText }) => isText);
  return fields.flatMap(({ path }) => forms.map((form) => ({ path, ...form })));
}

async function plantEverywhere(server: Client, ids: Ids): Promise<{ planted: Map<string, Planted>; echoed: string[] }> {
  const planted = new Map<string, Planted>();
  const echoed: string[] = [];
  const plant = async (what: Planted, ask: (canary: string) => Promise<Reply>): Promise<void> => {
    const canary = newCanary();
    planted.set(canary, what);
    const reply = await ask(canary);
    const field = what.field.split('/')[0] ?? '';
    if (secretFields.has(field) && JSON.stringify(reply.body ?? null).includes(canary))
      echoed.push(`${what.operation} ${what.field}`);
  };
  for (const operation of allOperations) {
    const id = operation.id;
    await inParallel(plantings(operation), ({ path, value, isText }) =>
      plant({ operation: id, field: path.join('/'), isText }, (canary) =>
        send(server, operation, withValue(sampleFor(operation, ids), path, value(canary))),
      ),
    );
    const input: Input = sampleFor(operation, ids);
    const header = (field: string, headers: (canary: string) => Record<string, string>, client = server) =>
      plant({ operation: id, field: `header ${field}`, isText: true }, (canary) =>
        send(client, operation, input, headers(canary)),
      );
    const anonymous = server.as(undefined);
    await header('authorization', (canary) => ({ authorization: `Bearer chy_${canary.padEnd(49, 'x')}` }), anonymous);
    await header(
      'authorization',
      (canary) => ({ authorization: `Basic ${Buffer.from(`x:${canary}`).toString('base64')}` }),
      anonymous,
    );
    await header('authorization', (canary) => ({ authorization: canary }), anonymous);
    await header('cookie', (canary) => ({ cookie: `session=${canary}` }), anonymous);
    await header('user-agent', (canary) => ({ 'user-agent': canary, referer: `https://${canary}/` }), anonymous);
    await header('x-forwarded-for', (canary) => ({ 'x-forwarded-for': canary, forwarded: `for=${canary}` }), anonymous);
    await header('x-request-id', (canary) => ({ 'x-request-id': `a/${canary}` }), anonymous);
    await header('content-type', (canary) => ({ 'content-type': `text/${canary}` }), anonymous);
    await header('idempotency-key', (canary) => ({ 'idempotency-key': canary }), anonymous);
    await header('chancery-approval', (canary) => ({ 'chancery-approval': canary }), anonymous);
    await plant({ operation: id, field: 'unknown field', isText: false }, (canary) =>
      send(server, operation, { ...input, [canary]: canary }),
    );
  }
  const texts = [
    (canary: string) => `{"private_key": ${canary}`,
    (canary: string) => `{"private_key":"${canary}","private_key":"${canary}"}`,
    (canary: string) => `"${canary}"`,
    (canary: string) => `{"__proto__":"${canary}"}`,
  ];
  for (const text of texts)
    await plant({ operation: 'none', field: 'private_key', isText: false }, (canary) =>
      server.call('POST', 'pki/compromised-keys', text(canary)),
    );
  for (const path of ['x', '../x', 'pki/roles/%00', 'pki/roles/%zz', 'policies/test/'])
    await plant({ operation: 'none', field: 'path', isText: false }, (canary) =>
      server.call('GET', `${path}${canary}?token=${canary}`),
    );
  return { planted, echoed };
}

function describe(planted: ReadonlyMap<string, Planted>, found: Iterable<string>): string[] {
  return [
    ...new Set(
      [...found].map((canary) => {
        const what = planted.get(canary);
        return what === undefined ? canary : `${what.operation} ${what.field}${what.isText ? '' : ' (wrapped)'}`;
      }),
    ),
  ].sort();
}

test('of a thousand canaries only what is listed is kept, and nothing is logged or echoed', async (context) => {
  const server = await spawnChancery(context, { env: talkative });
  const { ids } = await furnish(server, 'root', 'tenant');
  const { planted, echoed } = await plantEverywhere(server, ids);
  await server.ok('POST', 'system/backups', {});
  assert.ok(planted.size >= 1000, String(planted.size));
  assert.deepEqual(echoed, []);
  await server.stop();
  const log = canariesIn(Buffer.from(server.output()));
  assert.deepEqual([describe(planted, log.plain), log.veiled], [[], false], 'the log');
  assert.match(server.output(), /request answered/, 'the log is as talkative as it gets');
  const found = new Set<string>();
  for (const { path, content } of readFolder(server.folder)) {
    const { plain, veiled } = canariesIn(content);
    assert.equal(veiled, false, `${path} holds an encoded canary`);
    for (const canary of plain) found.add(canary);
  }
  const unlisted = [...found].filter((canary) => {
    const what = planted.get(canary);
    return what === undefined || !mayBeKept(what);
  });
  assert.deepEqual(describe(planted, unlisted), []);
  assert.ok(found.size >= 100, 'what is listed is found, so the search finds');
  context.diagnostic(`${planted.size} canaries, ${found.size} kept`);
});

test('every field that may be kept is one that exists', () => {
  for (const [id, fields] of Object.entries(kept)) {
    const operations = allOperations.filter((operation) => id === 'any operation' || operation.id === id);
    const known = new Set(operations.flatMap((operation) => fieldsOf(operation).map(({ path }) => path.join('/'))));
    for (const field of fields) assert.ok(known.has(field), `${id} ${field}`);
  }
});

/** What is secret in a private key: its numbers, as octets. */
function secretsOf(key: string): Buffer[] {
  const privateKey = createPrivateKey(key);
  const { d, p, q, priv } = privateKey.export({ format: 'jwk' }) as Readonly<Record<string, string | undefined>>;
  const numbers = [d, p, q, priv].flatMap((text) => (text === undefined ? [] : [Buffer.from(text, 'base64url')]));
  return [privateKey.export({ format: 'der', type: 'pkcs8' }), ...numbers];
}

/** Every line of the base64 of a PEM but the first and the last, which begin and end alike in all keys. */
function linesOf(text: string): Buffer[] {
  return text
    .trim()
    .split('\n')
    .slice(1, -1)
    .filter((line) => line.length === 64)
    .slice(1)
    .map((line) => Buffer.from(line));
}

interface Secret {
  readonly what: string;
  readonly needles: readonly Buffer[];
}

const secret = (what: string, bytes: Uint8Array): Secret => ({ what, needles: formsOf(bytes) });
const keySecrets = (what: string, key: string): Secret[] => [
  ...secretsOf(key).map((bytes) => secret(what, bytes)),
  { what: `lines of ${what}`, needles: linesOf(key) },
];

/** Throws when a secret stands in the log or in a file that is not its own. */
async function assertNowhere(
  server: ChildServer,
  secrets: readonly Secret[],
  own: Readonly<Record<string, string>> = {},
): Promise<void> {
  await server.stop();
  const places = [{ path: 'the log', content: Buffer.from(server.output()) }, ...readFolder(server.folder)];
  for (const { path, content } of places)
    for (const { what, needles } of secrets)
      if (own[path] !== what)
        assert.equal(
          needles.some((needle) => content.includes(needle)),
          false,
          `${what} in ${path}`,
        );
}

test('a key that is made for somebody is in the answer and nowhere else', async (context) => {
  const server = await spawnChancery(context, { env: talkative });
  await foundPki(server);
  const secrets: Secret[] = [];
  const types = ['ec-p256', 'ec-p384', 'ec-p521', 'ed25519', 'rsa-2048', 'ml-dsa-44', 'ml-dsa-87'];
  const asked = types.flatMap((key_type) => ['pem', 'bundle'].map((format) => ({ key_type, format })));
  for (const [index, fields] of asked.entries()) {
    const request = { role: 'web', dns_names: ['a.example.com'], purpose: 'p', ...fields };
    const issued = await server.ok('POST', 'pki/certificates', request, { 'idempotency-key': `key-${index}` });
    const again = await server.ok('POST', 'pki/certificates', request, { 'idempotency-key': `key-${index}` });
    const key =
      /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----\n/.exec(issued.private_key ?? issued.bundle)?.[0] ??
      '';
    assert.doesNotMatch(JSON.stringify(again), /PRIVATE KEY/);
    secrets.push(...keySecrets(`${fields.key_type} ${fields.format}`, key));
    for (const format of ['pem', 'bundle', 'pkcs7', 'der'])
      assert.doesNotMatch(
        JSON.stringify(await server.ok('GET', `pki/certificates/${issued.serial_number}?format=${format}`)),
        /PRIVATE/,
      );
  }
  const password = randomBytes(24).toString('base64url');
  const file = await server.ok('POST', 'pki/certificates', {
    role: 'web',
    dns_names: ['a.example.com'],
    format: 'pkcs12',
    password,
  });
  secrets.push(secret('the password of a PKCS#12 file', Buffer.from(password)));
  secrets.push(secret('a PKCS#12 file', Buffer.from(file.pkcs12, 'base64').subarray(64, 160)));
  await server.ok('POST', 'system/backups', {});
  await assertNowhere(server, secrets);
});

function pairs(): Readonly<Record<string, KeyPair>> {
  return {
    'P-256': generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    'P-384': generateKeyPairSync('ec', { namedCurve: 'P-384' }),
    RSA: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  };
}

test('a key that is sent, good or bad, is sealed or forgotten, and comes back in no answer', async (context) => {
  const server = await spawnChancery(context, { env: talkative });
  await foundPki(server);
  const secrets: Secret[] = [];
  const answers: string[] = [];
  const ask = async (path: string, body: object, headers?: Record<string, string>): Promise<number> => {
    const reply = await server.call('POST', path, body, headers);
    answers.push(JSON.stringify(reply.body));
    return reply.status;
  };
  for (const [name, pair] of Object.entries(pairs())) {
    const key = privatePem(pair);
    secrets.push(...keySecrets(name, key));
    const own = { certificate: pem(selfSigned(pair, name), 'CERTIFICATE'), private_key: key };
    const broken = [
      key.replace('PRIVATE KEY', 'EC PRIVATE KEY'),
      key.replaceAll('PRIVATE KEY', 'RSA PRIVATE KEY'),
      key.replace(/\n-----END/, 'A\n-----END'),
      `x${key}`,
      key + key,
      key.replaceAll('\n', ' '),
      [key],
      { key },
    ];
    for (const private_key of broken) {
      assert.ok((await ask('pki/compromised-keys', { private_key })) >= 400);
      assert.ok((await ask(`pki/authorities/bad-${name.toLowerCase()}/import`, { ...own, private_key })) >= 400);
    }
    for (const [path, field] of [
      ['pki/roles', 'authority'],
      ['pki/certificates', 'csr'],
      ['pki/certificates/validate', 'certificate'],
      ['tokens', 'unknown'],
    ] as const)
      assert.ok((await ask(path, { name: 'x', role: 'web', [field]: key })) >= 400);
    assert.ok((await ask('pki/certificates', { role: 'web', [key]: 1 })) >= 400);
    assert.ok((await ask('pki/authorities/issuing/import', own)) >= 400);
    const idempotent = { 'idempotency-key': `import-${name}` };
    assert.equal(await ask(`pki/authorities/${name.toLowerCase()}/import`, own, idempotent), 201);
    assert.equal(await ask(`pki/authorities/${name.toLowerCase()}/import`, own, idempotent), 201);
    assert.equal(await ask('pki/compromised-keys', { private_key: key }, { 'idempotency-key': `lost-${name}` }), 200);
  }
  answers.push(JSON.stringify(await server.ok('GET', 'audit/events?limit=1000')));
  for (const { what, needles } of secrets)
    for (const answer of answers)
      assert.equal(
        needles.some((needle) => answer.includes(needle.toString('latin1'))),
        false,
        `${what}: ${answer}`,
      );
  await server.ok('POST', 'system/backups', {});
  await assertNowhere(server, secrets);
});

test('tokens are kept as hashes, the root key in its file, and no key of an authority in the clear', async (context) => {
  const server = await spawnChancery(context, { env: talkative });
  await furnish(server, 'root', 'tenant');
  const tokens = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const made = await server.ok('POST', 'tokens', {});
      await server.as(made.token).ok('GET', 'auth/whoami');
      return String(made.token);
    }),
  );
  const namespace = await server.ok('POST', 'namespaces', { name: 'another' });
  const wrong = `chy_${'z'.repeat(49)}`;
  assert.equal((await server.as(wrong).call('GET', 'auth/whoami')).status, 401);
  await server.ok('POST', 'seal/rotate', {});
  await server.ok('POST', 'system/backups', {});
  const environment = readFileSync(`/proc/${server.process.pid}/environ`, 'latin1');
  const rootKey = readFileSync(join(server.folder, 'root.key'), 'utf8').trim();
  assert.equal(environment.includes(rootKey), false);
  const pkcs8OfP256 = Buffer.from('308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420', 'hex');
  await assertNowhere(
    server,
    [
      ...[...tokens, namespace.key, wrong].map((token) => secret('a token', Buffer.from(token))),
      ...[...tokens, namespace.key].map((token) =>
        secret('the random part of a token', Buffer.from(token.slice(4, 47))),
      ),
      secret('the token of the administrator', Buffer.from(server.token ?? '')),
      { what: 'the root key', needles: [Buffer.from(rootKey), ...formsOf(Buffer.from(rootKey, 'base64'))] },
      secret('a private key in the clear', pkcs8OfP256),
      { what: 'a PEM key', needles: [Buffer.from('PRIVATE KEY')] },
    ],
    { 'admin.token': 'the token of the administrator', 'root.key': 'the root key' },
  );
  const database = readFileSync(join(server.folder, 'chancery.db'));
  assert.ok(
    database.includes(
      createHash('sha256')
        .update(tokens[0] ?? '')
        .digest('hex'),
    ),
    'what is kept is the hash',
  );
});

test('a root key that comes by the environment is written nowhere', async (context) => {
  const key = randomBytes(32);
  const server = await spawnChancery(context, { env: { ...talkative, CHANCERY_ROOT_KEY: key.toString('base64') } });
  await foundPki(server);
  await server.ok('POST', 'system/backups', {});
  const command = readFileSync(`/proc/${server.process.pid}/cmdline`, 'latin1');
  assert.equal(command.includes(key.toString('base64')), false);
  for (const path of ['system/info', 'seal', 'system/metrics', 'audit/events'])
    assert.equal(JSON.stringify(await server.ok('GET', path)).includes(key.toString('base64')), false, path);
  await assertNowhere(server, [secret('the root key', key)]);
  assert.equal(
    readFolder(server.folder).some(({ path }) => path === 'root.key'),
    false,
  );
});

test('whatever the umask, only the owner reads what the server writes', async (context) => {
  const above = mkdtempSync(join(tmpdir(), 'chancery-'));
  context.after(() => rmSync(above, { recursive: true, force: true }));
  const folder = join(above, 'deep', 'data');
  const command = ['/bin/sh', '-c', 'umask 0; exec "$@"', 'sh'];
  const server = await spawnChancery(context, { folder, command, env: { ...talkative, CHANCERY_TLS: 'off' } });
  await furnish(server, 'root', 'tenant');
  await server.ok('POST', 'system/backups', {});
  const files = readFolder(folder);
  assert.ok(files.length >= 7, files.map(({ path }) => path).join());
  for (const { path, mode, isFolder } of files)
    assert.equal(mode, isFolder ? 0o700 : 0o600, `${path} has the mode ${mode.toString(8)}`);
});
