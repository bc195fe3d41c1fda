import { localRootKey } from '#seal/root-key.ts';
import { openKeyring } from '#seal/keyring.ts';
import { planRewrap } from '#seal/rotation.ts';
import { openStore, testClock, vaultColumns } from './support.ts';

/** Seals values again in small pages, a line for every page, then waits to be killed. Run by rotation.test.ts. */
const [, , file = '', key = '', pages = '0'] = process.argv;
const store = await openStore(file);
const keyring = await openKeyring({ store, rootKey: localRootKey(Buffer.from(key, 'base64')), clock: testClock() });
let cursor: string | null = null;
for (let count = 0; count < Number(pages); count++) {
  const deps = { store, columns: vaultColumns };
  const page: Awaited<ReturnType<typeof planRewrap>> = await planRewrap(deps, keyring, cursor, 7);
  await store.commit(page.changes);
  process.stdout.write(`${page.rewrapped}\n`);
  cursor = page.next;
}
setInterval(() => undefined, 3_600_000);
