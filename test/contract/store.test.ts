import assert from 'node:assert/strict';
import { after, before, describe, test, type TestContext } from 'node:test';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import * as fc from 'fast-check';
import type { Change, Where } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import { openStore } from '#storage/open.ts';
import type { Migration, Store } from '#storage/store.ts';
import {
  appError,
  type Backend,
  event,
  insertThing,
  openThings,
  postgresBackend,
  sqliteBackend,
  type Tables,
  thingMigration,
  things,
  verifyChain,
} from '../storage/support.ts';
import { linker, pickyLinker } from '../storage/linker.ts';
import { expectedOutcome, type Model, unitArbitrary } from '../storage/store-model.ts';

for (const backend of [sqliteBackend(), postgresBackend()]) {
  describe(`the store on ${backend.kind}`, () => {
    before(() => backend.start());
    after(() => backend.stop());
    commits(backend);
    guards(backend);
    conditions(backend);
    values(backend);
    watches(backend);
    schema(backend);
    closes(backend);
    interleaving(backend);
  });
}

/** A store of its own for one test. */
async function freshStore(context: TestContext, backend: Backend): Promise<Store> {
  const store = await openThings(await backend.newUrl());
  context.after(() => store.close());
  return store;
}

function commits(backend: Backend): void {
  test('what was committed is there for every kind of read', async (context) => {
    const store = await freshStore(context, backend);
    await store.commit([insertThing('a', { amount: 7 })], [event('aud_1')]);
    assert.equal((await store.first<{ amount: number }>('SELECT amount FROM things WHERE id = ?', ['a']))?.amount, 7);
    assert.deepEqual(
      (await things(store)).map(({ id }) => id),
      ['a'],
    );
    const rows = await store.tables<Tables>().selectFrom('things').select('amount').where('id', '=', 'a').execute();
    assert.deepEqual(
      rows.map(({ amount }) => amount),
      [7],
    );
    assert.equal(await store.first('SELECT id FROM things WHERE id = ?', ['b']), undefined);
  });

  test('a commit of nothing is no commit', async (context) => {
    const store = await freshStore(context, backend);
    await store.commit([]);
    assert.deepEqual(await verifyChain(store), []);
  });

  test('a unit whose last change fails leaves nothing, neither rows nor events', async (context) => {
    const store = await freshStore(context, backend);
    await store.commit([insertThing('taken')]);
    const unit = [insertThing('x'), { ...insertThing('y') }, insertThing('taken')];
    await assert.rejects(store.commit(unit, [event('aud_lost')]), appError('conflict'));
    assert.deepEqual(
      (await things(store)).map(({ id }) => id),
      ['taken'],
    );
    assert.deepEqual(await verifyChain(store), []);
  });

  test('a unit that fails takes no other unit of its batch with it', async (context) => {
    const store = await freshStore(context, backend);
    await store.commit([insertThing('taken')]);
    const results = await Promise.allSettled(
      Array.from({ length: 60 }, (_, index) => {
        const id = `t${String(index).padStart(2, '0')}`;
        const second = index % 3 === 0 ? [insertThing('taken')] : [];
        return store.commit([insertThing(id), ...second], [event(`aud_${id}`)]);
      }),
    );
    const good = results.flatMap(({ status }, index) => (status === 'fulfilled' ? [index] : []));
    assert.deepEqual(
      good,
      Array.from({ length: 60 }, (_, index) => index).filter((index) => index % 3 !== 0),
    );
    const stored = (await things(store)).map(({ id }) => id).filter((id) => id !== 'taken');
    assert.deepEqual(
      stored,
      good.map((index) => `t${String(index).padStart(2, '0')}`),
    );
    assert.deepEqual(
      await verifyChain(store),
      stored.map((id) => `aud_${id}`),
    );
  });

  test('units are applied in the order of their commits', async (context) => {
    const store = await freshStore(context, backend);
    await store.commit([insertThing('counter')]);
    const steps = Array.from({ length: 100 }, (_, amount) =>
      store.commit([
        { kind: 'update', table: 'things', set: { amount: amount + 1 }, where: { id: 'counter', amount }, expect: 1 },
      ]),
    );
    await Promise.all(steps);
    assert.equal((await things(store))[0]?.amount, 100);
  });

  test('an insert after an update of its table stays after it', async (context) => {
    const store = await freshStore(context, backend);
    const all: Change = { kind: 'update', table: 'things', set: {}, add: { amount: 1 }, where: { namespace: 'root' } };
    await Promise.all([
      store.commit([insertThing('a')]),
      store.commit([all, insertThing('b')]),
      store.commit([insertThing('c'), all]),
      store.commit([{ kind: 'delete', table: 'things', where: { id: 'a' }, expect: 1 }]),
      store.commit([insertThing('a', { amount: 10 })]),
    ]);
    assert.deepEqual(
      (await things(store)).map(({ id, amount }) => [id, amount]),
      [
        ['a', 10],
        ['b', 1],
        ['c', 1],
      ],
    );
  });

  test('counters are added to in place by callers that know nothing of each other', async (context) => {
    const store = await freshStore(context, backend);
    await store.commit([insertThing('sum')]);
    await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        if (index % 2 === 0) await nextTurn();
        await store.commit([
          {
            kind: 'update',
            table: 'things',
            set: { name: 'sum' },
            add: { amount: index },
            where: { id: 'sum' },
            expect: 1,
          },
        ]);
      }),
    );
    assert.equal((await things(store))[0]?.amount, 19_900);
  });

  test('events are chained without gap across concurrent commits and failures', async (context) => {
    const store = await freshStore(context, backend);
    await store.commit([insertThing('taken')]);
    const results = await Promise.allSettled(
      Array.from({ length: 150 }, async (_, index) => {
        await sleep(index % 7);
        const changes = index % 5 === 0 ? [insertThing('taken')] : [];
        await store.commit(changes, [event(`aud_${index}_a`), event(`aud_${index}_b`)]);
      }),
    );
    const kept = results.filter(({ status }) => status === 'fulfilled').length;
    assert.equal(kept, 120);
    assert.equal((await verifyChain(store)).length, 240);
  });

  test('an event that cannot be linked fails its own unit only', async (context) => {
    const url = await backend.newUrl();
    const store = await openStore({
      url,
      migrations: [thingMigration],
      linker: pickyLinker,
    });
    context.after(() => store.close());
    const results = await Promise.allSettled([
      store.commit([insertThing('a')], [event('aud_a')]),
      store.commit([insertThing('b')], [event('aud_bad')]),
      store.commit([insertThing('c')], [event('aud_c')]),
    ]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    assert.deepEqual(await verifyChain(store), ['aud_a', 'aud_c']);
    assert.deepEqual(
      (await things(store)).map(({ id }) => id),
      ['a', 'c'],
    );
  });
}

