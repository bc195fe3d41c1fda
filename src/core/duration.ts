import { z } from 'zod';

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800, y: 31_536_000 };
const pattern = /^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/;
const maxLength = 32;
const units = ['y', 'w', 'd', 'h', 'm', 's'] as const;
const maxSeconds = 100 * 31_536_000;

/** Seconds of `90s`, `15m`, `1h30m`, `30d`, `10y` or of a plain number of seconds; undefined when it is none of these. */
export function parseDuration(value: string | number): number | undefined {
  const seconds = countSeconds(value);
  return seconds !== undefined && seconds > 0 && seconds <= maxSeconds ? seconds : undefined;
}

/** Why `parseDuration` does not take it, going on from "it is": not written like a duration, or none that is allowed. */
export function durationFault(value: string | number): string {
  return countSeconds(value) === undefined ? 'not a duration' : 'not a duration from 1s to 100y';
}

/** However many; undefined when it is not written like a duration. */
function countSeconds(value: string | number): number | undefined {
  if (typeof value === 'number') return Number.isInteger(value) ? value : undefined;
  if (value === '' || value.length > maxLength) return undefined;
  if (/^\d+$/.test(value)) return Number(value);
  const match = pattern.exec(value);
  if (!match) return undefined;
  return units.reduce((sum, unit, index) => sum + Number(match[index + 1] ?? 0) * (unitSeconds[unit] ?? 0), 0);
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
  .union([z.string().max(maxLength), z.number()])
  .transform((value, context) => {
    const seconds = parseDuration(value);
    if (seconds !== undefined) return seconds;
    context.addIssue({ code: 'custom', message: `${durationFault(value)}; write for example 90s, 15m, 24h or 30d` });
    return z.NEVER;
  })
  .meta({ description: 'A duration: text with units (90s, 15m, 24h, 30d, 10y) or whole seconds' });
