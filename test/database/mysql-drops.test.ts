import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { gather, limited } from '#database/targets/mysql/gather.ts';

/** What revocations that come together share. */

test('what is asked for while a round is under way is in the next, in the order in which it came', async () => {
  const rounds: (readonly string[])[] = [];
  const turns = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const ask = gather<string, readonly string[]>({
    most: () => 3,
    width: 1,
    work: async (items) => {
      rounds.push(items);
      await turns[rounds.length - 1]?.promise;
      return items;
    },
  });
  const first = ask('a');
  await setImmediate();
  const others = ['b', 'c', 'd', 'e'].map(ask);
  turns[0]?.resolve();
  assert.deepEqual(await first, ['a']);
  turns[1]?.resolve();
  assert.deepEqual(await Promise.all(others), [['b', 'c', 'd'], ['b', 'c', 'd'], ['b', 'c', 'd'], ['e']]);
  assert.deepEqual(rounds, [['a'], ['b', 'c', 'd'], ['e']]);
  assert.deepEqual(await ask('f'), ['f'], 'after all were served the next is served at once');
});

test('a round that fails fails for those in it only', async () => {
  const ask = gather<string, string>({
    most: () => 2,
    width: 1,
    work: async (items) => {
      if (items.includes('bad')) throw new Error(`no ${items.join(' ')}`);
      return items.join(' ');
    },
  });
  const results = await Promise.allSettled(['a', 'b', 'bad', 'c', 'd'].map(ask));
  assert.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? result.value : String(result.reason))),
    ['a b', 'a b', 'Error: no bad c', 'Error: no bad c', 'd'],
  );
});

test('a turn that is refused is told to those who wait, and the next is served', async () => {
  let refusals = 1;
  const ask = gather<string, string>({
    most: () => 8,
    width: 1,
    turn: async () => {
      if (refusals-- > 0) throw new Error('not now');
    },
    work: async ([item = '']) => item,
  });
  await assert.rejects(ask('a'), { message: 'not now' });
  assert.equal(await ask('b'), 'b');
});

test('a round that lasts holds up nobody, and no more than so many last at once', async () => {
  const begun: string[] = [];
  const silent = Promise.withResolvers<void>();
  const ask = gather<string, string>({
    most: () => 1,
    width: 3,
    patience: 5,
    work: async ([item = '']) => {
      begun.push(item);
      if (item.startsWith('silent')) await silent.promise;
      return item;
    },
  });
  const lasting = [ask('silent 1'), ask('silent 2')];
  assert.equal(await ask('a'), 'a');
  assert.equal(await ask('b'), 'b');
  const third = ask('silent 3');
  const late = ask('c');
  while (begun.length < 5) await setTimeout(1);
  await setTimeout(50);
  assert.deepEqual(begun, ['silent 1', 'silent 2', 'a', 'b', 'silent 3']);
  silent.resolve();
  assert.deepEqual(await Promise.all([...lasting, third, late]), ['silent 1', 'silent 2', 'silent 3', 'c']);
  assert.equal(await ask('d'), 'd');
});

test('no more than so many are under way, and nobody overtakes', async () => {
  const few = limited(2);
  let running = 0;
  let most = 0;
  const order: number[] = [];
  await Promise.allSettled(
    Array.from({ length: 9 }, (_, index) =>
      few(async () => {
        most = Math.max(most, ++running);
        order.push(index);
        await setImmediate();
        running -= 1;
        if (index === 3) throw new Error('one fails');
      }),
    ),
  );
  assert.deepEqual([most, running, order], [2, 0, [0, 1, 2, 3, 4, 5, 6, 7, 8]]);
});