function guards(backend: Backend): void {
  const mine = () => new AppError('already_exists', 'This thing exists.');

  test('a taken key gives the error of the insert, or conflict', async (context) => {
    const store = await freshStore(context, backend);
    await store.commit([insertThing('a')]);
    await assert.rejects(
      store.commit([{ ...insertThing('a'), taken: mine }]),
      appError('already_exists', /This thing/),
    );
    await assert.rejects(store.commit([insertThing('a')]), appError('conflict'));
    await assert.rejects(store.commit([insertThing('b', { name: 'a' })]), appError('conflict'));
  });

  test('of several inserts into one table, the one whose key is taken gives the error', async (context) => {
    const store = await freshStore(context, backend);
    await store.commit([insertThing('b')]);
    const other = () => new AppError('refused', 'Not this one.');
    await assert.rejects(
      store.commit([
        { ...insertThing('a'), taken: other },
        { ...insertThing('b'), taken: mine },
        { ...insertThing('c'), taken: other },
      ]),
      appError('already_exists'),
    );
    assert.deepEqual(
      (await things(store)).map(({ id }) => id),
      ['b'],
    );
  });

  test('of two units that insert the same key at once, the first wins', async (context) => {
    const store = await freshStore(context, backend);
    const results = await Promise.allSettled([
      store.commit([insertThing('a', { amount: 1 })], [event('aud_1')]),
      store.commit([{ ...insertThing('a', { amount: 2 }), taken: mine }], [event('aud_2')]),
    ]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected'],
    );
    assert.equal((await things(store))[0]?.amount, 1);
    assert.deepEqual(await verifyChain(store), ['aud_1']);
  });

  test('an update or delete that does not touch what it expects gives its error, or conflict', async (context) => {
    const store = await freshStore(context, backend);
    await store.commit([insertThing('a'), insertThing('b')]);
    const update = { kind: 'update', table: 'things', set: { amount: 9 }, where: { namespace: 'root' } } as const;
    const gone = () => new AppError('not_found', 'No such thing.');
    await assert.rejects(store.commit([{ ...update, expect: 1 }]), appError('conflict'));
    await assert.rejects(store.commit([{ ...update, expect: 0, otherwise: gone }]), appError('not_found'));
    const nobody = { kind: 'delete', table: 'things', where: { id: 'z' } } as const;
    await assert.rejects(store.commit([{ ...nobody, expect: 1, otherwise: gone }]), appError('not_found'));
    assert.deepEqual(
      (await things(store)).map(({ amount }) => amount),
      [0, 0],
    );
    await store.commit([{ ...update, expect: 2 }, nobody]);
    assert.deepEqual(
      (await things(store)).map(({ amount }) => amount),
      [9, 9],
    );
  });

  test('of callers that take the same state at once, exactly one gets it', async (context) => {
    const store = await freshStore(context, backend);
    await store.commit([insertThing('once', { amount: 1 })]);
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, async (_, index) => {
        if (index % 2 === 0) await nextTurn();
        await store.commit(
          [{ kind: 'update', table: 'things', set: { amount: 0 }, where: { id: 'once', amount: 1 }, expect: 1 }],
          [event(`aud_${index}`)],
        );
      }),
    );
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
    assert.equal((await verifyChain(store)).length, 1);
  });
}

