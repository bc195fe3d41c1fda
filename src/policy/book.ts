import { createCache } from '#storage/cache.ts';
import type { Store } from '#storage/store.ts';
import { compiledBuiltIns } from './built-in.ts';
import { type CompiledPolicy, compilePolicy } from './compile.ts';
import type { Rule } from './rules.ts';

/** The policies of all namespaces, compiled once and kept until the table changes. */
export interface PolicyBook {
  /** The policy of this name, or null when the namespace has none. Rejects when what is stored is damaged. */
  find(namespace: string, name: string): Promise<CompiledPolicy | null>;
  /** The same without waiting: undefined when it must be read first. */
  peek(namespace: string, name: string): CompiledPolicy | null | undefined;
}

export function createPolicyBook(store: Store): PolicyBook {
  const cache = createCache<string, CompiledPolicy | null>(store, ['policies'], async (key) => {
    // Neither part can hold a slash: both are names (core/ids.ts).
    const [namespace = '', name = ''] = key.split('/');
    const row = await store.first<{ rules: string }>('SELECT rules FROM policies WHERE namespace = ? AND name = ?', [
      namespace,
      name,
    ]);
    return row === undefined ? null : compilePolicy(name, JSON.parse(row.rules) as Rule[]);
  });
  return {
    find: async (namespace, name) => compiledBuiltIns.get(name) ?? cache.get(`${namespace}/${name}`),
    peek: (namespace, name) => compiledBuiltIns.get(name) ?? cache.peek(`${namespace}/${name}`),
  };
}
