import { createPrivateKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import type { Sealer } from '#seal/sealer.ts';

/** Private keys: made here, kept sealed as PKCS#8 DER for one column of one row. */

export const accountKeyTypes = ['ec-p256', 'ec-p384', 'rsa-2048', 'rsa-4096', 'ed25519'] as const;
export type AccountKeyType = (typeof accountKeyTypes)[number];

/** Those that public authorities certify. */
export const certificateKeyTypes = ['ec-p256', 'ec-p384', 'rsa-2048', 'rsa-3072', 'rsa-4096'] as const;
export type CertificateKeyType = (typeof certificateKeyTypes)[number];

export type SealedTable = 'acme_accounts' | 'acme_client_orders' | 'acme_certificates' | 'acme_dns_providers';

export interface SecretPlace {
  readonly table: SealedTable;
  readonly row: string;
  readonly column: 'key' | 'next_key' | 'external_key' | 'private_key' | 'hook_key' | 'secrets';
}

const generate = promisify(generateKeyPair);

export async function makeKey(type: AccountKeyType | CertificateKeyType): Promise<KeyObject> {
  switch (type) {
    case 'ec-p256':
      return (await generate('ec', { namedCurve: 'P-256' })).privateKey;
    case 'ec-p384':
      return (await generate('ec', { namedCurve: 'P-384' })).privateKey;
    case 'ed25519':
      return (await generate('ed25519', {})).privateKey;
    default:
      return (await generate('rsa', { modulusLength: Number(type.slice(4)) })).privateKey;
  }
}

export function sealKey(sealer: Sealer, place: SecretPlace, key: KeyObject): Uint8Array {
  return sealBytes(sealer, place, key.export({ type: 'pkcs8', format: 'der' }));
}

/** Rejects with `sealed_value_unreadable`. */
export async function openKey(sealer: Sealer, place: SecretPlace, sealed: Uint8Array): Promise<KeyObject> {
  const der = await sealer.open(place, sealed);
  try {
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  } finally {
    der.fill(0);
  }
}

/** Seals, and overwrites what was given. */
export function sealBytes(sealer: Sealer, place: SecretPlace, plaintext: Buffer): Uint8Array {
  try {
    return sealer.seal(place, plaintext);
  } finally {
    plaintext.fill(0);
  }
}

/** The same secret for another place: a ciphertext opens only where it was sealed for. */
export async function moveSealed(
  sealer: Sealer,
  from: SecretPlace,
  to: SecretPlace,
  sealed: Uint8Array | null,
): Promise<Uint8Array | null> {
  return sealed === null ? null : sealBytes(sealer, to, await sealer.open(from, sealed));
}
