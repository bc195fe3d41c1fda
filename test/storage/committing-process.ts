import { event, insertThing, openThings } from './support.ts';

/**
 * A process of its own that commits for ever and prints each id after its commit has resolved, to be killed:
 * `node committing-process.ts <url> <prefix> [units]`. With a number of units it ends by itself.
 */
const [url = '', prefix = '', units = 'Infinity'] = process.argv.slice(2);
const store = await openThings(url);
let next = 0;
const commitOn = async (): Promise<void> => {
  while (next < Number(units)) {
    const id = `${prefix}${next++}`;
    await store.commit([insertThing(id)], [event(id)]);
    process.stdout.write(`${id}\n`);
  }
};
process.stdout.write('open\n');
await Promise.all(Array.from({ length: 16 }, commitOn));
await store.close();