function conditions(backend: Backend): void {
  const cases: readonly [string, Where, string[]][] = [
    ['a value', { name: 'one' }, ['1']],
    ['null', { name: null }, ['3']],
    ['bytes', { data: new Uint8Array([1, 2]) }, ['2']],
    ['several columns', { namespace: 'root', amount: 20 }, ['2']],
    ['one of several texts', { id: ['1', '4', 'nobody'] }, ['1', '4']],
    ['one of several texts with quotes', { name: [`it's "4" \\ {4}`, 'one'] }, ['1', '4']],
    ['one of several numbers', { amount: [10, 40] }, ['1', '4']],
    ['one of several byte strings', { data: [new Uint8Array([1, 2]), new Uint8Array([9])] }, ['2', '4']],
    ['one of several or null', { name: ['one', null] }, ['1', '3']],
    ['one of none', { id: [] }, []],
    ['only null among several', { name: [null] }, ['3']],
    ['less', { amount: { lt: 20 } }, ['1']],
    ['at most', { amount: { lte: 20 } }, ['1', '2']],
    ['more', { amount: { gt: 30 } }, ['4']],
    ['between', { amount: { gte: 20, lt: 40 } }, ['2', '3']],
    ['another value, where null is another one too', { name: { not: 'one' } }, ['2', '3', '4']],
    ['not null', { name: { not: null } }, ['1', '2', '4']],
  ];
  test('conditions choose rows: equal, one of, compared, null', async (context) => {
    const store = await freshStore(context, backend);
    await store.commit([
      insertThing('1', { name: 'one', amount: 10 }),
      insertThing('2', { name: 'two', amount: 20, data: new Uint8Array([1, 2]) }),
      insertThing('3', { name: null, amount: 30 }),
      insertThing('4', { name: `it's "4" \\ {4}`, amount: 40, data: new Uint8Array([9]) }),
    ]);
    for (const [title, where, expected] of cases) {
      await store.commit([{ kind: 'update', table: 'things', set: {}, add: { amount: 1000 }, where }]);
      const chosen = (await things(store)).filter(({ amount }) => amount >= 1000);
      assert.deepEqual(
        chosen.map(({ id }) => id),
        expected,
        title,
      );
      const undo: Change = { kind: 'update', table: 'things', set: {}, add: { amount: -1000 }, where };
      await store.commit([{ ...undo, where: { amount: { gte: 1000 } }, expect: expected.length }]);
    }
  });

  test('a condition that says nothing, or a value that no column holds, is refused', async (context) => {
    const store = await freshStore(context, backend);
    await store.commit([insertThing('a')]);
    const missing = undefined as unknown as string;
    const wrong: Change[] = [
      { kind: 'delete', table: 'things', where: {} },
      { kind: 'delete', table: 'things', where: { id: missing } },
      { kind: 'delete', table: 'things', where: { amount: {} } },
      { kind: 'delete', table: 'things', where: { id: ['b', missing] } },
      { kind: 'delete', table: 'things', where: { amount: { like: 3 } as object } },
      { kind: 'delete', table: 'things', where: { 'id" = id OR "id': 'x' } },
      { kind: 'update', table: 'things', set: { amount: 1.5 }, where: { id: 'a' } },
      { kind: 'update', table: 'things', set: { amount: 2 ** 53 }, where: { id: 'a' } },
      { kind: 'update', table: 'things', set: { amount: true as unknown as number }, where: { id: 'a' } },
      insertThing('b', { name: missing }),
      { kind: 'insert', table: 'things; DROP TABLE things', row: { id: 'c' } },
    ];
    for (const change of wrong) await assert.rejects(store.commit([change]), TypeError);
    await assert.rejects(store.commit([insertThing('b', { amount: 'many' })]));
    await assert.rejects(store.commit([insertThing('b', { unknown: 1 })]));
    await assert.rejects(store.commit([insertThing('b', { amount: null })]));
    assert.deepEqual(
      (await things(store)).map(({ id, amount }) => [id, amount]),
      [['a', 0]],
    );
  });
}

