import { createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto';
import { AppError } from '#core/errors.ts';

/**
 * Signed notes (C2SP signed-note): text, an empty line, and lines `— <key name> base64(key id ‖ signature)`. Ed25519
 * only. The same form as the checksum database of Go and the checkpoints of transparency logs, so that their tools read it.
 */

/** Type byte of Ed25519 in key ids and verifier keys (C2SP signed-note, "Signature types"). */
const ed25519Type = 0x01;
const keyIdBytes = 4;
const publicKeyBytes = 32;
/** Verifiers must accept 16 signatures and should bound the number (C2SP signed-note, "Format"). */
const maxSignatures = 64;
/** UTF-16 units. */
export const maxNoteLength = 16_384;

/** A private key and the name it signs under. */
export interface NoteSigner {
  readonly name: string;
  readonly privateKey: KeyObject;
  readonly verifier: NoteVerifier;
}

/** A public key that is trusted, and the name it speaks for. */
export interface NoteVerifier {
  readonly name: string;
  readonly publicKey: KeyObject;
  /** First 4 bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key). */
  readonly keyId: Buffer;
  /** `<name>+<key id, hex>+<base64(0x01 ‖ public key)>`: what verifiers are configured with. */
  readonly text: string;
}

/** The signer for an Ed25519 private key. */
export function noteSigner(name: string, privateKey: KeyObject): NoteSigner {
  return { name, privateKey, verifier: noteVerifier(name, createPublicKey(privateKey)) };
}

/** The verifier for an Ed25519 public key. */
export function noteVerifier(name: string, publicKey: KeyObject): NoteVerifier {
  if (!isKeyName(name)) throw new TypeError(`${JSON.stringify(name)} cannot be the name of a note key`);
  const encoded = Buffer.concat([Buffer.of(ed25519Type), rawPublicKey(publicKey)]);
  const keyId = keyIdOf(name, encoded);
  return { name, publicKey, keyId, text: `${name}+${keyId.toString('hex')}+${encoded.toString('base64')}` };
}

/** Reads a verifier key in its text form. Throws `invalid_request`. */
export function parseVerifierKey(text: string): NoteVerifier {
  const match = /^([^+\s]{1,255})\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})$/.exec(text.trim());
  const [, name = '', id = '', base64 = ''] = match ?? [];
  const encoded = Buffer.from(base64, 'base64');
  if (
    encoded.length !== 1 + publicKeyBytes ||
    encoded[0] !== ed25519Type ||
    keyIdOf(name, encoded).toString('hex') !== id
  )
    throw new AppError('invalid_request', 'The verifier key is not one of Ed25519 in the form name+hash+base64.', {
      hint: 'audit.get_checkpoint shows the verifier key of this installation.',
    });
  return noteVerifier(name, publicKeyFrom(encoded.subarray(1)));
}

function keyIdOf(name: string, encoded: Uint8Array): Buffer {
  return hash('sha256', Buffer.concat([Buffer.from(`${name}\n`), encoded]), 'buffer').subarray(0, keyIdBytes);
}

/** Names hold no Unicode space, no plus, and no control character (C2SP signed-note, "Format"). */
function isKeyName(name: string): boolean {
  return /^[^+\s\p{Z}\p{Cc}]{1,255}$/u.test(name);
}

function rawPublicKey(publicKey: KeyObject): Buffer {
  const { crv, x } = publicKey.export({ format: 'jwk' });
  if (crv !== 'Ed25519' || x === undefined) throw new TypeError('a note key must be an Ed25519 key');
  return Buffer.from(x, 'base64url');
}

function publicKeyFrom(raw: Uint8Array): KeyObject {
  return createPublicKey({
    format: 'jwk',
    key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(raw).toString('base64url') },
  });
}

/** Signs a text, which must end in a newline and hold no other control character. Returns the whole note. */
export function signNote(text: string, signer: NoteSigner): string {
  if (!isNoteText(text))
    throw new TypeError('the text of a note ends in a newline and holds no other control character');
  const signature = sign(null, Buffer.from(text), signer.privateKey);
  const encoded = Buffer.concat([signer.verifier.keyId, signature]).toString('base64');
  return `${text}\n— ${signer.name} ${encoded}\n`;
}

function isNoteText(text: string): boolean {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return text.endsWith('\n') && text.isWellFormed() && !/[\0-\x09\x0b-\x1f]/.test(text);
}

/** A note taken apart. Nothing in it may be believed before `openNote` has verified it. */
export interface Note {
  readonly text: string;
  readonly signatures: readonly { readonly name: string; readonly keyId: Buffer; readonly signature: Buffer }[];
}

/** Takes a note apart without verifying it. Throws `invalid_request` that says which part is malformed. */
export function parseNote(note: string): Note {
  if (note.length > maxNoteLength) throw malformed(`it is longer than ${maxNoteLength} characters`);
  const split = note.lastIndexOf('\n\n');
  const text = note.slice(0, split + 1);
  if (split < 0 || !note.endsWith('\n') || !isNoteText(note))
    throw malformed('it is not text, an empty line and signature lines, each ended by a newline');
  const lines = note.slice(split + 2, -1).split('\n');
  if (lines.length > maxSignatures) throw malformed(`it has more than ${maxSignatures} signatures`);
  return { text, signatures: lines.map(parseSignature) };
}

function parseSignature(line: string): Note['signatures'][number] {
  const [, name = '', base64 = ''] = /^— (\S+) ([A-Za-z0-9+/]+={0,2})$/.exec(line) ?? [];
  const bytes = Buffer.from(base64, 'base64');
  if (!isKeyName(name) || bytes.length <= keyIdBytes || bytes.toString('base64') !== base64)
    throw malformed('a signature line is not "— name base64"');
  return { name, keyId: bytes.subarray(0, keyIdBytes), signature: bytes.subarray(keyIdBytes) };
}

/**
 * Verifies a note and returns its text. Signatures of other keys are ignored; one of the known key that does not verify
 * condemns the note, whatever else stands there (C2SP signed-note, "Signatures"). Throws `invalid_request`.
 */
export function openNote(note: string, verifier: NoteVerifier): string {
  const { text, signatures } = parseNote(note);
  const ours = signatures.filter(({ name, keyId }) => name === verifier.name && keyId.equals(verifier.keyId));
  if (ours.length === 0)
    throw new AppError('invalid_request', `The note bears no signature of the key ${verifier.text}.`, {
      hint: 'Give the verifier key that was published with the note.',
    });
  const message = Buffer.from(text);
  if (!ours.every(({ signature }) => verify(null, message, verifier.publicKey, signature)))
    throw new AppError('invalid_request', `A signature of ${verifier.name} on the note is not valid.`, {
      hint: 'The note was altered after it was signed, or its signature was forged.',
    });
  return text;
}

function malformed(what: string): AppError {
  return new AppError('invalid_request', `The text is not a signed note: ${what}.`, {
    hint: 'Give the whole note as it was written, with its last newline.',
  });
}
