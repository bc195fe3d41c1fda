/**
 * Work that goes on at the same time and waits for others: validations of the server, orders of the client. A responder or
 * an authority that hangs takes its whole time, so the places are shared: whoever asks gets one as long as fewer are
 * held for the same namespace than are free, and within what that leaves the same holds for the two narrower keys.
 * Alone, an asker gets a quarter of all; however much others hold, something is left for who holds nothing.
 */
export interface Shares {
  /** Whether a place was taken; not when what is free is kept for others. */
  take(asker: Asker): boolean;
  give(asker: Asker): void;
  /** Those who hold least first, by namespace, then role, then account; equals in the order that they came in. */
  fairly<Some extends Asker>(askers: readonly Some[]): Some[];
}

/** For whom the work is. The server has its words here; of an order at an outside authority see client/worker.ts. */
export interface Asker {
  readonly namespace: string;
  readonly role: string;
  readonly account: string;
}

export function createShares(places: number): Shares {
  const held = new Map<string, number>();
  let taken = 0;
  const count = (key: string): number => held.get(key) ?? 0;
  const add = (asker: Asker, by: 1 | -1): void => {
    taken += by;
    for (const key of keysOf(asker)) {
      const next = count(key) + by;
      if (next === 0) held.delete(key);
      else held.set(key, next);
    }
  };
  return {
    take(asker) {
      let room = places - taken;
      for (const key of keysOf(asker)) {
        if (count(key) >= room) return false;
        room -= count(key);
      }
      add(asker, 1);
      return true;
    },
    give: (asker) => add(asker, -1),
    fairly(askers) {
      const weighed = askers.map((asker) => ({ asker, weights: keysOf(asker).map(count) }));
      return weighed.toSorted((left, right) => compare(left.weights, right.weights)).map(({ asker }) => asker);
    },
  };
}

/** Neither a namespace nor a role has a slash in its name. */
function keysOf({ namespace, role, account }: Asker): [string, string, string] {
  return [namespace, `${namespace}/${role}`, `${namespace}/${role}/${account}`];
}

function compare(left: readonly number[], right: readonly number[]): number {
  const index = left.findIndex((weight, at) => weight !== right[at]);
  return index < 0 ? 0 : (left[index] ?? 0) - (right[index] ?? 0);
}
