import { createCipheriv, createDecipheriv, hash, randomBytes } from 'node:crypto';
import type { Clock } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { Sealer } from '#seal/sealer.ts';
import { sealedSetting } from '#seal/settings.ts';
import type { Store } from '#storage/store.ts';

/**
 * Cursors of the list of events. A place in the log is the place among the events of all tenants: from two of them anybody
 * would know how much the others do. So it is enciphered, together with the scope that it was given for.
 */
export interface Cursors {
  /** `scope`: namespace, or undefined for all. */
  encode(scope: string | undefined, seq: number): string;
  /** Throws `invalid_request` for what was not given for this scope by this installation. */
  decode(scope: string | undefined, cursor: string): number;
}

const settingName = 'audit_cursor_key';
const seqBytes = 8;

/** The key is made on first use and sealed in the settings, so that all nodes read each other's cursors. */
export async function openCursors(deps: {
  readonly store: Pick<Store, 'first' | 'commit'>;
  readonly sealer: Sealer;
  readonly clock: Clock;
}): Promise<Cursors> {
  return createCursors(await sealedSetting(deps, settingName, () => randomBytes(32)));
}

/**
 * One block of AES-256 is a permutation of 16 octets that only the key tells. Half of the block is a hash of the scope, so
 * that of 2^64 made-up cursors one would pass; it would be a place in the caller's own list.
 */
export function createCursors(key: Uint8Array): Cursors {
  return {
    encode(scope, seq) {
      const block = Buffer.alloc(2 * seqBytes);
      block.writeBigUInt64BE(BigInt(seq));
      scopeTag(scope).copy(block, seqBytes);
      const cipher = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
      return Buffer.concat([cipher.update(block), cipher.final()]).toString('base64url');
    },
    decode(scope, cursor) {
      const block = Buffer.from(cursor, 'base64url');
      if (block.length !== 2 * seqBytes) throw notOurs();
      const decipher = createDecipheriv('aes-256-ecb', key, null).setAutoPadding(false);
      const plain = Buffer.concat([decipher.update(block), decipher.final()]);
      if (!plain.subarray(seqBytes).equals(scopeTag(scope))) throw notOurs();
      return Number(plain.readBigUInt64BE());
    },
  };
}

function scopeTag(scope: string | undefined): Buffer {
  return hash('sha256', scope === undefined ? '*' : `namespace ${scope}`, 'buffer').subarray(0, seqBytes);
}

function notOurs(): AppError {
  return new AppError('invalid_request', 'The cursor is not one that this list returned.', {
    hint: 'Leave cursor out to start at the first page.',
  });
}
