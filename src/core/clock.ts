/** Where time comes from. Injected everywhere, so that tests and the sweeper can choose it. */
export interface Clock {
  /** Milliseconds since 1970-01-01T00:00:00Z. */
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };

/** RFC 3339 in UTC, whole seconds (`2026-11-21T10:00:00Z`): the form of every time that leaves the process. */
export function toRfc3339(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;
}
