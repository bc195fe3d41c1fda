import assert from 'node:assert/strict';
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import * as fc from 'fast-check';
import { openAudit } from '#audit/audit.ts';
import { parseCheckpoint, splitCheckpoints, verifyCheckpoint } from '#audit/checkpoint.ts';
import { parseVerifierKey } from '#audit/note.ts';
import type { AuditEvent } from '#core/audit-event.ts';
import { toRfc3339 } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { openKeyring } from '#seal/keyring.ts';
import { localRootKey } from '#seal/root-key.ts';
import { installationId } from '#seal/settings.ts';
import { call, dispatchOver, newRootKey, temporaryStore, testClock } from '../seal/support.ts';
import { exampleEvent, exampleEvents } from './support.ts';

async function newAudit(context: TestContext) {
  const { store, folder, file } = await temporaryStore(context);
  const clock = testClock();
  const { bytes } = newRootKey();
  const keyring = await openKeyring({ store, rootKey: localRootKey(Buffer.from(bytes)), clock });
  context.after(() => keyring.close());
  const dispatch = dispatchOver(store, clock);
  const logged: { facts: object; message: string }[] = [];
  const log = { info: (facts: object, message: string) => logged.push({ facts, message }) };
  const id = await installationId({ store, clock });
  const open = () =>
    openAudit({ store, sealer: keyring, clock, dispatch, installationId: id, dataFolder: folder, log });
  const audit = await open();
  const run = (operation: string, input: unknown = {}, namespace = 'root') =>
    call(dispatch, audit.operations, operation, input, namespace);
  return { store, folder, file, clock, keyring, audit, open, run, logged, id };
}

const hasCode = (code: string) => (error: unknown) => error instanceof AppError && error.code === code;
interface EventPage {
  events: Record<string, unknown>[];
  next_cursor: string | null;
}
type Run = (operation: string, input?: unknown, namespace?: string) => Promise<Record<string, unknown>>;

/** Reads all pages. Reading is audited too, so events of the reading itself are left out. */
async function readAll(run: Run, filter: object, namespace: string, limit: number): Promise<Record<string, unknown>[]> {
  const events: Record<string, unknown>[] = [];
  let cursor: string | null = null;
  do {
    const input: object = cursor === null ? { ...filter, limit } : { ...filter, limit, cursor };
    const page = (await run('audit.list_events', input, namespace)) as unknown as EventPage;
    assert.ok(page.events.length <= limit);
    events.push(...page.events);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return events.filter((event) => event['transport'] !== 'rest' || event['source_address'] === '192.0.2.7');
}

test('lists are what a plain filter over all events would give, newest first, by pages of any size', async (context) => {
  const { store, run } = await newAudit(context);
  const events = exampleEvents(300);
  await store.commit([], events);
  const time = fc.option(
    fc.nat(299).map((index) => events[index]?.at ?? 0),
    { nil: undefined },
  );
  const filters = fc.record(
    {
      operation: fc.constantFrom(
        'pki.issue_certificate',
        'pki.*',
        '*_certificate',
        'pki_issue_certificate',
        'auth.*',
        'pki.%',
      ),
      principal: fc.constantFrom('agent-1', 'agent-6', 'agent'),
      resource: fc.constantFrom('pki/roles/web-1', 'pki/', 'pki/roles/web-10', 'pki/roles/web_1', 'PKI/'),
      outcome: fc.constantFrom('ok', 'denied', 'failed'),
    },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(
      filters,
      time,
      time,
      fc.constantFrom('root', 'team-b'),
      fc.integer({ min: 1, max: 120 }),
      async (filter, since, until, namespace, limit) => {
        if (filter.operation?.includes('%')) {
          await assert.rejects(run('audit.list_events', filter, namespace), hasCode('invalid_request'));
          return;
        }
        const expected = events.filter((event) => fits(event, filter, since, until) && event.namespace === namespace);
        const times = {
          ...(since && { since: new Date(since).toISOString() }),
          ...(until && { until: new Date(until).toISOString() }),
        };
        const found = await readAll(run, { ...filter, ...times }, namespace, limit);
        assert.deepEqual(
          found.filter((event) => event['transport'] !== 'system').map((event) => event['id']),
          expected.map((event) => event.id).toReversed(),
        );
      },
    ),
    { numRuns: 150 },
  );
});

function fits(
  event: AuditEvent,
  filter: { operation?: string; principal?: string; resource?: string; outcome?: string },
  since: number | undefined,
  until: number | undefined,
): boolean {
  const glob = filter.operation
    ?.split('*')
    .map((part) => part.replaceAll('.', '\\.'))
    .join('.*');
  return (
    (glob === undefined || new RegExp(`^${glob}$`).test(event.operation)) &&
    (filter.principal === undefined || event.principal === filter.principal) &&
    (filter.resource === undefined || event.resource?.startsWith(filter.resource) === true) &&
    (filter.outcome === undefined || event.outcome === filter.outcome) &&
    (since === undefined || event.at >= since) &&
    (until === undefined || event.at < until)
  );
}

test('an event is shown with all it holds, and its place in the log to root only', async (context) => {
  const { store, run } = await newAudit(context);
  const [ours, theirs] = [exampleEvent(1), exampleEvent(5)];
  await store.commit([], [ours, theirs]);
  const shown = await run('audit.get_event', { id: ours.id });
  const seq = await store.first<{ seq: number }>('SELECT seq FROM audit_events WHERE id = ?', [ours.id]);
  assert.deepEqual(shown, {
    id: ours.id,
    at: toRfc3339(ours.at),
    namespace: 'root',
    request_id: ours.requestId,
    principal: ours.principal,
    principal_kind: 'agent',
    credential_id: ours.credentialId,
    operation: ours.operation,
    resource: ours.resource,
    outcome: 'ok',
    code: null,
    transport: 'rest',
    source_address: '192.0.2.7',
    purpose: null,
    details: ours.details,
    seq: seq?.seq,
  });
  assert.equal('seq' in (await run('audit.get_event', { id: theirs.id }, 'team-b')), false);
});

test('a namespace sees its own events only, and a foreign event answers as a missing one does', async (context) => {
  const { store, run } = await newAudit(context);
  await store.commit([], exampleEvents(40));
  const [ours, theirs] = [exampleEvent(2), exampleEvent(5)];
  await store.commit([], [ours, theirs]);
  for (const namespace of ['root', 'team-b', 'team-c']) {
    const events = await readAll(run, {}, namespace, 7);
    assert.ok(events.every((event) => event['namespace'] === namespace));
    await assert.rejects(
      run('audit.list_events', { all_namespaces: namespace !== 'root', cursor: 'x' }, namespace),
      AppError,
    );
  }
  const missing = `aud_${'0'.repeat(26)}`;
  const answers = [];
  for (const [id, namespace] of [
    [theirs.id, 'root'],
    [ours.id, 'team-b'],
    [missing, 'team-b'],
  ] as const) {
    const error = await run('audit.get_event', { id }, namespace).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof AppError && error.code === 'not_found');
    answers.push(`${error.message} ${error.hint}`.replaceAll(id, 'ID'));
  }
  assert.equal(new Set(answers).size, 1);
});

