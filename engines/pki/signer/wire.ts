import type { KeyObject } from 'node:crypto';
import type { ErrorDetail } from '#core/errors.ts';
import type { LintKind } from '#pki/lint/certificate.ts';
import type { KeyType } from '#pki/x509/algorithm.ts';

/**
 * What the main thread and a signing thread say to each other. Bytes travel packed in one transferred buffer: a view of
 * Node's shared pool would be cloned with the whole pool.
 */

/** Made known to a thread before the first job that uses it. The key itself is shared, not copied. */
export interface KeyMessage {
  readonly type: 'key';
  readonly id: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly keyType: KeyType;
  readonly chain?: readonly Uint8Array[] | undefined;
}

export interface SignMessage {
  readonly type: 'sign';
  readonly jobs: readonly SignJob[];
  /** Of every job its TBSCertificate, then its CSR, one after the other. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface SignJob {
  readonly id: number;
  readonly keyId: string;
  readonly kind: LintKind;
  readonly webPki: boolean;
  /** Octets of its TBSCertificate. */
  readonly length: number;
  /** Octets of its CSR; 0: there is none. */
  readonly csrLength: number;
}

/** Asks for P-256 keys. */
export interface MakeKeysMessage {
  readonly type: 'make_keys';
  readonly count: number;
}

export type ToThread = KeyMessage | SignMessage | MakeKeysMessage;

export interface SignedMessage {
  readonly type: 'signed';
  readonly results: readonly SignResult[];
  /** Every certificate, one after the other. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export type SignResult =
  | { readonly id: number; readonly length: number }
  | {
      readonly id: number;
      readonly refused: {
        readonly code: 'refused' | 'invalid_request';
        readonly message: string;
        readonly hint: string | undefined;
        readonly details: readonly ErrorDetail[];
      };
    }
  | { readonly id: number; readonly fault: string };

export interface KeysMessage {
  readonly type: 'keys';
  /** Pairs of SubjectPublicKeyInfo and PKCS#8, one after the other. */
  readonly lengths: readonly number[];
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export type FromThread = SignedMessage | KeysMessage;

export function pack(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const packed = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    packed.set(part, at);
    at += part.length;
  }
  return packed;
}

/** Views into `packed`, by their lengths. */
export function unpack(packed: Uint8Array<ArrayBuffer>, lengths: readonly number[]): Buffer[] {
  let at = 0;
  return lengths.map((length) => {
    const part = Buffer.from(packed.buffer, packed.byteOffset + at, length);
    at += length;
    return part;
  });
}
