import { type Change, insert, update } from '#core/change.ts';
import type { Clock } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { Store } from '#storage/store.ts';
import { insertAddress, markStaleCrl } from './crl-addresses.ts';

/**
 * Which shard of its issuer's CRL a new certificate names. Shards are filled one after the other and never beyond their
 * capacity, so that even the CRL of a shard whose certificates are all revoked stays below 1 MB (an entry with reason
 * and invalidity date takes 79 bytes). Which shard it is stands in the certificate for ever.
 *
 * A process reserves places in blocks, like a database sequence does: one small commit for a thousand certificates, no
 * row that every issuance fights for, and at most one block lost by a restart.
 */
export const crlShardCapacity = 12_000;
const blockSize = 1000;

export interface CrlShards {
  /**
   * The shard for one more certificate of the issuer. Once in a thousand calls this writes to the store, and
   * `beforeWriting` is called first: it throws when the request should leave nothing behind.
   */
  next(issuerId: string, beforeWriting?: () => void): Promise<number>;
}

interface Block {
  readonly shard: number;
  left: number;
}

interface ShardParts {
  readonly store: Store;
  readonly clock: Clock;
  /** Where certificates that are issued from here say that their CRL is. */
  readonly baseUrl: string;
}

export function createCrlShards(parts: ShardParts): CrlShards {
  const blocks = new Map<string, Block>();
  const reserving = new Map<string, Promise<Block>>();
  const reserveOnce = (issuerId: string): Promise<Block> => {
    const pending = reserving.get(issuerId) ?? reserve(parts, issuerId).finally(() => reserving.delete(issuerId));
    reserving.set(issuerId, pending);
    return pending;
  };
  return {
    async next(issuerId, beforeWriting) {
      for (;;) {
        const block = blocks.get(issuerId);
        if (block && block.left > 0) {
          block.left--;
          return block.shard;
        }
        beforeWriting?.();
        const fresh = await reserveOnce(issuerId);
        if (blocks.get(issuerId) !== fresh) blocks.set(issuerId, fresh);
        if (fresh.left === 0) blocks.delete(issuerId);
      }
    },
  };
}

/** Another node may reserve at the same time; the guard then fails, and the newest row is read again. */
async function reserve(parts: ShardParts, issuerId: string): Promise<Block> {
  const { store } = parts;
  for (;;) {
    const last = await store.first<{ shard: number; reserved: number }>(
      'SELECT shard, reserved FROM pki_crl_shards WHERE issuer_id = ? ORDER BY shard DESC LIMIT 1',
      [issuerId],
    );
    const fits = last !== undefined && last.reserved + blockSize <= crlShardCapacity;
    const shard = last === undefined ? 0 : fits ? last.shard : last.shard + 1;
    const change = fits
      ? update(
          'pki_crl_shards',
          { reserved: last.reserved + blockSize },
          { issuer_id: issuerId, shard, reserved: last.reserved },
          { expect: 1 },
        )
      : insert('pki_crl_shards', { issuer_id: issuerId, shard, reserved: blockSize });
    try {
      await store.commit([change, ...(await addressChanges(parts, issuerId, shard))]);
      return { shard, left: blockSize };
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'conflict') throw error;
    }
  }
}

/** Before the first certificate says so, the CRL is to know that it has another address. */
async function addressChanges(
  { store, clock, baseUrl }: ShardParts,
  issuerId: string,
  shard: number,
): Promise<Change[]> {
  const sql = 'SELECT 1 AS known FROM pki_crl_addresses WHERE issuer_id = ? AND shard = ? AND base_url = ?';
  if (await store.first(sql, [issuerId, shard, baseUrl])) return [];
  const issuer = await store.first<{ namespace: string }>('SELECT namespace FROM pki_issuers WHERE id = ?', [issuerId]);
  if (issuer === undefined) throw new Error(`there is no issuer ${issuerId}`);
  const key = { issuer_id: issuerId, shard, namespace: issuer.namespace };
  const address = insertAddress({ ...key, base_url: baseUrl, first_used_at: clock.now() });
  return [address, await markStaleCrl(store, key)];
}
