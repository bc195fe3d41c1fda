import type { Store, Unwatch } from './store.ts';

/**
 * What was read once and holds until a table changes. For the few things that every request needs (credentials,
 * policies, roles, authorities); anything larger is read from the store.
 *
 * A value that was being loaded while its table changed is given to whoever waits for it, but not kept.
 */
export interface Cache<Key, Value> {
  get(key: Key): Promise<Value>;
  /** The value if it is at hand, without waiting. */
  peek(key: Key): Value | undefined;
  close(): void;
}

/** `maxEntries` bounds memory; the oldest entry goes first. */
export function createCache<Key, Value>(
  store: Pick<Store, 'watch'>,
  tables: readonly string[],
  load: (key: Key) => Promise<Value>,
  maxEntries = 10_000,
): Cache<Key, Value> {
  const values = new Map<Key, Value>();
  let version = 0;
  const unwatch: Unwatch = store.watch(tables, () => {
    version++;
    values.clear();
  });
  return {
    peek: (key) => values.get(key),
    async get(key) {
      const known = values.get(key);
      if (known !== undefined) return known;
      const startedAt = version;
      const value = await load(key);
      if (version === startedAt && value !== undefined) {
        if (values.size >= maxEntries) values.delete(values.keys().next().value as Key);
        values.set(key, value);
      }
      return value;
    },
    close: unwatch,
  };
}
