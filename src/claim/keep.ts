import { insert } from '#core/change.ts';
import { type KeepSecrets, secretFields } from '#core/delivery.ts';
import { AppError } from '#core/errors.ts';
import { newId } from '#core/ids.ts';
import type { Sealer } from '#seal/sealer.ts';
import { closeContent } from './content.ts';
import { deriveKeys, newHandle } from './handle.ts';
import type { ClaimRow } from './tables.ts';

export const redeemId = 'claim.redeem_claim';

/** Keeps the whole answer, since who claims a password needs the address beside it. `ttl` in milliseconds. */
export function createKeepSecrets(sealer: Sealer, ttl: number): KeepSecrets {
  return (grant, definition, told) => {
    if (secretFields(definition, told).length === 0) return undefined;
    if (grant.operation === redeemId) throw notHere();
    const { now, principal, namespace, operation, resource } = grant;
    const parts = newHandle(newId('clm', now));
    const { key, verifier } = deriveKeys(parts);
    const place = { id: parts.id, namespace, principal_id: principal.id, operation, resource };
    const row: ClaimRow = {
      ...place,
      principal: principal.name,
      credential_id: principal.credentialId,
      standing: grant.standing,
      purpose: grant.purpose ?? null,
      fields: JSON.stringify(secretFields(definition, told)),
      verifier,
      secrets: closeContent(sealer, key, place, told as object),
      created_at: now,
      expires_at: now + ttl,
      claimed_at: null,
      claimed_from: null,
      cancelled_at: null,
      alarms: 0,
      alarmed_at: null,
    };
    return {
      kept: { handle: parts.handle, expiresAt: row.expires_at },
      changes: [insert('claims', { ...row })],
      audit: { claim_id: row.id },
    };
  };
}

/**
 * Where secrets are kept instead of told, a claim would only be exchanged for a younger one: it stays as it is, and ends when
 * it was said to.
 */
function notHere(): AppError {
  return new AppError('refused', 'A claim cannot be redeemed here, where secrets are not told. It was not touched.', {
    hint: 'Run chancery claim with the handle where the secrets are needed, with a token of the same principal.',
  });
}
