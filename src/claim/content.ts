import { decrypt, encrypt } from '#seal/gcm.ts';
import { unreadable } from '#seal/sealed-value.ts';
import type { Sealer } from '#seal/sealer.ts';
import type { ClaimRow } from './tables.ts';

/**
 * What a claim holds: the answer as JSON, encrypted twice. Inside under the key of the handle, which the store never has;
 * outside sealed like every secret at rest. So neither the store with its root key opens it, nor the handle alone.
 */
export type ClaimPlace = Pick<ClaimRow, 'id' | 'namespace' | 'principal_id' | 'operation' | 'resource'>;

const none = Buffer.alloc(0);

export function closeContent(sealer: Sealer, key: Buffer, place: ClaimPlace, output: object): Uint8Array {
  const plaintext = Buffer.from(JSON.stringify(output));
  try {
    return sealer.seal(sealedPlace(place), encrypt(key, boundTo(place), none, plaintext));
  } finally {
    plaintext.fill(0);
  }
}

/** Rejects with `sealed_value_unreadable`. */
export async function openContent(
  sealer: Sealer,
  key: Buffer,
  place: ClaimPlace,
  sealed: Uint8Array,
): Promise<Record<string, unknown>> {
  const plaintext = decrypt(key, boundTo(place), await sealer.open(sealedPlace(place), sealed));
  if (plaintext === undefined) throw unreadable(sealedPlace(place), 'the row does not belong to what it holds');
  try {
    return JSON.parse(plaintext.toString()) as Record<string, unknown>;
  } finally {
    plaintext.fill(0);
  }
}

function sealedPlace({ id }: ClaimPlace) {
  return { table: 'claims', row: id, column: 'secrets' } as const;
}

/** A row that was given to another principal, or to another operation, in the store does not open. */
function boundTo({ id, namespace, principal_id: principal, operation, resource }: ClaimPlace): Buffer {
  return Buffer.from(JSON.stringify([id, namespace, principal, operation, resource]));
}
