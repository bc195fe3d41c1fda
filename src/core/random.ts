import { randomFillSync } from 'node:crypto';

const pool = Buffer.alloc(4096);
let next = pool.length;

/**
 * Octets from the operating system's generator, at most 256 at a time. They are drawn in blocks, since one call costs
 * 5 µs however few it brings; each octet is given out once and overwritten in the block.
 */
export function randomOctets(count: number): Buffer {
  if (count > 256) throw new RangeError('at most 256 octets');
  if (next + count > pool.length) {
    randomFillSync(pool);
    next = 0;
  }
  const octets = Buffer.from(pool.subarray(next, next + count));
  pool.fill(0, next, next + count);
  next += count;
  return octets;
}
