/**
 * Work that many ask for at once, done for all of them together: what comes while a round is under way waits for the next.
 * So a round always begins after each of its items was asked for. One that lasts, as on a connection that has fallen
 * silent, does not hold up the others: after `patience` the next begins beside it.
 */
export interface Round<Item, Result> {
  /** Does the work for some items, at least one. What it throws is thrown to all who asked for them. */
  readonly work: (items: readonly Item[]) => Promise<Result>;
  /** Most items of the next round. */
  readonly most: () => number;
  /** Waited for before a round takes its items; what it throws is thrown to all who wait. */
  readonly turn?: () => Promise<void>;
  /** Most rounds at once, when they last. */
  readonly width: number;
  /** Milliseconds. */
  readonly patience?: number;
}

/** The function that is returned gives the result of the round in which the item was. */
export function gather<Item, Result>(round: Round<Item, Result>): (item: Item) => Promise<Result> {
  const { work, most, turn, width, patience = 500 } = round;
  const waiting: { readonly item: Item; readonly done: PromiseWithResolvers<Result> }[] = [];
  let loops = 0;
  /** The loop that serves what comes; undefined when there is none, or its round lasts. */
  let serving: object | undefined;
  const serve = async (): Promise<void> => {
    let taken = waiting;
    try {
      await turn?.();
      taken = waiting.splice(0, most());
      const result = await work(taken.map(({ item }) => item));
      for (const { done } of taken) done.resolve(result);
    } catch (error) {
      for (const { done } of taken.splice(0)) done.reject(error);
    }
  };
  const loop = async (): Promise<void> => {
    const me = {};
    serving = me;
    loops += 1;
    while (waiting.length > 0 && (serving ??= me) === me) {
      const timer = setTimeout(() => {
        if (serving === me) serving = undefined;
        begin();
      }, patience);
      await serve();
      clearTimeout(timer);
    }
    loops -= 1;
    if (serving === me) serving = undefined;
  };
  const begin = (): void => {
    if (waiting.length > 0 && serving === undefined && loops < width) void loop();
  };
  return (item) => {
    const done = Promise.withResolvers<Result>();
    waiting.push({ item, done });
    begin();
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