function values(backend: Backend): void {
  test('every text, number and byte string comes back as it was', async (context) => {
    const store = await freshStore(context, backend);
    let count = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: 'grapheme', maxLength: 40 }).filter((text) => !text.includes('\0')),
        fc.maxSafeInteger(),
        fc.option(fc.uint8Array({ maxLength: 300 })),
        async (name, amount, data) => {
          const id = `v${++count}`;
          // Two rows at once, so that the way of a batch is taken as well as that of a single unit.
          await Promise.all([
            store.commit([insertThing(id, { namespace: id, name, amount, data })]),
            store.commit([insertThing(`${id}-null`, { name: null, amount })]),
          ]);
          const row = await store.first<{ name: string; amount: number; data: Uint8Array | null }>(
            'SELECT name, amount, data FROM things WHERE id = ?',
            [id],
          );
          assert.equal(row?.name, name);
          assert.equal(row.amount, amount);
          assert.deepEqual(row.data && [...row.data], data && [...data]);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('text sorts by its bytes, whatever the locale of the database', async (context) => {
    const store = await freshStore(context, backend);
    const ids = ['B', 'a', 'Z', 'é', 'z', '_', '-', '1', 'aa', 'a-b', 'ab'];
    await store.commit(ids.map((id) => insertThing(id)));
    const sorted = (await things(store)).map(({ id }) => id);
    assert.deepEqual(
      sorted,
      ids.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
    );
    const later = await store.all<{ id: string }>('SELECT id FROM things WHERE id > ? ORDER BY id', ['a']);
    assert.deepEqual(
      later.map(({ id }) => id),
      sorted.slice(sorted.indexOf('a') + 1),
    );
  });

  test('counts and sums are numbers, comparisons are 0 or 1', async (context) => {
    const store = await freshStore(context, backend);
    await store.commit([insertThing('a', { amount: 3 }), insertThing('b', { amount: 4 })]);
    const row = await store.first<Record<string, unknown>>(
      'SELECT COUNT(*) AS count, SUM(amount) AS sum, MIN(amount) = 3 AS three FROM things',
      [],
    );
    assert.deepEqual({ ...row }, { count: 2, sum: 7, three: 1 });
  });

  test('a question mark in a string or a quoted name is no parameter', async (context) => {
    const store = await freshStore(context, backend);
    await store.commit([insertThing('a', { name: "what's ?" })]);
    const row = await store.first<Record<string, unknown>>(
      `SELECT id AS "id?" FROM things WHERE name = 'what''s ?' AND id = ?`,
      ['a'],
    );
    assert.deepEqual({ ...row }, { 'id?': 'a' });
  });

  test('reads cannot write, by whatever way', async (context) => {
    const store = await freshStore(context, backend);
    await store.commit([insertThing('a')]);
    const insert = `INSERT INTO others (id, amount) VALUES ('x', 1)`;
    const changing = [insert, `${insert} RETURNING id`, 'DELETE FROM things', 'UPDATE things SET amount = 5'];
    for (const sql of [...changing, 'DROP TABLE things', 'CREATE TABLE more (id TEXT)']) {
      await assert.rejects(store.all(sql, []), sql);
      await assert.rejects(store.first(sql, []), sql);
    }
    const kysely = store.tables<Tables>();
    await assert.rejects(kysely.insertInto('others').values({ id: 'x', amount: 1 }).execute());
    await assert.rejects(kysely.updateTable('things').set({ amount: 5 }).execute());
    await assert.rejects(kysely.deleteFrom('things').execute());
    await assert.rejects(kysely.transaction().execute(async () => undefined));
    assert.deepEqual(
      (await things(store)).map(({ amount }) => amount),
      [0],
    );
    assert.deepEqual(await store.all('SELECT id FROM others', []), []);
  });
}

function watches(backend: Backend): void {
  test('watchers hear of their tables, once a commit and before the caller goes on', async (context) => {
    const store = await freshStore(context, backend);
    const heard: string[] = [];
    store.watch(['things', 'others'], () => heard.push('either'));
    const unwatch = store.watch(['others'], () => heard.push('others'));
    store.watch(['audit_events'], () => heard.push('audit'));
    await store.commit([insertThing('a')]);
    assert.deepEqual(heard.splice(0), ['either']);
    await store.commit([insertThing('b'), { kind: 'insert', table: 'others', row: { id: 'o', amount: 1 } }]);
    assert.deepEqual(heard.splice(0).sort(), ['either', 'others']);
    unwatch();
    await store.commit([{ kind: 'delete', table: 'others', where: { id: 'o' } }], [event('aud_1')]);
    assert.deepEqual(heard.splice(0).sort(), ['audit', 'either']);
    await assert.rejects(store.commit([insertThing('a')]));
    assert.deepEqual(heard, []);
  });

  test('a watcher that throws disturbs neither the commit nor other watchers', async (context) => {
    const store = await freshStore(context, backend);
    let heard = 0;
    store.watch(['things'], () => {
      throw new Error('not my day');
    });
    store.watch(['things'], () => heard++);
    await store.commit([insertThing('a')]);
    assert.equal(heard, 1);
  });
}

function schema(backend: Backend): void {
  const second: Migration = {
    area: 'things',
    number: 2,
    title: 'colours',
    statements: ['ALTER TABLE things ADD COLUMN colour TEXT', 'CREATE TABLE colours (name TEXT PRIMARY KEY)'],
  };

  test('a store opened again has what it had, and its chain goes on', async () => {
    const url = await backend.newUrl();
    const first = await openThings(url);
    await first.commit([insertThing('a')], [event('aud_1')]);
    await first.close();
    const again = await openThings(url);
    await again.commit([insertThing('b')], [event('aud_2')]);
    assert.deepEqual(
      (await things(again)).map(({ id }) => id),
      ['a', 'b'],
    );
    assert.deepEqual(await verifyChain(again), ['aud_1', 'aud_2']);
    await again.close();
  });

  test('a later version adds its migrations and keeps the rows', async () => {
    const url = await backend.newUrl();
    const old = await openThings(url);
    await old.commit([insertThing('a')]);
    await old.close();
    const later = await openThings(url, [second]);
    await later.commit([insertThing('b', { colour: 'red' })]);
    const rows = await later.all<{ colour: string | null }>('SELECT colour FROM things ORDER BY id', []);
    assert.deepEqual(
      rows.map(({ colour }) => colour),
      [null, 'red'],
    );
    await later.close();
  });

  test('a schema that is newer than this version is refused, and stays as it is', async () => {
    const url = await backend.newUrl();
    await (await openThings(url, [second])).close();
    await assert.rejects(openThings(url), appError('wrong_state', /things 2/));
    await assert.rejects(openStore({ url, linker, migrations: [] }), appError('wrong_state', /no area things/));
    await (await openThings(url, [second])).close();
  });

  test('a migration that fails leaves nothing of itself', async () => {
    const url = await backend.newUrl();
    await (await openThings(url)).close();
    const broken = { ...second, statements: [...second.statements, 'CREATE TABLE colours (again TEXT)'] };
    await assert.rejects(openThings(url, [broken]));
    await (await openThings(url, [second])).close();
  });

  test('migrations with a gap are a mistake', async () => {
    const url = await backend.newUrl();
    await assert.rejects(openThings(url, [{ ...second, number: 3 }]), TypeError);
  });
}

function closes(backend: Backend): void {
  test('closing waits for what was given, and refuses what comes later', async () => {
    const url = await backend.newUrl();
    const store = await openThings(url);
    await store.ping();
    const given = Array.from({ length: 30 }, (_, index) =>
      store.commit([insertThing(`c${index}`)], [event(`a${index}`)]),
    );
    await Promise.all([store.close(), store.close()]);
    await store.close();
    await Promise.all(given);
    await assert.rejects(store.commit([insertThing('late')]), appError('unavailable'));
    const again = await openThings(url);
    assert.equal((await things(again)).length, 30);
    assert.equal((await verifyChain(again)).length, 30);
    await again.close();
  });
}

function interleaving(backend: Backend): void {
  test('any units given at once end as if they had come one by one', async (context) => {
    const store = await freshStore(context, backend);
    let round = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(unitArbitrary, { minLength: 1, maxLength: 12 }), async (units) => {
        const namespace = `r${++round}`;
        const model: Model = new Map();
        const expected = units.map((unit) => expectedOutcome(model, unit));
        const results = await Promise.allSettled(
          units.map((unit, index) => store.commit(unit.changes(namespace), [event(`aud_${namespace}_${index}`)])),
        );
        assert.deepEqual(
          results.map(({ status }) => status === 'fulfilled'),
          expected,
        );
        const rows = await store.all<{ name: string; amount: number }>(
          'SELECT name, amount FROM things WHERE namespace = ? ORDER BY name',
          [namespace],
        );
        assert.deepEqual(
          rows.map(({ name, amount }) => [name, amount]),
          [...model].sort(([a], [b]) => (a < b ? -1 : 1)),
        );
      }),
      { numRuns: 80 },
    );
    await verifyChain(store);
  });
}
