import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { pino } from 'pino';
import type { AuditEvent } from '#core/audit-event.ts';
import type { Change } from '#core/change.ts';
import { systemClock } from '#core/clock.ts';
import { createDispatch, type DispatchDeps } from '#core/dispatch.ts';
import { AppError } from '#core/errors.ts';
import { makeGrant } from '#core/grant.ts';
import type { BoundOperation } from '#core/operation.ts';
import type { Principal } from '#core/principal.ts';
import { createHttpServer } from '#http/server.ts';
import { defaultHttpSettings } from '#http/settings.ts';
import { createAuthorize } from '#policy/authorize.ts';
import type { Store } from '#storage/store.ts';
import { type Client, createClient, type InProcess, startChancery } from '#test/chancery.ts';
import { fieldsOf, inParallel, send, withValue } from './fields.ts';
import { canariesIn, newCanary } from './needles.ts';
import { sampleFor } from './samples.ts';
import { viewStore } from './store-view.ts';
import { furnish, type Ids } from './world.ts';

/**
 * Deciding that breaks must never mean yes (step-ca #2491: the error of a helper was dropped, and the request went on).
 * Here every route of the real operations stands behind steps of dispatch that break in all the ways a step can break.
 */

const administrator: Principal = {
  id: 'prn_x',
  name: 'admin',
  namespace: 'root',
  kind: 'human',
  policies: ['administrator'],
  credentialId: 'key_x',
  narrowings: [],
};

const allowAll: DispatchDeps['authorize'] = async ({ principal, operation, resource, facts, requestId, now }) => ({
  grant: makeGrant({
    principal,
    namespace: principal.namespace,
    operation: operation.id,
    resource,
    purpose: facts.purpose,
    limits: {},
    requestId,
    sourceAddress: null,
    now,
  }),
  changes: [],
});

const rejects = (thrown: unknown) => async (): Promise<never> => {
  throw thrown;
};
const throws = (thrown: unknown) => (): never => {
  throw thrown;
};

/** A store of which nothing works but that it can be watched, which happens once at the start. */
const brokenStore = new Proxy({} as Store, {
  get: (_target, name) => (name === 'watch' ? () => () => undefined : throws(new Error('the store broke'))),
});

/** Built-in policies need no store; this one does. */
const heldByPolicy: DispatchDeps['authenticate'] = async () => ({ ...administrator, policies: ['stored'] });

/** Ways for a step to break before an operation may run. */
const broken: Readonly<Record<string, Partial<DispatchDeps>>> = {
  'authorize rejects': { authorize: rejects(new TypeError('x is not a function')) },
  'authorize throws': { authorize: throws(new TypeError('x is not a function')) },
  'authorize rejects with nothing': { authorize: rejects(undefined) },
  'authorize rejects with null': { authorize: rejects(null) },
  'authorize rejects with a text': { authorize: rejects('allowed') },
  'authorize rejects with what looks like a success': { authorize: rejects({ status: 200, code: 'ok' }) },
  'authorize rejects with a conflict, which is tried again elsewhere': {
    authorize: rejects(new AppError('conflict', 'A conflict.')),
  },
  'authorize answers nothing': { authorize: (async () => undefined) as unknown as DispatchDeps['authorize'] },
  'authorize answers null': { authorize: (async () => null) as unknown as DispatchDeps['authorize'] },
  'the store of the policies broke': {
    authenticate: heldByPolicy,
    authorize: createAuthorize({ store: brokenStore, commit: async () => undefined, jobs: {} }),
  },
  'the book of the policies broke': {
    authenticate: heldByPolicy,
    authorize: createAuthorize({
      store: brokenStore,
      commit: async () => undefined,
      jobs: {},
      policies: brokenStore as never,
    }),
  },
  'authenticate rejects': { authenticate: rejects(new TypeError('x is not a function')) },
  'authenticate throws': { authenticate: throws(new RangeError('out of range')) },
  'authenticate answers nothing': { authenticate: (async () => undefined) as unknown as DispatchDeps['authenticate'] },
  'authenticate rejects with nothing': { authenticate: rejects(undefined) },
};

interface Doors extends Client {
  /** Operations that ran. */
  readonly ran: string[];
  readonly changes: Change[];
  readonly events: AuditEvent[];
  /** Everything that was logged, at the most talkative level. */
  readonly log: string[];
}

