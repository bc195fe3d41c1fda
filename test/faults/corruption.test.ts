import assert from 'node:assert/strict';
import { cpSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import type { ChildServer, Client } from '#test/chancery.ts';
import { assertAuditVerifies, forEach, storedSerials } from './load.ts';
import { assertNoCrash, foundServer, type Spawn, spawner, temporaryFolder } from './server.ts';

/** F6 of the fault list: bytes of the store were flipped, cut or exchanged while the server was stopped. */

/** A stopped server with two families: `root` → `issuing` with the role `web`, and `other-root` with the role `other`. */
async function twoAuthorities(spawn: Spawn): Promise<string> {
  const { folder } = await foundServer(spawn);
  const server = await spawn({ folder });
  await server.ok('POST', 'pki/authorities', { name: 'other-root', kind: 'root', common_name: 'Other Root' });
  const role = { name: 'other', authority: 'other-root', allowed_domains: ['example.com'] };
  await server.ok('POST', 'pki/roles', role);
  await server.stop();
  return folder;
}

interface IssuerKey {
  readonly id: string;
  readonly authority: string;
  readonly key: Uint8Array;
}

/** Changes the sealed keys of a stopped server's issuers; returns the row of `issuing`. */
function tamper(folder: string, change: (keys: ReadonlyMap<string, IssuerKey>) => Uint8Array): IssuerKey {
  const database = new DatabaseSync(join(folder, 'chancery.db'));
  const rows = database
    .prepare('SELECT i.id, a.name, i.private_key FROM pki_issuers i JOIN pki_authorities a ON a.id = i.authority_id')
    .all();
  const keys = new Map(
    rows.map((row): [string, IssuerKey] => {
      const authority = String(row['name']);
      return [authority, { id: String(row['id']), authority, key: row['private_key'] as Uint8Array }];
    }),
  );
  const issuing = keys.get('issuing');
  assert.ok(issuing);
  database.prepare('UPDATE pki_issuers SET private_key = ? WHERE id = ?').run(change(keys), issuing.id);
  database.close();
  return issuing;
}

function issue(client: Client, role: string) {
  return client.call('POST', 'pki/certificates', {
    role,
    dns_names: [role === 'web' ? 'a.example.com' : 'example.com'],
  });
}

async function assertOnlyIssuingIsLost(server: ChildServer, { id }: IssuerKey, reason: RegExp): Promise<void> {
  const { status, body } = await issue(server, 'web');
  assert.deepEqual([status, body.code], [500, 'sealed_value_unreadable'], JSON.stringify(body));
  const place = `pki_issuers/${id}/private_key`;
  assert.match(body.detail, new RegExp(place));
  assert.deepEqual([body.errors[0].at, body.errors.length], [place, 1]);
  assert.match(body.errors[0].message, reason);
  assert.match(body.hint, /backup/);
  assert.equal((await issue(server, 'other')).status, 201);
  assert.equal((await server.call('GET', 'pki/authorities/issuing')).status, 200);
  const events = await server.ok('GET', 'audit/events?limit=20');
  const failed = events.events.find((event: { code: string }) => event.code === 'sealed_value_unreadable');
  assert.equal(failed?.outcome, 'failed');
  await assertAuditVerifies(server);
  assertNoCrash(server);
}

async function tamperAndUse(
  context: TestContext,
  change: (keys: ReadonlyMap<string, IssuerKey>) => Uint8Array,
  reason: RegExp,
): Promise<void> {
  const spawn = spawner(context);
  const folder = await twoAuthorities(spawn);
  const issuing = tamper(folder, change);
  const server = await spawn({ folder });
  await assertOnlyIssuingIsLost(server, issuing, reason);
}

function keyOf(keys: ReadonlyMap<string, IssuerKey>, name: string): Buffer {
  const found = keys.get(name);
  assert.ok(found);
  return Buffer.from(found.key);
}

test('a key that was cut short is told with its table, row and reason, and other authorities go on', async (context) => {
  await tamperAndUse(context, (keys) => keyOf(keys, 'issuing').subarray(0, 20), /truncated: 20 bytes/);
});

test('a key that was exchanged for that of another authority does not open', async (context) => {
  await tamperAndUse(context, (keys) => keyOf(keys, 'other-root'), /moved from another place/);
});

test('a key of which any single bit was flipped does not open', async (context) => {
  const spawn = spawner(context);
  const folder = await twoAuthorities(spawn);
  let sound: Buffer | undefined;
  for (const where of [0, 0.5, 0.99]) {
    const issuing = tamper(folder, (keys) => {
      sound ??= keyOf(keys, 'issuing');
      const flipped = Buffer.from(sound);
      const at = Math.floor(where * flipped.length);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << Math.floor(Math.random() * 8));
      return flipped;
    });
    const server = await spawn({ folder });
    await assertOnlyIssuingIsLost(server, issuing, /altered|unknown format|unknown key version/);
    await server.stop();
  }
  tamper(folder, () => sound as Buffer);
  const server = await spawn({ folder });
  assert.equal((await issue(server, 'web')).status, 201, 'with its own bytes back the authority works again');
});

