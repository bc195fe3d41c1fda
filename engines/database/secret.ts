import type { Sealer } from '#seal/sealer.ts';

/** Passwords at rest: UTF-8, sealed for one column of one row. */

export interface SecretPlace {
  readonly table: 'database_connections' | 'database_static_roles';
  /** Id of the row. */
  readonly row: string;
  readonly column: 'password' | 'next_password';
}

export function sealPassword(sealer: Sealer, place: SecretPlace, password: string): Uint8Array {
  const plaintext = Buffer.from(password);
  try {
    return sealer.seal(place, plaintext);
  } finally {
    plaintext.fill(0);
  }
}

/** Rejects with `sealed_value_unreadable`. */
export async function openPassword(sealer: Sealer, place: SecretPlace, sealed: Uint8Array): Promise<string> {
  const plaintext = await sealer.open(place, sealed);
  try {
    return plaintext.toString('utf8');
  } finally {
    plaintext.fill(0);
  }
}