/** The real operations behind a dispatch of which some steps are replaced. */
async function openDoors(
  context: TestContext,
  operations: readonly BoundOperation[],
  steps: Partial<DispatchDeps>,
): Promise<Doors> {
  const [ran, changes, events, log]: [string[], Change[], AuditEvent[], string[]] = [[], [], [], []];
  const watched = operations.map((operation) => ({
    ...operation,
    intend:
      operation.intend &&
      ((...call: Parameters<NonNullable<BoundOperation['intend']>>) => {
        ran.push(operation.id);
        return operation.intend?.(...call) as ReturnType<NonNullable<BoundOperation['intend']>>;
      }),
    run: (...call: Parameters<BoundOperation['run']>) => {
      ran.push(operation.id);
      return operation.run(...call);
    },
  }));
  const dispatch = createDispatch({
    clock: systemClock,
    authenticate: async () => administrator,
    authorize: allowAll,
    commit: async (unit, audited) => {
      changes.push(...unit);
      events.push(...audited);
    },
    idempotency: { find: async () => undefined, keep: throws(new Error('nothing is kept here')) },
    ...steps,
  });
  const server = createHttpServer({
    config: { ...defaultHttpSettings, accessLog: true, listen: { host: '127.0.0.1', port: 0 } },
    operations: watched,
    dispatch,
    publicRoutes: [],
    probes: {},
    log: pino({ level: 'trace' }, { write: (line: string) => void log.push(line) }),
    version: '0',
  });
  context.after(() => server.close());
  return { ...createClient(await server.listen(), 'chy_any'), ran, changes, events, log };
}

async function world(context: TestContext): Promise<{ server: InProcess; ids: Ids }> {
  const server = await startChancery(context, { env: { CHANCERY_RATE_FAILED_AUTH: 'off' } });
  return { server, ids: (await furnish(server, 'root', 'tenant')).ids };
}

test('whatever breaks while a request is decided, no route of any operation does anything', async (context) => {
  const { server, ids } = await world(context);
  const { operations } = server.chancery;
  for (const [what, steps] of Object.entries(broken)) {
    // What everybody may do about themselves asks no policy, so it stays open when only those are gone.
    const judged = what.includes('of the policies') ? operations.filter(({ access }) => access !== 'self') : operations;
    const doors = await openDoors(context, judged, steps);
    await inParallel(judged, async (operation) => {
      const { status, body } = await send(doors, operation, sampleFor(operation, ids));
      const told = `${what}: ${operation.id}: ${status} ${JSON.stringify(body)}`;
      assert.ok([401, 403, 409, 500].includes(status), told);
      assert.doesNotMatch(JSON.stringify(body), /not a function|broke|out of range/, told);
    });
    assert.deepEqual(doors.ran, [], what);
    assert.deepEqual(doors.changes, [], what);
    assert.deepEqual([...new Set(doors.events.map(({ outcome }) => outcome))].includes('ok'), false, what);
  }
});

test('with steps that work the same doors open, so what holds them shut are the steps', async (context) => {
  const { server, ids } = await world(context);
  const doors = await openDoors(context, server.chancery.operations, {});
  const statuses = await inParallel(server.chancery.operations, (operation) =>
    send(doors, operation, sampleFor(operation, ids)).then(({ status }) => status),
  );
  assert.equal(new Set(doors.ran).size, server.chancery.operations.length);
  assert.ok(statuses.filter((status) => status < 300).length > statuses.length / 2, statuses.join());
});

test('an answer leaves only when its audit event is durable', async (context) => {
  const { server, ids } = await world(context);
  const doors = await openDoors(context, server.chancery.operations, {
    commit: rejects(new Error('the disk is gone')),
  });
  await inParallel(server.chancery.operations, async (operation) => {
    const { status, body } = await send(doors, operation, sampleFor(operation, ids));
    assert.equal(status, 500, operation.id);
    assert.doesNotMatch(JSON.stringify(body), /PRIVATE KEY|chy_|the disk/, operation.id);
  });
});

test('what is logged of a failure of ours holds nothing of the request', async (context) => {
  const { server, ids } = await world(context);
  const { operations } = server.chancery;
  const doors = await openDoors(context, operations, { commit: rejects(new Error('the disk is gone')) });
  const canaries = new Map<string, string>();
  for (const operation of operations) {
    const fields = fieldsOf(operation).filter(({ isText }) => isText);
    await inParallel(fields, async ({ path }) => {
      const canary = newCanary();
      canaries.set(canary, `${operation.id} ${path.join('/')}`);
      await send(doors, operation, withValue(sampleFor(operation, ids), path, canary));
    });
  }
  const found = canariesIn(Buffer.from(doors.log.join('')));
  assert.deepEqual([[...found.plain].map((canary) => canaries.get(canary)), found.veiled], [[], false]);
  assert.match(doors.log.join(''), /the disk is gone/);
});

