import { AppError } from '#core/errors.ts';
import { toRfc3339 } from '#core/clock.ts';
import type { ChainHead } from '#storage/store.ts';
import { type NoteSigner, type NoteVerifier, openNote, parseNote, signNote } from './note.ts';

/**
 * Checkpoints of the audit log: its size and head at one moment, signed, in the form of C2SP tlog-checkpoint, to be kept
 * where whoever can write to the store cannot reach. With one, a log that lost its end or was written anew is found out.
 *
 *     chancery/<installation id>/audit
 *     <number of rows, which is the seq of the last>
 *     <base64 of the hash of that row>
 *     <extension lines: what the hash is, and the time>
 *
 * The third line is the head of a hash chain and NOT the root of a Merkle tree: a checkpoint proves what the log was to
 * someone who has the log; it has no inclusion or consistency proofs. The first extension line says so.
 */
export const hashKindLine = 'hash: head of a SHA-256 chain (no Merkle tree)';

export interface Checkpoint {
  readonly origin: string;
  /** `seq` of the last row; 0 for an empty log. */
  readonly size: number;
  /** Hash of that row, 32 bytes. */
  readonly hash: Buffer;
  /** Lines after the third; opaque. */
  readonly extensions: readonly string[];
}

/** The origin line, and the name of the key that signs. */
export function checkpointOrigin(installationId: string): string {
  return `chancery/${installationId}/audit`;
}

/** Signs the head of the log. `now` in milliseconds. The result ends in a newline. */
export function signCheckpoint(head: ChainHead, signer: NoteSigner, now: number): string {
  const lines = [
    signer.name,
    String(head.seq),
    Buffer.from(head.hash).toString('base64'),
    hashKindLine,
    `time: ${toRfc3339(now)}`,
  ];
  return signNote(`${lines.join('\n')}\n`, signer);
}

/** Reads a checkpoint without verifying its signature. Throws `invalid_request`. */
export function parseCheckpoint(note: string): Checkpoint {
  return readText(parseNote(note).text);
}

/** Reads a checkpoint that the key signed for its own log. Throws `invalid_request` for any other. */
export function verifyCheckpoint(note: string, verifier: NoteVerifier): Checkpoint {
  const checkpoint = readText(openNote(note, verifier));
  if (checkpoint.origin === verifier.name) return checkpoint;
  throw new AppError(
    'invalid_request',
    `The checkpoint is of the log ${checkpoint.origin}, and the key speaks for ${verifier.name}.`,
    { hint: 'Give a checkpoint of this installation.' },
  );
}

function readText(text: string): Checkpoint {
  const [origin = '', size = '', base64 = '', ...extensions] = text.slice(0, -1).split('\n');
  const hash = Buffer.from(base64, 'base64');
  const sound =
    origin !== '' &&
    /^(?:0|[1-9]\d{0,15})$/.test(size) &&
    Number.isSafeInteger(Number(size)) &&
    hash.length === 32 &&
    hash.toString('base64') === base64 &&
    !extensions.includes('');
  if (!sound)
    throw new AppError('invalid_request', 'The note is no checkpoint: it needs origin, size and a 32-byte hash.', {
      hint: 'The form is that of C2SP tlog-checkpoint.',
    });
  return { origin, size: Number(size), hash, extensions };
}

/**
 * Takes apart a text of one or several checkpoints, divided by empty lines, as they stand in `checkpoints.log`. One that
 * was cut off while it was written is left out. No checkpoint has an empty line in its text, so blocks are enough.
 */
export function splitCheckpoints(text: string): string[] {
  const blocks = text
    .replaceAll('\r\n', '\n')
    .split(/\n{2,}/)
    .map((block) => block.trim());
  return blocks.flatMap((block, index) => {
    const signatures = blocks[index + 1];
    const whole = block !== '' && !isSignatures(block) && signatures !== undefined && isSignatures(signatures);
    return whole ? [`${block}\n\n${signatures}\n`] : [];
  });
}

function isSignatures(block: string): boolean {
  return block.startsWith('— ');
}
