/**
 * Five-field cron expressions (POSIX crontab: minute, hour, day of month, month, day of week), in UTC. Lists, ranges and
 * steps; when both days are restricted, either matches, as in crontab. 7 is Sunday as well.
 */
export interface Schedule {
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  readonly matchesDay: (day: Date) => boolean;
}

const ranges = [
  { name: 'minute', least: 0, most: 59 },
  { name: 'hour', least: 0, most: 23 },
  { name: 'day of month', least: 1, most: 31 },
  { name: 'month', least: 1, most: 12 },
  { name: 'day of week', least: 0, most: 7 },
] as const;

/** What is wrong with an expression, in a clause; undefined when nothing is. */
export function scheduleFault(text: string): string | undefined {
  try {
    const schedule = parseSchedule(text);
    return nextTime(schedule, 0) === undefined ? 'it never comes due' : undefined;
  } catch (error) {
    return error instanceof RangeError ? error.message : 'not a cron expression';
  }
}

/** Throws RangeError, saying what is wrong. */
export function parseSchedule(text: string): Schedule {
  const parts = text.trim().split(/\s+/);
  if (parts.length !== ranges.length)
    throw new RangeError('write five fields: minute, hour, day of month, month, day of week');
  const [minutes = [], hours = [], days = [], months = [], weekdays = []] = ranges.map(({ name, least, most }, index) =>
    parseField(parts[index] ?? '', name, least, most),
  );
  const anyDay = parts[2]?.startsWith('*') ?? false;
  const anyWeekday = parts[4]?.startsWith('*') ?? false;
  return {
    minutes,
    hours,
    matchesDay(day) {
      if (!months.includes(day.getUTCMonth() + 1)) return false;
      const byDay = days.includes(day.getUTCDate());
      const weekday = day.getUTCDay();
      const byWeekday = weekdays.includes(weekday) || (weekday === 0 && weekdays.includes(7));
      return anyDay || anyWeekday ? byDay && byWeekday : byDay || byWeekday;
    },
  };
}

function parseField(text: string, name: string, least: number, most: number): number[] {
  const numbers = new Set<number>();
  for (const part of text.split(',')) {
    const match = /^(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/.exec(part);
    if (!match) throw new RangeError(`the ${name} is none of *, a number, a range, a list and a step`);
    const [, first, last, step = '1'] = match;
    const from = first === undefined ? least : Number(first);
    const to = last === undefined ? (first === undefined || match[3] !== undefined ? most : from) : Number(last);
    if (from < least || to > most || from > to || Number(step) < 1)
      throw new RangeError(`the ${name} goes from ${least} to ${most}`);
    for (let number = from; number <= to; number += Number(step)) numbers.add(number);
  }
  return [...numbers].sort((left, right) => left - right);
}

const minute = 60_000;
const day = 86_400_000;
/** 29 February can be eight years away (1896 to 1904). */
const mostDays = 366 * 9;

/** The first time after `after` (milliseconds); undefined when there is none. */
export function nextTime(schedule: Schedule, after: number): number | undefined {
  const start = Math.floor(after / minute) * minute + minute;
  let midnight = Math.floor(start / day) * day;
  for (let count = 0; count < mostDays; count++, midnight += day) {
    if (!schedule.matchesDay(new Date(midnight))) continue;
    for (const hour of schedule.hours)
      for (const each of schedule.minutes) {
        const time = midnight + (hour * 60 + each) * minute;
        if (time >= start) return time;
      }
  }
  return undefined;
}
