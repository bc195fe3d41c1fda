import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectSocket, createServer, type Socket } from 'node:net';
import { after, before, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '#storage/postgres/connection.ts';
import { arrayLiteral, toDollars } from '#storage/postgres/sql.ts';
import { commitOrResolve, OutcomeUnknown } from '#storage/postgres/transaction.ts';
import type { Store } from '#storage/store.ts';
import { run } from '#test/postgres.ts';
import { appError, event, insertThing, openThings, postgresBackend, things, verifyChain } from './support.ts';

const backend = postgresBackend();
const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
before(() => backend.start());
after(() => backend.stop());

async function opened(context: TestContext, url: string): Promise<Store> {
  const store = await openThings(url);
  context.after(() => store.close());
  return store;
}

/** Waits until something holds; the test runner's own limit ends it when it never does. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(10);
}

/** Ends every connection of Chancery, as an administrator or a failover would. */
function endConnections(url: string): Promise<unknown> {
  return run(url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'chancery'`);
}

test('two nodes on one database write one chain without gap or fork', async (context) => {
  const url = await backend.newUrl();
  const nodes = [await opened(context, url), await opened(context, url)];
  await Promise.all(
    nodes.flatMap((node, which) =>
      Array.from({ length: 12 }, async (_, caller) => {
        for (let index = 0; index < 15; index++) {
          const id = `n${which}-${caller}-${index}`;
          await node.commit([insertThing(id)], [event(id)]);
        }
      }),
    ),
  );
  const [first] = nodes;
  assert.ok(first);
  const ids = await verifyChain(first);
  assert.equal(ids.length, 360);
  assert.deepEqual(new Set(ids), new Set((await things(first)).map(({ id }) => id)));
});

test('of callers on two nodes that take the same state, exactly one gets it', async (context) => {
  const url = await backend.newUrl();
  const nodes = [await opened(context, url), await opened(context, url)];
  const ids = Array.from({ length: 25 }, (_, index) => `once-${index}`);
  await nodes[0]?.commit(ids.map((id) => insertThing(id, { amount: 1 })));
  const taken = await Promise.all(
    nodes.flatMap((node, which) =>
      ids.map(async (id) => {
        const take = {
          kind: 'update',
          table: 'things',
          set: { amount: 0 },
          where: { id, amount: 1 },
          expect: 1,
        } as const;
        return node.commit([take], [event(`${id}-${which}`)]).then(
          () => id,
          (error: unknown) => void appError('conflict')(error),
        );
      }),
    ),
  );
  assert.deepEqual(taken.filter((id) => id !== undefined).sort(), ids.toSorted());
});

test('a node hears what another changed, and not of its own commits twice', async (context) => {
  const url = await backend.newUrl();
  const [one, two] = [await opened(context, url), await opened(context, url)];
  const heard = { things: 0, others: 0, own: 0 };
  two.watch(['things'], () => heard.things++);
  two.watch(['others'], () => heard.others++);
  one.watch(['things'], () => heard.own++);
  await one.commit([insertThing('a')]);
  await until(() => heard.things > 0);
  await two.commit([insertThing('b')]);
  await until(() => heard.own === 2);
  assert.deepEqual(heard, { things: 2, others: 0, own: 2 });
});

test('when the connection that listens ends, everybody is told, and later changes are heard again', async (context) => {
  const url = await backend.newUrl();
  const [one, two] = [await opened(context, url), await opened(context, url)];
  let heard = 0;
  two.watch(['others'], () => heard++);
  await endConnections(url);
  // Once when it ended, and once when there is another.
  await until(() => heard >= 2);
  const sofar = heard;
  await one.commit([{ kind: 'insert', table: 'others', row: { id: 'o', amount: 1 } }]);
  await until(() => heard > sofar);
});

test('connections that were ended are replaced, and no commit fails for it', async (context) => {
  const url = await backend.newUrl();
  const store = await opened(context, url);
  const write = async (caller: number): Promise<void> => {
    for (let index = 0; index < 60; index++) {
      const id = `c${caller}-${index}`;
      await store.commit([insertThing(id)], [event(id)]);
    }
  };
  const writers = Promise.all(Array.from({ length: 8 }, (_, caller) => write(caller)));
  for (let round = 0; round < 4; round++) {
    await sleep(20);
    await endConnections(url);
  }
  await writers;
  assert.equal((await verifyChain(store)).length, 480);
  assert.equal((await things(store)).length, 480);
});

test('what was acknowledged survives a crash of the server, and the same store goes on after it', async (context) => {
  const url = await backend.newUrl();
  const store = await opened(context, url);
  const acknowledged: string[] = [];
  const rejected: string[] = [];
  const stop = new AbortController();
  const write = async (caller: number): Promise<void> => {
    for (let index = 0; !stop.signal.aborted; index++) {
      const id = `s${caller}-${index}`;
      await store.commit([insertThing(id)], [event(id)]).then(
        () => acknowledged.push(id),
        async (error: unknown) => {
          appError('unavailable')(error);
          if (!(error instanceof OutcomeUnknown)) rejected.push(id);
          await sleep(20);
        },
      );
    }
  };
  const writers = Promise.all(Array.from({ length: 8 }, (_, caller) => write(caller)));
  await until(() => acknowledged.length > 100);
  await backend.server().restart('immediate');
  const sofar = acknowledged.length;
  await until(() => acknowledged.length > sofar + 100);
  stop.abort();
  await writers;
  const stored = new Set((await things(store)).map(({ id }) => id));
  assert.deepEqual(
    acknowledged.filter((id) => !stored.has(id)),
    [],
  );
  assert.deepEqual(
    rejected.filter((id) => stored.has(id)),
    [],
    'what was rejected is not stored',
  );
  assert.deepEqual(new Set(await verifyChain(store)), stored);
});

test('of a transaction that a crash has undone, even its number, the outcome is known', async (context) => {
  const url = await backend.newUrl();
  const broken = await connect(url, 'write', log);
  await broken.end();
  const asking = await connect(url, 'write', log);
  const connections = { connection: () => Promise.resolve(asking), discard: () => undefined };
  const store = await opened(context, url);
  await store.commit([insertThing('a')], [event('a')]);
  const head = await store.first<{ seq: number; hash: Buffer }>('SELECT seq, hash FROM audit_events', []);
  const [row] = await run(url, 'SELECT pg_current_xact_id()::text AS past');
  const past = String(row?.['past']);
  const future = String(Number(past) + 1_000_000);
  await assert.rejects(commitOrResolve(connections, broken, { number: future, head }), /closed/);
  // Another transaction has its number, and nothing of it is in the log.
  const elsewhere = { seq: 1, hash: Buffer.alloc(32) };
  await assert.rejects(commitOrResolve(connections, broken, { number: past, head: elsewhere }), /closed/);
  await commitOrResolve(connections, broken, { number: past, head });
  await asking.end();
});

test('while the server is away everything says unavailable, and afterwards works', async (context) => {
  const url = await backend.newUrl();
  const store = await opened(context, url);
  await store.commit([insertThing('before')]);
  await backend.server().pause();
  await assert.rejects(store.commit([insertThing('lost')], [event('lost')]), appError('unavailable'));
  await assert.rejects(store.ping(), appError('unavailable'));
  await assert.rejects(store.first('SELECT 1 AS one', []), appError('unavailable'));
  const kysely = store.tables<{ things: { id: string } }>();
  await assert.rejects(kysely.selectFrom('things').select('id').execute(), appError('unavailable'));
  await assert.rejects(openThings(url), appError('unavailable'));
  await backend.server().start();
  await store.commit([insertThing('after')], [event('after')]);
  await store.ping();
  assert.deepEqual(
    (await things(store)).map(({ id }) => id),
    ['after', 'before'],
  );
  assert.deepEqual(await verifyChain(store), ['after']);
});

/** A wire to the server that can be cut at a COMMIT: before it gets there, or after, before its answer gets back. */
async function cuttableWire(context: TestContext) {
  const sockets = new Set<Socket>();
  let cut: 'never' | 'before' | 'after' = 'never';
  let cuts = 0;
  const proxy = createServer((client) => {
    const server = connectSocket(backend.server().port, '127.0.0.1');
    let answering = true;
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => (client.destroy(), server.destroy()));
    }
    client.on('data', (data: Buffer) => {
      if (cut !== 'never' && data.includes('COMMIT\0')) {
        answering = false;
        cuts++;
        if (cut === 'before') client.destroy();
        cut = 'never';
      }
      if (!client.destroyed) server.write(data);
    });
    server.on('data', (data: Buffer) => (answering ? client.write(data) : client.destroy()));
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  context.after(() => {
    proxy.close();
    for (const socket of sockets) socket.destroy();
  });
  const address = proxy.address();
  assert.ok(typeof address === 'object' && address !== null);
  return {
    through: (url: string) => Object.assign(new URL(url), { port: String(address.port) }).href,
    cutAtCommit: (where: 'before' | 'after') => {
      cut = where;
    },
    cuts: () => cuts,
  };
}

for (const where of ['before', 'after'] as const) {
  test(`a commit whose wire is cut ${where} the server has it is stored exactly once, and resolves`, async (context) => {
    const wire = await cuttableWire(context);
    const store = await openThings(wire.through(await backend.newUrl()));
    await store.commit([insertThing('sum')]);
    const add = { kind: 'update', table: 'things', set: {}, add: { amount: 1 }, where: { id: 'sum' } } as const;
    for (let round = 1; round <= 3; round++) {
      wire.cutAtCommit(where);
      await Promise.all([store.commit([add], [event(`a${round}`)]), store.commit([add], [event(`b${round}`)])]);
      assert.equal(wire.cuts(), round);
      assert.equal((await things(store))[0]?.amount, 2 * round);
    }
    assert.deepEqual(await verifyChain(store), ['a1', 'b1', 'a2', 'b2', 'a3', 'b3']);
    await store.close();
  });
}

test('sessions that write wait for the disk whatever the database says, and sessions that read cannot write', async () => {
  const url = await backend.newUrl();
  const name = new URL(url).pathname.slice(1);
  await run(url, `ALTER DATABASE ${name} SET synchronous_commit = off`);
  await run(url, `ALTER DATABASE ${name} SET default_transaction_isolation = 'serializable'`);
  const writer = await connect(url, 'write', log);
  const settings = await writer.query<Record<string, string>>(
    `SELECT current_setting('synchronous_commit') AS durable, current_setting('transaction_isolation') AS isolation,
       current_setting('idle_in_transaction_session_timeout') AS idle`,
  );
  assert.deepEqual({ ...settings.rows[0] }, { durable: 'on', isolation: 'read committed', idle: '5s' });
  await writer.end();
  const reader = await connect(url, 'read', log);
  await assert.rejects(reader.query('CREATE TABLE t (a int)'), /read-only/);
  await reader.end();
});

test('a node that stands still in the middle of a transaction does not stop the others for ever', async (context) => {
  const url = await backend.newUrl();
  const store = await opened(context, url);
  const still = await connect(url, 'write', log);
  await still.query('BEGIN');
  await still.query('SELECT seq FROM audit_head WHERE id = 1 FOR UPDATE');
  await store.commit([insertThing('a')], [event('a')]);
  assert.deepEqual(await verifyChain(store), ['a']);
  await assert.rejects(still.query('COMMIT'));
});

test('what keeps a database from being opened is said, without its password', async () => {
  const url = new URL(await backend.newUrl());
  url.password = 'wrong-and-secret';
  await assert.rejects(openThings(url.href), (error: unknown) => {
    appError('unavailable', /password authentication failed/)(error);
    assert.ok(!String(error).includes('wrong-and-secret'));
    return true;
  });
  url.pathname = '/nothing_here';
  url.password = new URL(backend.server().url()).password;
  await assert.rejects(openThings(url.href), appError('unavailable', /nothing_here/));
});

test('a database that cannot hold every text is refused', async () => {
  const admin = backend.server().url();
  await run(admin, `CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' LOCALE_PROVIDER libc TEMPLATE template0`);
  await assert.rejects(openThings(backend.server().url('ascii')), appError('wrong_state', /UTF8/));
});

test('nodes that start together on an empty database make one schema', async (context) => {
  const url = await backend.newUrl();
  const nodes = await Promise.all([1, 2, 3, 4].map(() => opened(context, url)));
  await Promise.all(nodes.map((node, index) => node.commit([insertThing(`n${index}`)], [event(`n${index}`)])));
  assert.equal((await verifyChain(nodes[0] as Store)).length, 4);
});

test('placeholders are counted outside of strings and quoted names only', () => {
  assert.equal(
    toDollars(`a = ? AND b = '?' AND "c?" = ? AND d = 'it''s ?' AND e = ?`),
    `a = $1 AND b = '?' AND "c?" = $2 AND d = 'it''s ?' AND e = $3`,
  );
});

test('arrays are written in the form of PostgreSQL', () => {
  assert.equal(arrayLiteral([]), '{}');
  assert.equal(arrayLiteral([null, 1, -2]), '{NULL,1,-2}');
  assert.equal(arrayLiteral(['', 'NULL', 'a,b', '"', '\\']), String.raw`{"","NULL","a,b","\"","\\"}`);
  assert.equal(arrayLiteral([new Uint8Array([0, 255])]), String.raw`{"\\x00ff"}`);
});
