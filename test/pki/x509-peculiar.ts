/**
 * `@peculiar/x509` as an independent encoder to compare with. Its container (tsyringe) wants the metadata part of
 * `Reflect`, of which it uses these functions only; so no polyfill package is needed.
 */
const metadata = new WeakMap<object, Map<unknown, unknown>>();

function getOwnMetadata(key: unknown, target: object): unknown {
  return metadata.get(target)?.get(key);
}

function defineMetadata(key: unknown, value: unknown, target: object): void {
  const entries = metadata.get(target) ?? new Map<unknown, unknown>();
  metadata.set(target, entries.set(key, value));
}

Object.assign(Reflect, {
  getOwnMetadata,
  getMetadata: getOwnMetadata,
  hasOwnMetadata: (key: unknown, target: object) => getOwnMetadata(key, target) !== undefined,
  defineMetadata,
  metadata: (key: unknown, value: unknown) => (target: object) => {
    defineMetadata(key, value, target);
  },
});

export const peculiar = await import('@peculiar/x509');
