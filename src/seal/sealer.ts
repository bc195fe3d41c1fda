/** Where a sealed value lives. It is authenticated with the value, so that a ciphertext moved elsewhere does not open. */
export interface Place {
  readonly table: string;
  readonly row: string;
  readonly column: string;
}

/**
 * Seals what must be secret at rest: AES-256-GCM under the active data key, with the place as additional data.
 * `open` rejects with `sealed_value_unreadable`, naming the place and the reason, never the value.
 */
export interface Sealer {
  seal(place: Place, plaintext: Uint8Array): Uint8Array;
  open(place: Place, sealed: Uint8Array): Promise<Buffer>;
}
