import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, symlinkSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  appError,
  type Backend,
  event,
  insertThing,
  openThings,
  postgresBackend,
  sqliteBackend,
  things,
  verifyChain,
} from './support.ts';

const script = fileURLToPath(new URL('./committing-process.ts', import.meta.url));

/** Starts a process that commits, and resolves when it has opened the store. */
async function startCommitting(url: string, prefix: string, units?: number) {
  const args = [
    '--disable-warning=ExperimentalWarning',
    script,
    url,
    prefix,
    ...(units === undefined ? [] : [String(units)]),
  ];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const acknowledged: string[] = [];
  const lines = createInterface(child.stdout);
  lines.on('line', (line) => acknowledged.push(line));
  const closed = once(lines, 'close');
  await once(lines, 'line');
  return {
    child,
    acknowledged: () => acknowledged.filter((line) => line !== 'open'),
    async seen(count: number) {
      while (acknowledged.length < count) await once(lines, 'line');
    },
    async ended() {
      await Promise.all([
        closed,
        child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined,
      ]);
    },
  };
}

async function killNow(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

for (const backend of [sqliteBackend(), postgresBackend()]) {
  describe(`the store on ${backend.kind}`, () => {
    before(() => backend.start());
    after(() => backend.stop());
    crashes(backend);
    if (backend.kind === 'sqlite') locks(backend);
  });
}

function crashes(backend: Backend): void {
  test('what was acknowledged survives kill -9 of the process, and the chain goes on', async () => {
    const url = await backend.newUrl();
    const acknowledged: string[] = [];
    for (const prefix of ['one-', 'two-', 'three-']) {
      const committing = await startCommitting(url, prefix);
      await committing.seen(200);
      await killNow(committing.child);
      await committing.ended();
      acknowledged.push(...committing.acknowledged());
    }
    const store = await openThings(url);
    const stored = new Set((await things(store)).map(({ id }) => id));
    assert.deepEqual(
      acknowledged.filter((id) => !stored.has(id)),
      [],
    );
    const events = new Set(await verifyChain(store));
    assert.deepEqual(events, stored, 'a unit is stored with its event or not at all');
    await store.commit([insertThing('after')], [event('after')]);
    await store.close();
  });
}

function locks(backend: Backend): void {
  test('a second process on the same file is refused while the first lives, and welcome after kill -9', async () => {
    const url = await backend.newUrl();
    const committing = await startCommitting(url, 'p');
    await assert.rejects(openThings(url), appError('wrong_state', /Another process/));
    // A refused attempt must not have let go of the lock of the first.
    await assert.rejects(openThings(url), appError('wrong_state', /Another process/));
    await killNow(committing.child);
    const store = await openThings(url);
    await store.close();
  });

  test('the same process cannot open a store twice, and a failed attempt does not free the file for others', async () => {
    const url = await backend.newUrl();
    const store = await openThings(url);
    await assert.rejects(openThings(url), appError('wrong_state', /Another process/));
    const other = spawn(process.execPath, [script, url, 'x', '1'], { stdio: ['ignore', 'ignore', 'ignore'] });
    const [code] = (await once(other, 'exit')) as [number];
    assert.notEqual(code, 0);
    assert.deepEqual(await things(store), []);
    await store.close();
    const again = await openThings(url);
    await again.close();
  });

  test('a symbolic link to the file is the same store', async () => {
    const url = await backend.newUrl();
    const file = url.slice('sqlite:'.length);
    const store = await openThings(url);
    symlinkSync(file, `${file}-link`);
    await assert.rejects(openThings(`sqlite:${file}-link`), appError('wrong_state', /Another process/));
    assert.ok(!existsSync(`${file}-link-lock`));
    await store.close();
  });
}
