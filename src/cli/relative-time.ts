const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

const units: readonly (readonly [name: string, seconds: number, until: number])[] = [
  ['s', 1, 120],
  ['m', 60, 120 * 60],
  ['h', 3600, 72 * 3600],
  ['d', 86_400, 120 * 86_400],
  ['mo', 2_629_800, 24 * 2_629_800],
  ['y', 31_557_600, Number.POSITIVE_INFINITY],
];

/** `in 23h`, `now` or `3d ago` for a text that is an RFC 3339 time; undefined for any other text. `now` in milliseconds. */
export function relativeTime(text: string, now: number): string | undefined {
  if (!rfc3339.test(text)) return undefined;
  const seconds = Math.trunc((Date.parse(text) - now) / 1000);
  if (Number.isNaN(seconds)) return undefined;
  const distance = Math.abs(seconds);
  if (distance === 0) return 'now';
  const [name, size] = units.find(([, , until]) => distance < until) ?? ['s', 1];
  const amount = `${Math.floor(distance / size)}${name}`;
  return seconds >= 0 ? `in ${amount}` : `${amount} ago`;
}
