import type { ChainLinker, LinkerModule } from './store.ts';

/** The linker that a module exports. */
export async function loadLinker({ url, name }: LinkerModule): Promise<ChainLinker> {
  const module = (await import(url)) as Readonly<Record<string, unknown>>;
  const linker = module[name];
  if (typeof linker !== 'function') throw new TypeError(`the module of the linker exports no function ${name}`);
  return linker as ChainLinker;
}
