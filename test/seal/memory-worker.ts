import { once } from 'node:events';
import { openKeyring } from '#seal/keyring.ts';
import { openRootKey } from '#seal/root-key.ts';
import { openStore, testClock } from './support.ts';

/** Opens a keyring, uses it, and closes it, waiting for a line before each step. Run by memory.test.ts. */
const [, , file = '', keyFile = ''] = process.argv;
process.stdin.setEncoding('utf8');
const step = async (name: string): Promise<void> => {
  process.stdout.write(`${name}\n`);
  await once(process.stdin, 'data');
};

const store = await openStore(file);
const { rootKey } = await openRootKey({ store, file: keyFile });
const keyring = await openKeyring({ store, rootKey, clock: testClock() });
const place = { table: 'vaults', row: 'a', column: 'secret' };
for (let count = 0; count < 50; count++) {
  const opened = await keyring.open(place, keyring.seal(place, Buffer.from('x')));
  opened.fill(0);
}
await step('open');
keyring.close();
await step('closed');
await store.close();
process.exit(0);
