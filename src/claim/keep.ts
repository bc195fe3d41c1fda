import { insert } from '#core/change.ts';
import { type KeepSecrets, secretFields } from '#core/delivery.ts';
import type { Grant } from '#core/grant.ts';
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
    const { operation, resource, fields, output } = contentOf(grant, definition, told);
    const { now, principal, namespace } = grant;
    const parts = newHandle(newId('clm', now));
    const { key, verifier } = deriveKeys(parts);
    const place = { id: parts.id, namespace, principal_id: principal.id, operation, resource };
    const row: ClaimRow = {
      ...place,
      principal: principal.name,
      credential_id: principal.credentialId,
      fields: JSON.stringify(fields),
      verifier,
      secrets: closeContent(sealer, key, place, output),
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

interface Content {
  readonly operation: string;
  readonly resource: string;
  readonly fields: readonly string[];
  readonly output: object;
}

/** What was claimed where it may not be told is kept again, as what it was. */
function contentOf(grant: Grant, definition: Parameters<KeepSecrets>[1], told: unknown): Content {
  if (grant.operation === redeemId) return told as Content;
  const { operation, resource } = grant;
  return { operation, resource, fields: secretFields(definition, told), output: told as object };
}