test('all namespaces are for root alone, under a resource of their own', async (context) => {
  const { store, audit, run } = await newAudit(context);
  await store.commit([], exampleEvents(40));
  const all = await readAll(run, { all_namespaces: true }, 'root', 50);
  assert.deepEqual(new Set(all.map((event) => event['namespace'])), new Set(['root', 'team-b']));
  const theirs = all.find((event) => event['namespace'] === 'team-b');
  const found = await run('audit.get_event', { id: theirs?.['id'], all_namespaces: true });
  assert.equal(found['namespace'], 'team-b');
  for (const operation of ['audit.list_events', 'audit.get_event']) {
    const input = { all_namespaces: true, ...(operation.endsWith('event') && { id: theirs?.['id'] }) };
    await assert.rejects(run(operation, input, 'team-b'), hasCode('denied'));
    const resource = audit.operations.find((entry) => entry.id === operation)?.resource;
    assert.match(resource?.({ id: 'aud_x', all_namespaces: true }) ?? '', /^audit\/all-events\//);
    assert.match(resource?.({ id: 'aud_x', all_namespaces: false }) ?? '', /^audit\/events\//);
  }
});

test('a rare event deep in a long log is found by page after page of bounded work', async (context) => {
  const { store, run } = await newAudit(context);
  const rare = exampleEvent(1, { operation: 'auth.create_token' });
  await store.commit([], [rare]);
  const filler = exampleEvents(1000);
  for (let round = 0; round < 12; round++) await store.commit([], filler);
  const found = await readAll(run, { operation: 'auth.*' }, 'root', 10);
  assert.deepEqual(
    found.map((event) => event['id']),
    [rare.id],
  );
  assert.equal((await run('audit.get_event', { id: rare.id }))['id'], rare.id);
});

test('a row that was tampered with does not break the list', async (context) => {
  const { store, file, run } = await newAudit(context);
  await store.commit([], exampleEvents(5));
  const intruder = new DatabaseSync(file);
  context.after(() => intruder.close());
  intruder.exec("UPDATE audit_events SET details = '{' WHERE seq = 6");
  intruder.exec(`UPDATE audit_events SET details = '{"nested":{"a":1}}' WHERE seq = 7`);
  const events = await readAll(run, {}, 'root', 50);
  assert.equal(events.filter((event) => 'unreadable' in (event['details'] as object)).length, 2);
});

test('a cursor tells nobody a place in the log, and is good for the list that gave it only', async (context) => {
  const { store, run, open, clock } = await newAudit(context);
  await store.commit([], exampleEvents(300));
  const cursorOf = async (input: object, namespace: string) => {
    const { next_cursor: cursor } = (await run(
      'audit.list_events',
      { limit: 3, ...input },
      namespace,
    )) as unknown as EventPage;
    assert.ok(cursor !== null);
    return cursor;
  };
  const cursors = [await cursorOf({}, 'team-b'), await cursorOf({ limit: 6 }, 'team-b'), await cursorOf({}, 'root')];
  assert.equal(new Set(cursors).size, 3);
  for (const cursor of cursors) {
    assert.match(cursor, /^[A-Za-z0-9_-]{22}$/);
    assert.doesNotMatch(Buffer.from(cursor, 'base64url').toString('latin1'), /\d{3}|\0{4}/);
  }
  const [tenant = '', , root = ''] = cursors;
  await run('audit.list_events', { cursor: tenant }, 'team-b');
  for (const [input, namespace] of [
    [{ cursor: tenant }, 'team-c'],
    [{ cursor: tenant }, 'root'],
    [{ cursor: root }, 'team-b'],
    [{ cursor: root, all_namespaces: true }, 'root'],
    [{ cursor: Buffer.from('250').toString('base64url') }, 'team-b'],
    [{ cursor: Buffer.alloc(16).toString('base64url') }, 'team-b'],
  ] as const)
    await assert.rejects(run('audit.list_events', input, namespace), hasCode('invalid_request'));
  const other = await open();
  const again = await call(
    dispatchOver(store, clock),
    other.operations,
    'audit.list_events',
    { cursor: tenant },
    'team-b',
  );
  assert.ok(Array.isArray(again['events']), 'another node reads it');
});

test('filters that are no operation, time or cursor are refused', async (context) => {
  const { run } = await newAudit(context);
  for (const input of [
    { operation: "x' OR 1=1" },
    { since: 'yesterday' },
    { principal: 'a\0b' },
    { resource: 'x'.repeat(257) },
    { cursor: 'AAAA' },
    { cursor: Buffer.from('"text"').toString('base64url') },
    { limit: 0 },
    { limit: 1001 },
    { unknown: true },
  ])
    await assert.rejects(run('audit.list_events', input), hasCode('invalid_request'), JSON.stringify(input));
});

test('a checkpoint that was kept elsewhere verifies with the published key and finds a log that lost its end', async (context) => {
  const { store, file, audit, run, id } = await newAudit(context);
  await store.commit([], exampleEvents(60));
  const { checkpoint, verifier_key, size } = await run('audit.get_checkpoint');
  assert.ok(typeof checkpoint === 'string' && typeof verifier_key === 'string');
  assert.equal(verifier_key, audit.verifierKey);
  const verified = verifyCheckpoint(checkpoint, parseVerifierKey(verifier_key));
  assert.deepEqual([verified.size, verified.origin], [size, `chancery/${id}/audit`]);

  const sound = await run('audit.verify_log', { checkpoint });
  assert.deepEqual([sound['valid'], sound['checkpoints'], sound['first_bad_seq']], [true, 1, null]);
  const tail = await run('audit.verify_log', { checkpoint, verifier_key, after_checkpoint: true });
  assert.deepEqual([tail['valid'], tail['rows']], [true, Number(sound['size']) + 1 - Number(size)]);

  const intruder = new DatabaseSync(file);
  context.after(() => intruder.close());
  intruder.exec('DELETE FROM audit_events WHERE seq > 40');
  intruder.exec('UPDATE audit_head SET seq = 40, hash = (SELECT hash FROM audit_events WHERE seq = 40)');
  const { valid, findings } = await run('audit.verify_log', { checkpoint });
  assert.equal(valid, false);
  assert.deepEqual(
    (findings as { kind: string; seq: number }[]).map(({ kind, seq }) => [kind, seq]),
    [['truncated', 41]],
  );
});

test('a checkpoint that is forged, foreign or no checkpoint at all is refused, and so is a walk after none', async (context) => {
  const { run } = await newAudit(context);
  const { checkpoint } = await run('audit.get_checkpoint');
  const other = await newAudit(context);
  const foreign = await other.run('audit.get_checkpoint');
  const forged = (checkpoint as string).replace(/\n(\d+)\n/, '\n1$1\n');
  for (const input of [
    { checkpoint: forged },
    { checkpoint: foreign['checkpoint'] },
    { checkpoint: 'hello' },
    { checkpoint: '' },
    { checkpoint, verifier_key: foreign['verifier_key'] },
    { checkpoint, verifier_key: 'x' },
    { after_checkpoint: true },
  ])
    await assert.rejects(run('audit.verify_log', input), hasCode('invalid_request'), JSON.stringify(input));
});

test('the hourly job appends checkpoints to a private file and gives them to the log', async (context) => {
  const { clock, folder, audit, run, logged } = await newAudit(context);
  const [job] = audit.jobs;
  assert.ok(job);
  for (let hour = 0; hour < 3; hour++) {
    await job.run();
    clock.advance(3_600_000);
  }
  const path = join(folder, 'checkpoints.log');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const notes = splitCheckpoints(readFileSync(path, 'utf8'));
  const sizes = notes.map((note) => verifyCheckpoint(note, parseVerifierKey(audit.verifierKey)).size);
  assert.equal(sizes.length, 3);
  assert.deepEqual(
    sizes,
    [...new Set(sizes)].sort((a, b) => a - b),
  );
  assert.deepEqual(
    logged.map(({ facts }) => (facts as { checkpoint: string }).checkpoint),
    notes,
  );
  const report = await run('audit.verify_log');
  assert.deepEqual([report['valid'], report['checkpoints'], report['checkpoints_ignored']], [true, 3, 0]);
});

test('a store that was rolled back is found at the start, and no checkpoint is signed over it', async (context) => {
  const { store, file, folder, audit, open, run } = await newAudit(context);
  const [job] = audit.jobs;
  assert.ok(job);
  assert.equal(await audit.checkContinuity(), undefined);
  await store.commit([], exampleEvents(20));
  await job.run();
  assert.equal(await audit.checkContinuity(), undefined);
  const intruder = new DatabaseSync(file);
  context.after(() => intruder.close());
  intruder.exec('DELETE FROM audit_events WHERE seq > 10');
  intruder.exec('UPDATE audit_head SET seq = 10, hash = (SELECT hash FROM audit_events WHERE seq = 10)');
  const again = await open();
  const finding = await again.checkContinuity();
  assert.deepEqual([finding?.kind, finding?.seq], ['truncated', 11]);
  await assert.rejects(run('audit.get_checkpoint'), hasCode('wrong_state'));
  await assert.rejects(job.run(), hasCode('wrong_state'));
  assert.equal(splitCheckpoints(readFileSync(join(folder, 'checkpoints.log'), 'utf8')).length, 1);
  renameSync(join(folder, 'checkpoints.log'), join(folder, 'checkpoints.old'));
  await job.run();
  assert.equal(splitCheckpoints(readFileSync(join(folder, 'checkpoints.log'), 'utf8')).length, 1);
});

test('what a crash or a stranger left in checkpoints.log is ignored and counted, and the rest still counts', async (context) => {
  const { folder, audit, run } = await newAudit(context);
  const [job] = audit.jobs;
  const path = join(folder, 'checkpoints.log');
  await job?.run();
  const whole = readFileSync(path, 'utf8');
  const stranger = await newAudit(context);
  const { checkpoint } = await stranger.run('audit.get_checkpoint');
  writeFileSync(path, `${whole}\n\n${checkpoint as string}\n\n${whole.slice(0, 90)}`);
  await job?.run();
  const report = await run('audit.verify_log');
  assert.deepEqual([report['valid'], report['checkpoints'], report['checkpoints_ignored']], [true, 2, 1]);
});

test('the checkpoint key is made once, survives restarts and rotations, and stands in no file of the store', async (context) => {
  const { store, clock, keyring, audit, open } = await newAudit(context);
  const again = await open();
  assert.equal(again.verifierKey, audit.verifierKey);
  await store.commit((await keyring.rotation(clock.now())).changes);
  assert.equal((await open()).verifierKey, audit.verifierKey);
  const row = await store.first<{ value: string }>(
    "SELECT value FROM settings WHERE name = 'audit_checkpoint_key'",
    [],
  );
  assert.match(row?.value ?? '', /^sealed:/);
  const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex');
  assert.equal(Buffer.from(row?.value.slice(7) ?? '', 'base64').includes(pkcs8Prefix), false);
});

test('verifying and signing are for root alone, even if a policy let others', async (context) => {
  const { audit, run } = await newAudit(context);
  for (const id of ['audit.verify_log', 'audit.get_checkpoint']) {
    const operation = audit.operations.find((entry) => entry.id === id);
    assert.equal(operation?.installation, true);
    await assert.rejects(run(id, {}, 'team-b'), hasCode('denied'));
    await assert.rejects(
      operation?.run({ namespace: 'team-b' } as Grant, { after_checkpoint: false }) ?? Promise.resolve(),
      hasCode('denied'),
    );
  }
});

test('a checkpoint of a log is a plain signed note that other tools can read', async (context) => {
  const { run } = await newAudit(context);
  const { checkpoint, size } = await run('audit.get_checkpoint');
  const parsed = parseCheckpoint(checkpoint as string);
  assert.equal(parsed.size, size);
  assert.ok(parsed.extensions.some((line) => line.includes('no Merkle tree')));
});
