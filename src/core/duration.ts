import { z } from 'zod';

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800, y: 31_536_000 };
const pattern = /^(?:(\d{1,6})y)?(?:(\d{1,6})w)?(?:(\d{1,6})d)?(?:(\d{1,8})h)?(?:(\d{1,8})m)?(?:(\d{1,10})s)?$/;
const units = ['y', 'w', 'd', 'h', 'm', 's'] as const;
const maxSeconds = 100 * 31_536_000;

/** Seconds of `90s`, `15m`, `1h30m`, `30d`, `10y` or of a plain number of seconds; undefined when it is none of these. */
export function parseDuration(value: string | number): number | undefined {
  if (typeof value === 'number') return Number.isInteger(value) && value > 0 && value <= maxSeconds ? value : undefined;
  if (/^\d{1,10}$/.test(value)) return parseDuration(Number(value));
  const match = pattern.exec(value);
  if (!match || value === '') return undefined;
  const seconds = units.reduce((sum, unit, index) => sum + Number(match[index + 1] ?? 0) * (unitSeconds[unit] ?? 0), 0);
  return seconds > 0 && seconds <= maxSeconds ? seconds : undefined;
}

/** The shortest text that means this number of seconds: `86400` → `1d`. */
export function formatDuration(seconds: number): string {
  let rest = seconds;
  let text = '';
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const size = unitSeconds[unit] ?? 1;
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text === '' ? '0s' : text;
}

/** Schema of a duration in a request: text with units or whole seconds; parsed to seconds. */
export const duration = z
  .union([z.string().max(32), z.number()])
  .transform((value, context) => {
    const seconds = parseDuration(value);
    if (seconds !== undefined) return seconds;
    context.addIssue({ code: 'custom', message: 'not a duration; write for example 90s, 15m, 24h or 30d' });
    return z.NEVER;
  })
  .meta({ description: 'A duration: text with units (90s, 15m, 24h, 30d, 10y) or whole seconds' });
