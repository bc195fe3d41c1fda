import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BoundOperation } from '#core/operation.ts';
import { type InProcess, startChancery } from '#test/chancery.ts';
import { startPostgres } from '#test/postgres.ts';
import { type Field, fieldsOf, inParallel, type Input, send, withValue } from './fields.ts';
import { assertProblem, faultOf } from './problem.ts';
import { sampleFor } from './samples.ts';
import { type StoreView, viewStore } from './store-view.ts';
import { furnish, type Ids } from './world.ts';

/**
 * Every field of every operation, as its schema lists them, with a value of every wrong kind. Whatever comes, the answer
 * is a result or a problem document, and a refusal leaves nothing behind but its audit event.
 */

/** Text that lands in a database, a log or a certificate somewhere if nobody looks at it. */
const texts: readonly string[] = [
  '',
  ' ',
  'x',
  '0',
  'a\0b',
  'a\r\nb: c',
  '\u001b[31mred',
  '\u202egnp.exe',
  '\ud800',
  '\uffff\ufffe',
  'ａｄｍｉｎ',
  "'; DROP TABLE principals; --",
  '../../etc/passwd',
  '%00%2e%2e',
  '{{7*7}}${7*7}',
  '__proto__',
  'x'.repeat(200_000),
];
const others: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  2 ** 53,
  1e308,
  [],
  [null],
  [[[]]],
  ['x', 'x'],
  {},
  { constructor: { prototype: 1 } },
  { toString: 1, length: 5 },
  Array.from({ length: 20_000 }, () => 'a'),
];

interface Attempt {
  readonly operation: BoundOperation;
  readonly what: string;
  readonly input: Input;
}

/** One field each time; a text field gets all texts, another one a text and everything else. */
function attempts(operation: BoundOperation, ids: Ids): Attempt[] {
  const inQuery = operation.http.method === 'GET' || operation.http.method === 'DELETE';
  const fit = (value: unknown) => !inQuery || JSON.stringify(value).length < 8000;
  const values = ({ isText }: Field) => [...(isText ? texts : ['x', '']), ...others].filter(fit);
  const fields = fieldsOf(operation).flatMap((field) =>
    values(field).map((value, index) => ({
      operation,
      what: `${operation.id} /${field.path.join('/')} = ${JSON.stringify(value).slice(0, 40)} (${index})`,
      input: withValue(sampleFor(operation, ids), field.path, value),
    })),
  );
  const unknown = ['unknown', 'constructor', '\u202e\u001b[2J', '__proto__'].map((name) => ({
    operation,
    what: `${operation.id} with the field ${JSON.stringify(name)}`,
    input: Object.defineProperty({ ...sampleFor(operation, ids) }, name, { value: 1, enumerable: true }),
  }));
  return [...fields, ...unknown];
}

/** Operations that would end what the others need: they come last. */
function destructiveLast(operations: readonly BoundOperation[]): BoundOperation[] {
  const rank = ({ effect }: BoundOperation) => ['read', 'additive', 'mutating', 'destructive'].indexOf(effect);
  return operations.toSorted((left, right) => rank(left) - rank(right));
}

/** Sends everything. `after` is called when an operation was tried with all of its fields. */
async function tryAll(
  server: InProcess,
  ids: Ids,
  after?: (operation: BoundOperation, refused: number, all: number) => Promise<void>,
): Promise<{ tried: number; faults: string[] }> {
  const faults: string[] = [];
  let tried = 0;
  for (const operation of destructiveLast(server.chancery.operations)) {
    const all = attempts(operation, ids);
    const replies = await inParallel(all, async ({ input, what }) => {
      const reply = await send(server, operation, input);
      const fault = reply.status < 400 ? undefined : faultOf(reply, what);
      if (fault !== undefined) faults.push(fault);
      return reply.status;
    });
    tried += all.length;
    await after?.(operation, replies.filter((status) => status >= 400).length, replies.length);
  }
  return { tried, faults };
}

/** Until the sweeper has ended what a request made and gave up. */
async function settled(view: StoreView): Promise<void> {
  const open = () =>
    view.rows(`SELECT id FROM leases WHERE state IN ('minting', 'revoking', 'stuck')
      UNION SELECT id FROM database_roles WHERE state = 'draining'
      UNION SELECT id FROM database_connections WHERE state = 'draining'`);
  for (const deadline = Date.now() + 30_000; open().length > 0; await sleep(20))
    if (Date.now() > deadline) throw new Error(`not ended by itself: ${JSON.stringify(open())}`);
}