/** Everything that is answered without a token. A new entry here is a decision: it must change nothing and tell no tenant's secret. */
const openRoutes = [
  'GET /.well-known/acme-challenge/{token}',
  ...['directory', 'new-nonce', 'renewal-info/{certid}', '{rest}'].map((path) => `GET /acme/{directory}/${path}`),
  // Only a refusal that says where the directory is.
  ...['/acme', '/acme/{directory}'].flatMap((path) => [`GET ${path}`, `POST ${path}`]),
  'HEAD /acme/{directory}/new-nonce',
  'OPTIONS /acme/{directory}/{rest}',
  // Signed by the key of an account, or by a key that wants to become one.
  ...(
    'directory new-nonce new-account new-order new-authz key-change revoke-cert account/{id} account/{id}/orders ' +
    'authz/{id} challenge/{id} order/{id} order/{id}/finalize certificate/{id} certificate/{id}/{alternate} {rest}'
  )
    .split(' ')
    .map((path) => `POST /acme/{directory}/${path}`),
  'GET /pki/roots.pem',
  'GET /pki/{authority}/ca.pem',
  'GET /pki/{authority}/ca/{file}',
  'GET /pki/{authority}/crl/{file}',
  'GET /pki/{authority}/ocsp/{rest}',
  'POST /pki/{authority}/ocsp',
];
const openPages = [
  '/healthz',
  '/readyz',
  '/openapi.json',
  '/docs',
  '/docs/errors',
  '/docs/docs.css',
  '/docs/operation.css',
  '/docs/docs.js',
  '/docs/dom.js',
  '/docs/schema.js',
  '/docs/commands.js',
  '/docs/try-it.js',
];

interface Described {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly security?: readonly unknown[] }>>>>;
}

test('the routes without a token are those listed here, and none of them changes anything', async (context) => {
  const { server, ids } = await world(context);
  const described = (await (await fetch(`${server.url}/openapi.json`)).json()) as Described;
  const open = Object.entries(described.paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([, { security }]) => security?.length === 0)
      .map(([method]) => `${method.toUpperCase()} ${path}`),
  );
  assert.deepEqual(open.sort(), [...openRoutes].sort());

  const doors = await openDoors(context, server.chancery.operations, {
    authenticate: rejects(new AppError('unauthenticated', 'No.')),
  });
  for (const page of openPages) assert.equal((await fetch(`${doors.url}${page}`)).status, 200, page);
  for (const path of [
    '/',
    '/v1',
    '/metrics',
    '/admin',
    '/debug',
    '/.env',
    '/favicon.ico',
    '/docs/index.html',
    '/documentation/json',
  ])
    assert.ok([401, 404].includes((await fetch(`${doors.url}${path}`)).status), path);

  const fill = (path: string, name: string) =>
    path
      .replace('{authority}', name)
      .replace(/\{(?:directory|id|alternate|certid)\}/g, name)
      .replace('{token}', name)
      .replace('{file}', path.includes('/ca/') ? '1.cer' : '1-0.crl')
      .replace('{rest}', 'MAA=');
  const knock = async (): Promise<void> => {
    for (const route of openRoutes) {
      const [method = '', path = ''] = route.split(' ');
      for (const name of [ids.authority, ids.root, 'missing', 'beta.missing']) {
        const reply = await fetch(`${server.url}${fill(path, name)}`, {
          method,
          ...(method === 'POST'
            ? { body: Buffer.from('300330013000', 'hex'), headers: { 'content-type': 'application/ocsp-request' } }
            : {}),
        });
        const text = await reply.text();
        assert.ok(reply.status < 500, `${route} ${name}: ${reply.status} ${text}`);
        assert.doesNotMatch(text, /PRIVATE KEY|TENANT|chy_/, route);
      }
    }
    for (const page of openPages) await fetch(`${server.url}${page}`);
  };
  // What is made once, when somebody asks for it first (the signer of OCSP answers), is there after one round.
  await knock();
  const view = viewStore(context, server.folder);
  const before = { state: view.digest(), events: view.requestEvents() };
  await knock();
  assert.deepEqual({ state: view.digest(), events: view.requestEvents() }, before);
});
