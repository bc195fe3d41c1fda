import { setImmediate as nextTurn } from 'node:timers/promises';

/** How often `work` runs in a second, on this thread. Rounds of `round` between two looks at the clock. */
export function syncRate(seconds: number, round: number, work: () => void): number {
  const started = performance.now();
  let done = 0;
  while (performance.now() - started < seconds * 1000) {
    for (let index = 0; index < round; index++) work();
    done += round;
  }
  return done / ((performance.now() - started) / 1000);
}

/** The same for asynchronous work, with so many under way at once. */
export async function asyncRate(seconds: number, concurrency: number, work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  let done = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() - started < seconds * 1000) {
      await work();
      done += 1;
      if (done % 1000 === 0) await nextTurn();
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return done / ((performance.now() - started) / 1000);
}

export interface Latency {
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Runs `work` one after the other and says how long it took each time. */
export async function latencies(times: number, work: (index: number) => Promise<unknown>): Promise<Latency> {
  const taken: number[] = [];
  for (let index = 0; index < times; index++) {
    const started = performance.now();
    await work(index);
    taken.push(performance.now() - started);
  }
  return summarize(taken);
}

export function summarize(taken: readonly number[]): Latency {
  const sorted = taken.toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
  return { p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? 0 };
}

const rounds = 50;
const times = 50;

/** Microseconds of `work` on this thread: of the fastest of 50 rounds of 50, so that neighbours of the machine hardly count. */
export function fastest(work: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    for (let time = 0; time < times; time++) work();
    best = Math.min(best, (performance.now() - started) / times);
  }
  return best * 1000;
}

/** The same for asynchronous work, one after the other. */
export async function fastestAsync(work: () => Promise<unknown>): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    for (let time = 0; time < times; time++) await work();
    best = Math.min(best, (performance.now() - started) / times);
  }
  return best * 1000;
}
