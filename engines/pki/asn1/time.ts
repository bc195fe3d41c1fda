import { DerError } from './der-error.ts';
import { tag } from './tag.ts';

const daysBeforeMonth = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334] as const;
const daysInMonth = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const;
const millisecondsPerDay = 86_400_000;
/** Days from 0000-01-01 to 1970-01-01 in the proleptic Gregorian calendar. */
const epochDays = 719_528;

/** 1950-01-01T00:00:00Z and 2050-01-01T00:00:00Z in milliseconds: UTCTime covers what lies between (RFC 5280 §4.1.2.5). */
const firstUtcTime = -631_152_000_000;
const endUtcTime = 2_524_608_000_000;
const firstGeneralizedTime = -62_167_219_200_000;
const endGeneralizedTime = 253_402_300_800_000;

/**
 * Milliseconds of a time in the one form that RFC 5280 §4.1.2.5 allows: `YYMMDDHHMMSSZ` for UTCTime,
 * `YYYYMMDDHHMMSSZ` for GeneralizedTime, seconds present, no fraction, a day that exists.
 */
export function decodeTime(type: number, bytes: Uint8Array, start: number, end: number): number {
  const yearDigits = type === tag.utcTime ? 2 : 4;
  const name = yearDigits === 2 ? 'a UTCTime' : 'a GeneralizedTime';
  if (end - start !== yearDigits + 11 || bytes[end - 1] !== 0x5a)
    throw new DerError(`${name} is not of the form ${'YYYY'.slice(4 - yearDigits)}MMDDHHMMSSZ`, start);
  let year = pair(bytes, start);
  if (yearDigits === 2) year += year >= 50 ? 1900 : 2000;
  else year = year * 100 + pair(bytes, start + 2);
  const at = start + yearDigits;
  const month = pair(bytes, at);
  const day = pair(bytes, at + 2);
  const hour = pair(bytes, at + 4);
  const minute = pair(bytes, at + 6);
  const second = pair(bytes, at + 8);
  if (month < 1 || month > 12 || day < 1 || day > lastDay(year, month) || hour > 23 || minute > 59 || second > 59)
    throw new DerError(`${name} names a moment that does not exist`, start);
  return daysSinceEpoch(year, month, day) * millisecondsPerDay + ((hour * 60 + minute) * 60 + second) * 1000;
}

function pair(bytes: Uint8Array, at: number): number {
  const tens = (bytes[at] as number) - 0x30;
  const ones = (bytes[at + 1] as number) - 0x30;
  if (tens < 0 || tens > 9 || ones < 0 || ones > 9) throw new DerError('a time holds something other than digits', at);
  return tens * 10 + ones;
}

function isLeap(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
}

function lastDay(year: number, month: number): number {
  return (daysInMonth[month - 1] as number) + (month === 2 && isLeap(year) ? 1 : 0);
}

function daysSinceEpoch(year: number, month: number, day: number): number {
  const before = year - 1;
  const leapDays = year === 0 ? 0 : Math.floor(before / 4) - Math.floor(before / 100) + Math.floor(before / 400) + 1;
  const leapToday = month > 2 && isLeap(year) ? 1 : 0;
  return year * 365 + leapDays + (daysBeforeMonth[month - 1] as number) + leapToday + day - 1 - epochDays;
}

/** Octets of the whole TLV of this time: 15 as UTCTime (until 2049), 17 as GeneralizedTime (RFC 5280 §4.1.2.5). */
export function timeLength(milliseconds: number): 15 | 17 {
  return milliseconds >= firstUtcTime && milliseconds < endUtcTime ? 15 : 17;
}

/**
 * Writes the TLV of a time at `offset` and returns the offset after it. Part seconds are cut off.
 * Throws `RangeError` outside the years 0000 to 9999.
 */
export function writeTime(target: Uint8Array, offset: number, milliseconds: number, generalized = false): number {
  if (!(milliseconds >= firstGeneralizedTime && milliseconds < endGeneralizedTime))
    throw new RangeError('a time outside the years 0000 to 9999 cannot be encoded');
  const date = new Date(Math.floor(milliseconds / 1000) * 1000);
  const year = date.getUTCFullYear();
  const short = !generalized && timeLength(milliseconds) === 15;
  target[offset] = short ? tag.utcTime : tag.generalizedTime;
  target[offset + 1] = short ? 13 : 15;
  let at = offset + 2;
  if (!short) at = writePair(target, at, Math.floor(year / 100));
  at = writePair(target, at, year % 100);
  at = writePair(target, at, date.getUTCMonth() + 1);
  at = writePair(target, at, date.getUTCDate());
  at = writePair(target, at, date.getUTCHours());
  at = writePair(target, at, date.getUTCMinutes());
  at = writePair(target, at, date.getUTCSeconds());
  target[at] = 0x5a;
  return at + 1;
}

function writePair(target: Uint8Array, at: number, value: number): number {
  target[at] = 0x30 + Math.floor(value / 10);
  target[at + 1] = 0x30 + (value % 10);
  return at + 2;
}
