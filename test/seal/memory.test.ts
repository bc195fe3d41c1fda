import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openKeyring } from '#seal/keyring.ts';
import { openRootKey, type RootKey } from '#seal/root-key.ts';
import { openStore, temporaryFolder, testClock } from './support.ts';

/** How often each needle stands in the writable memory of a process. */
function countInMemory(pid: number, needles: readonly Buffer[]): number[] {
  const counts = needles.map(() => 0);
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const [, from = '', to = ''] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
      if (from !== '') scanRange(memory, BigInt(`0x${from}`), BigInt(`0x${to}`), needles, counts);
    }
  } finally {
    closeSync(memory);
  }
  return counts;
}

const blockSize = 1 << 22;
const block = Buffer.alloc(blockSize);

function scanRange(memory: number, from: bigint, to: bigint, needles: readonly Buffer[], counts: number[]): void {
  for (let position = from; position < to; position += BigInt(blockSize - 64)) {
    const length = Math.min(blockSize, Number(to - position));
    let read = 0;
    try {
      read = readSync(memory, block, 0, length, position);
    } catch {
      return; // a range that the kernel does not let anybody read
    }
    for (const [index, needle] of needles.entries()) {
      for (let at = block.indexOf(needle); at >= 0 && at < read; at = block.indexOf(needle, at + 1))
        counts[index] = (counts[index] ?? 0) + 1;
    }
    block.fill(0, 0, read);
  }
}

// only Linux shows the memory of a process as a file; closing is tested on buffers everywhere (keyring.test.ts)
if (process.platform === 'linux') {
  test('after closing, the memory of the process holds neither the root key nor a data key', async (context) => {
    const folder = temporaryFolder(context);
    const [file, keyFile] = [join(folder, 'chancery.db'), join(folder, 'root.key')];
    const store = await openStore(file);
    const { rootKey } = await openRootKey({ store, file: keyFile });
    const needles = [Buffer.from(readFileSync(keyFile, 'utf8'), 'base64')];
    const spying: RootKey = {
      ...rootKey,
      wrap: (key, version) => {
        needles.push(Buffer.from(key));
        return rootKey.wrap(key, version);
      },
    };
    (await openKeyring({ store, rootKey: spying, clock: testClock() })).close();
    await store.close();
    assert.deepEqual(
      needles.map((needle) => needle.length),
      [32, 32],
    );

    const worker = fileURLToPath(new URL('memory-worker.ts', import.meta.url));
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', worker, file, keyFile], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    context.after(() => child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    const whileOpen = countInMemory(child.pid ?? 0, needles);
    assert.ok(
      whileOpen.every((count) => count > 0),
      'the search finds the keys while they are in use',
    );
    child.stdin.write('\n');
    await once(child.stdout, 'data');
    assert.deepEqual(countInMemory(child.pid ?? 0, needles), [0, 0]);
    child.stdin.write('\n');
    await once(child, 'exit');
  });
}
