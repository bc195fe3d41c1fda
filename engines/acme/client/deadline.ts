/** What an authority or a DNS provider may keep a step waiting for, all its requests together. */

export class TooLate extends Error {
  override readonly name = 'TooLate';

  constructor(ms: number) {
    super(`This step was not done within ${Math.round(ms / 1000)} s.`);
  }
}

/** Ends what was begun by way of the signal, and waits no longer whether that heeds it or not. Throws `TooLate`. */
export async function withDeadline<Result>(
  ms: number,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const ending = new AbortController();
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const late = new TooLate(ms);
    reject(late);
    ending.abort(late);
  }, ms);
  try {
    return await Promise.race([work(ending.signal), promise]);
  } finally {
    clearTimeout(timer);
  }
}
