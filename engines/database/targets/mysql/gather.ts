/**
 * Work that many ask for at once, done for all of them together: what comes while a round is under way waits for the next.
 * So a round always begins after each of its items was asked for.
 */
export interface Round<Item, Result> {
  /** Does the work for some items, at least one. What it throws is thrown to all who asked for them. */
  readonly work: (items: readonly Item[]) => Promise<Result>;
  /** Most items of the next round. */
  readonly most: () => number;
  /** Waited for before a round takes its items; what it throws is thrown to all who wait. */
  readonly turn?: () => Promise<void>;
}

/** The function that is returned gives the result of the round in which the item was. */
export function gather<Item, Result>({ work, most, turn }: Round<Item, Result>): (item: Item) => Promise<Result> {
  const waiting: { readonly item: Item; readonly done: PromiseWithResolvers<Result> }[] = [];
  let running = false;
  const run = async (): Promise<void> => {
    running = true;
    while (waiting.length > 0) {
      let round = waiting;
      try {
        await turn?.();
        round = waiting.splice(0, most());
        const result = await work(round.map(({ item }) => item));
        for (const { done } of round) done.resolve(result);
      } catch (error) {
        for (const { done } of round.splice(0)) done.reject(error);
      }
    }
    running = false;
  };
  return (item) => {
    const done = Promise.withResolvers<Result>();
    waiting.push({ item, done });
    if (!running) void run();
    return done.promise;
  };
}

/** At most `width` at a time; the others wait in the order in which they came. */
export function limited(width: number): <Result>(work: () => Promise<Result>) => Promise<Result> {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (work) => {
    // The place of one that ends passes to the next, so nobody overtakes.
    if (running >= width) await new Promise<void>((resolve) => void waiting.push(resolve));
    else running += 1;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
}
