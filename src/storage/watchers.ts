import type { StoreLog, Unwatch } from '#storage/store.ts';

/** Who wants to hear of which table. */
export interface Watchers {
  readonly watch: (tables: readonly string[], changed: () => void) => Unwatch;
  /** Tells everyone who watches one of the tables, each once. */
  readonly changed: (tables: Iterable<string>) => void;
  /** Tells everyone: something may have been missed. */
  readonly changedUnknown: () => void;
}

export function createWatchers(log: StoreLog): Watchers {
  const byTable = new Map<string, Set<() => void>>();
  const tell = (watcher: () => void): void => {
    try {
      watcher();
    } catch (error) {
      log.error({ err: error }, 'a watcher of the store threw');
    }
  };
  return {
    watch(tables, changed) {
      // A function of its own per call, so that the same callback may watch twice and be let go once.
      const watcher = (): void => changed();
      for (const table of tables) {
        const watchers = byTable.get(table);
        if (watchers) watchers.add(watcher);
        else byTable.set(table, new Set([watcher]));
      }
      return () => {
        for (const table of tables) byTable.get(table)?.delete(watcher);
      };
    },
    changed(tables) {
      const watchers = new Set<() => void>();
      for (const table of tables) for (const watcher of byTable.get(table) ?? []) watchers.add(watcher);
      for (const watcher of watchers) tell(watcher);
    },
    changedUnknown() {
      for (const watcher of new Set([...byTable.values()].flatMap((each) => [...each]))) tell(watcher);
    },
  };
}