const settings = { CHANCERY_RATE_FAILED_AUTH: 'off' };

test('no value in any field of any operation makes an internal error, and what is refused is not stored', async (context) => {
  const server = await startChancery(context, { env: settings });
  const view = viewStore(context, server.folder);
  const { ids } = await furnish(server, 'root', 'tenant');
  let before = view.digest();
  let fruitless = 0;
  const { tried, faults } = await tryAll(server, ids, async (operation, refused, all) => {
    await settled(view);
    const now = view.digest();
    if (refused === all && fruitless++ >= 0)
      assert.deepEqual(now, before, `${operation.id} refused all and stored something`);
    before = now;
  });
  assert.deepEqual(faults, []);
  context.diagnostic(`${server.chancery.operations.length} operations, ${tried} requests`);
  assert.ok(fruitless > 10, 'some operations refuse whatever is wrong in any of their fields');
});

test('nor does one on PostgreSQL, which takes no NUL and no half characters in texts', async (context: TestContext) => {
  const postgres = await startPostgres();
  const url = await postgres.createDatabase();
  const server = await startChancery(context, { env: { ...settings, CHANCERY_STORAGE: url } });
  context.after(() => postgres.stop());
  const { ids } = await furnish(server, 'root', 'tenant');
  for (const name of ['a%00b', '%00', 'a.b%00', '%ed%a0%80', '%ff'])
    for (const rest of ['ca.pem', 'ca/1.cer', 'crl/1-0.crl', 'crl/1-99999999.crl', 'ocsp/MAA='])
      assert.ok((await fetch(`${server.url}/pki/${name}/${rest}`)).status < 500, `${name} ${rest}`);
  const { faults } = await tryAll(server, ids);
  assert.deepEqual(faults, []);
});

/** The path of a route with the values of a sample in it, as `call` takes it. */
function pathFor(route: string, sample: Input): string {
  return route.replaceAll(/\{(\w+)\}/g, (_all, field: string) => String(sample[field])).slice(1);
}

test('what is no request of the operation at all is refused by every operation that takes a body', async (context) => {
  const server = await startChancery(context, { env: settings });
  const view = viewStore(context, server.folder);
  const { ids } = await furnish(server, 'root', 'tenant');
  const before = view.digest();
  const bodies = ['null', '[]', '"x"', '1', 'true', '[{}]'];
  const withBody = server.chancery.operations.filter(({ http }) => http.method !== 'GET' && http.method !== 'DELETE');
  await inParallel(
    withBody.flatMap((operation) => bodies.map((body) => ({ operation, body }))),
    async ({ operation, body }) => {
      const sample: Input = sampleFor(operation, ids);
      const path = pathFor(operation.http.path, sample);
      const reply = await server.call(operation.http.method, path, body);
      assertProblem(reply, `${operation.id} ${body}`, { status: 400, code: 'invalid_request' });
    },
  );
  assert.deepEqual(view.digest(), before);
});

test('a field that the operation does not know is refused by every operation that takes a body, and named', async (context) => {
  const server = await startChancery(context, { env: settings });
  const view = viewStore(context, server.folder);
  const { ids } = await furnish(server, 'root', 'tenant');
  const before = view.digest();
  const withBody = server.chancery.operations.filter(({ http }) => http.method !== 'GET' && http.method !== 'DELETE');
  await inParallel(withBody, async (operation) => {
    const sample: Input = sampleFor(operation, ids);
    const path = pathFor(operation.http.path, sample);
    const rest = Object.fromEntries(
      Object.entries(sample).filter(([field]) => !operation.http.path.includes(`{${field}}`)),
    );
    const reply = await server.call(operation.http.method, path, { ...rest, surprise: 1 });
    assertProblem(reply, operation.id, { status: 400, code: 'invalid_request' });
    assert.ok(JSON.stringify(reply.body.errors).includes('/surprise'), `${operation.id} ${JSON.stringify(reply.body)}`);
  });
  assert.deepEqual(view.digest(), before);
});
