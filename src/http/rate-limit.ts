import { BlockList, isIP } from 'node:net';
import { AppError } from '#core/errors.ts';
import type { Rate } from './settings.ts';

/** Token buckets in bounded memory. Time is monotonic milliseconds, so that a clock that jumps lifts no limit. */
export interface RateLimiter {
  /** Takes one token. Returns 0 when there was one, else the seconds until there is. */
  take(key: string): number;
  /** Seconds until there is a token, 0 when there is one now; takes none. */
  wait(key: string): number;
}

interface Bucket {
  tokens: number;
  at: number;
}

/** Keys remembered at once are at most twice this many; beyond it, those not seen for longest start afresh. */
const generationSize = 50_000;

export function createRateLimiter(rate: Rate, now: () => number = () => performance.now()): RateLimiter {
  const buckets = generations<string, Bucket>(generationSize);
  const refilled = (key: string): Bucket => {
    const time = now();
    const bucket = buckets.get(key);
    if (!bucket) return buckets.put(key, { tokens: rate.burst, at: time });
    bucket.tokens = Math.min(rate.burst, bucket.tokens + ((time - bucket.at) / 1000) * rate.perSecond);
    bucket.at = time;
    return bucket;
  };
  const missing = (tokens: number): number => (tokens >= 1 ? 0 : (1 - tokens) / rate.perSecond);
  return {
    take: (key) => {
      const bucket = refilled(key);
      const wait = missing(bucket.tokens);
      if (wait === 0) bucket.tokens -= 1;
      return wait;
    },
    wait: (key) => (buckets.get(key) === undefined ? 0 : missing(refilled(key).tokens)),
  };
}

/** A map that forgets: when the young generation is full it becomes the old one, and the old one is dropped. */
export function generations<Key, Item>(size: number) {
  let young = new Map<Key, Item>();
  let old = new Map<Key, Item>();
  const put = (key: Key, item: Item): Item => {
    if (young.size >= size) {
      old = young;
      young = new Map();
    }
    young.set(key, item);
    return item;
  };
  return {
    put,
    get: (key: Key): Item | undefined => {
      const item = young.get(key);
      if (item !== undefined) return item;
      const found = old.get(key);
      return found === undefined ? undefined : put(key, found);
    },
    delete: (key: Key): void => {
      young.delete(key);
      old.delete(key);
    },
  };
}

/** One key per customer line: an IPv4 address, or the /64 of an IPv6 address, since whoever has one address has all of it. */
export function addressKey(address: string): string {
  if (!address.includes(':')) return address;
  const [head = '', tail] = (address.split('%')[0] ?? '').split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length);
  const groups = [...left, ...Array.from({ length: zeros }, () => '0'), ...right];
  return `${groups.slice(0, 4).join(':')}::/64`;
}

/** Whether an address is in one of the ranges (`10.0.0.0/8`, `::1`). Ranges are known to be well formed. */
export function addressMatcher(ranges: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', bits] = range.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return (address) => list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

/** Throws `rate_limited` when there are seconds to wait. */
export function refuseUntil(seconds: number, what: string): void {
  if (seconds === 0) return;
  throw new AppError('rate_limited', `Too many ${what}.`, {
    hint: `Try again in ${Math.ceil(seconds)} s.`,
    retryAfter: seconds,
  });
}