test('a data key that was altered keeps the server from starting, and it says which', async (context) => {
  const spawn = spawner(context);
  const { folder } = await foundServer(spawn);
  const database = new DatabaseSync(join(folder, 'chancery.db'));
  const wrapped = Buffer.from(
    database.prepare('SELECT wrapped_key FROM seal_keys').get()?.['wrapped_key'] as Uint8Array,
  );
  wrapped[wrapped.length - 1] = (wrapped.at(-1) ?? 0) ^ 1;
  database.prepare('UPDATE seal_keys SET wrapped_key = ?').run(wrapped);
  database.close();
  await assertRefusesToStart(spawn, folder, /seal_keys\/1\/wrapped_key/);
});

test('another root key than that of the store is refused at start, and both are named', async (context) => {
  const spawn = spawner(context);
  const { folder } = await foundServer(spawn);
  writeFileSync(join(folder, 'root.key'), `${Buffer.alloc(32, 7).toString('base64')}\n`, { mode: 0o600 });
  await assertRefusesToStart(spawn, folder, /wrapped by root key [0-9a-f]{16}, and root key [0-9a-f]{16} was given/);
});

/** The server ends at once, with a sentence and a hint and without a stack trace. */
async function assertRefusesToStart(spawn: Spawn, folder: string, sentence: RegExp): Promise<void> {
  await assert.rejects(spawn({ folder }), ({ message }: Error) => {
    assertIsSentence(message);
    assert.match(message, sentence);
    return true;
  });
}

function assertIsSentence(message: string): undefined {
  assert.match(message, /the server ended at start/);
  assert.match(message, /^chancery: error: .+\.$/m);
  assert.doesNotMatch(message, /^ +at /m, 'a stack trace');
  assert.doesNotMatch(message, /Node\.js v\d/);
}

/** The folder of a stopped server with forty certificates, to be copied and damaged. */
async function folderWithCertificates(spawn: Spawn): Promise<string> {
  const { folder } = await foundServer(spawn);
  const server = await spawn({ folder });
  await forEach([...Array(40).keys()], async () => assert.equal((await issue(server, 'web')).status, 201));
  await server.stop();
  return folder;
}

function copyOf(context: TestContext, folder: string): string {
  const copy = temporaryFolder(context, 'damaged');
  cpSync(folder, copy, { recursive: true });
  return copy;
}

test('a store whose file was cut is refused at start with a sentence, whatever its length', async (context) => {
  const spawn = spawner(context);
  const folder = await folderWithCertificates(spawn);
  const { size } = statSync(join(folder, 'chancery.db'));
  for (const length of [50, 4096, Math.floor(size / 2), size - 4096]) {
    const cut = copyOf(context, folder);
    truncateSync(join(cut, 'chancery.db'), length);
    await assertRefusesToStart(spawn, cut, /store is damaged|disk of the store/);
  }
});

test('a file that is no database at all is refused at start with a sentence', async (context) => {
  const spawn = spawner(context);
  const { folder } = await foundServer(spawn);
  writeFileSync(join(folder, 'chancery.db'), Buffer.alloc(65_536, 'not a database '));
  await assertRefusesToStart(spawn, folder, /store is damaged/);
});

/** With FAULTS=full more of the file is tried. */
const flips = process.env['FAULTS'] === 'full' ? 64 : 8;

test(`whatever single bit of the file was flipped (${flips} bits; 64 with FAULTS=full), the server refuses to start with a sentence or lives on`, async (context) => {
  const spawn = spawner(context);
  const folder = await folderWithCertificates(spawn);
  const whole = readFileSync(join(folder, 'chancery.db'));
  const sound = await spawn({ folder: copyOf(context, folder) });
  const before = await readCertificates(sound, await storedSerials(sound));
  await sound.stop();
  const seen = { 'refused at start': 0, 'told on use': 0, 'changed unnoticed': 0, 'without effect': 0 };
  for (let round = 0; round < flips; round++) {
    const damaged = Buffer.from(whole);
    const at = Math.floor(((round + Math.random()) / flips) * damaged.length);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << Math.floor(Math.random() * 8));
    const copy = copyOf(context, folder);
    writeFileSync(join(copy, 'chancery.db'), damaged);
    const server = await spawn({ folder: copy }).catch((error: Error) => assertIsSentence(error.message));
    if (server === undefined) {
      seen['refused at start']++;
      continue;
    }
    const after = await readCertificates(server, [...before.keys()]);
    const verified = await server.call('POST', 'audit/verify', {});
    const told = [...after.values()].includes(undefined) || verified.body.valid !== true;
    const changed = [...before].some(([serial, body]) => after.get(serial) !== body);
    seen[told ? 'told on use' : changed ? 'changed unnoticed' : 'without effect']++;
    assertNoCrash(server);
    await server.stop();
    assert.equal(server.process.exitCode, 0, server.output());
  }
  context.diagnostic(`${flips} flips: ${JSON.stringify(seen)}`);
});

/** What is answered for each certificate; undefined where it is not answered. */
async function readCertificates(client: Client, serials: readonly string[]): Promise<Map<string, string | undefined>> {
  const answers = new Map<string, string | undefined>();
  await forEach(serials, async (serial) => {
    const { status, body } = await client.call('GET', `pki/certificates/${serial}`);
    answers.set(serial, status === 200 ? JSON.stringify(body) : undefined);
  });
  return answers;
}
