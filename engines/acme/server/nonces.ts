import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { type Change, insert } from '#core/change.ts';
import type { Clock } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import { randomOctets } from '#core/random.ts';
import { decodeBase64url } from '#acme/jose/base64url.ts';
import type { Sealer } from '#seal/sealer.ts';
import type { Store } from '#storage/store.ts';
import { AcmeError } from './problem.ts';
import type { KeyRow } from './tables.ts';

/**
 * Replay-Nonces (RFC 8555 §6.5) that any node makes and every node takes, once. A nonce is its end, 80 random bits and
 * a MAC over both by a key that is sealed in the store; only one that was used has a row, and the row's unique key is
 * what lets exactly one of two requests pass.
 */
export interface Nonces {
  /** Opens the key, or makes it. Call it before the others. */
  ready(): Promise<void>;
  make(): string;
  /** Whether it is one of ours, and in time. Throws `badNonce` or `malformed`; writes nothing. */
  verify(nonce: unknown): void;
  /** Uses it up, durably. Throws `badNonce` when it was used. */
  consume(nonce: string): Promise<void>;
}

/** Milliseconds: as long as a client may think between two requests. */
export const nonceLife = 3_600_000;

const uniqueOctets = 16;
const macOctets = 16;
const keyId = 'nonce';
const place = { table: 'acme_server_keys', row: keyId, column: 'secret' } as const;

export interface NonceParts {
  readonly store: Store;
  readonly sealer: Sealer;
  readonly clock: Clock;
}

export function createNonces(parts: NonceParts): Nonces {
  const { store, clock } = parts;
  let key: Buffer | undefined;
  let opening: Promise<Buffer> | undefined;
  const secret = (): Buffer => {
    if (key === undefined) throw new AppError('unavailable', 'The key of nonces is not open yet.');
    return key;
  };
  const macOf = (unique: Buffer): Buffer =>
    createHmac('sha256', secret()).update(unique).digest().subarray(0, macOctets);
  return {
    async ready() {
      if (key !== undefined) return;
      opening ??= openKey(parts).finally(() => (opening = undefined));
      key = await opening;
    },
    make() {
      const unique = Buffer.concat([endOctets(clock.now() + nonceLife), randomOctets(uniqueOctets - 6)]);
      return Buffer.concat([unique, macOf(unique)]).toString('base64url');
    },
    verify(nonce) {
      if (nonce === undefined) throw badNonce('The JWS has no nonce.');
      if (typeof nonce !== 'string') throw new AcmeError('malformed', 'The nonce is not text.');
      const octets = decodeBase64url(nonce, 'The nonce');
      if (octets.length !== uniqueOctets + macOctets) throw badNonce('The nonce is none of this server.');
      const unique = octets.subarray(0, uniqueOctets);
      if (!timingSafeEqual(macOf(unique), octets.subarray(uniqueOctets)))
        throw badNonce('The nonce is none of this server.');
      if (endOf(unique) <= clock.now()) throw badNonce('The nonce has expired.');
    },
    async consume(nonce) {
      await store.commit([usedUp(nonce)]);
    },
  };
}

function usedUp(nonce: string): Change {
  const unique = Buffer.from(nonce, 'base64url').subarray(0, uniqueOctets);
  // Kept a little longer than it is good, for nodes whose clocks differ.
  const row = { nonce: unique.toString('base64url'), expires_at: endOf(unique) + 600_000 };
  return insert('acme_server_nonces', row, () => badNonce('The nonce was used before.'));
}

function endOctets(end: number): Buffer {
  const octets = Buffer.alloc(6);
  octets.writeUIntBE(end, 0, 6);
  return octets;
}

function endOf(unique: Buffer): number {
  return unique.readUIntBE(0, 6);
}

/** Of nodes that make the key at once, one keeps its own, and the others read that. */
async function openKey({ store, sealer, clock }: NonceParts): Promise<Buffer> {
  const stored = () => store.first<KeyRow>('SELECT secret FROM acme_server_keys WHERE id = ?', [keyId]);
  const row = await stored();
  if (row !== undefined) return sealer.open(place, row.secret);
  const made = randomBytes(32);
  const change = insert('acme_server_keys', {
    id: keyId,
    secret: sealer.seal(place, made),
    created_at: clock.now(),
  });
  try {
    await store.commit([change]);
    return made;
  } catch (error) {
    const other = error instanceof AppError && error.code === 'conflict' ? await stored() : undefined;
    if (other === undefined) throw error;
    return sealer.open(place, other.secret);
  }
}

function badNonce(detail: string): AcmeError {
  return new AcmeError('badNonce', `${detail} Take the Replay-Nonce of this answer and sign again.`);
}
