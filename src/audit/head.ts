import { AppError } from '#core/errors.ts';
import type { ChainHead, Store } from '#storage/store.ts';
import { emptyHead, type Finding } from './chain.ts';
import { type Checkpoint, splitCheckpoints, verifyCheckpoint } from './checkpoint.ts';
import type { CheckpointFile } from './checkpoint-file.ts';
import { type NoteSigner, type NoteVerifier, parseVerifierKey } from './note.ts';
import { compareWithCheckpoint } from './verify.ts';

/** What the log and the checkpoints kept beside the store say of each other. */

export interface HeadDeps {
  readonly store: Pick<Store, 'first'>;
  readonly signer: NoteSigner;
  readonly file: CheckpointFile;
}

export async function readHead(store: Pick<Store, 'first'>): Promise<ChainHead> {
  const row = await store.first<ChainHead>('SELECT seq, hash FROM audit_head ORDER BY id LIMIT 1', []);
  return row ?? emptyHead;
}

/** Checkpoints, and how many entries were none, or not signed by the key. */
export interface Checkpoints {
  readonly checkpoints: readonly Checkpoint[];
  readonly ignored: number;
}

/** Those of checkpoints.log that our key signed. What else stands there proves nothing, for or against the log. */
export async function localCheckpoints(deps: Pick<HeadDeps, 'signer' | 'file'>): Promise<Checkpoints> {
  const notes = splitCheckpoints(await deps.file.tail());
  const checkpoints = notes.flatMap((note) => {
    try {
      return [verifyCheckpoint(note, deps.signer.verifier)];
    } catch {
      return [];
    }
  });
  return { checkpoints, ignored: notes.length - checkpoints.length };
}

/** Checkpoints of a text that a caller gives: all must verify. Throws `invalid_request`. */
export function readCheckpoints(text: string, verifier: NoteVerifier): Checkpoint[] {
  const notes = splitCheckpoints(text);
  if (notes.length === 0)
    throw new AppError('invalid_request', 'The text holds no signed checkpoint.', {
      hint: 'A checkpoint is three or more lines, an empty line, and a line that begins with "— ".',
    });
  return notes.map((note) => verifyCheckpoint(note, verifier));
}

/** All checkpoints to compare a log with. `last`: the largest of those given by the caller. */
export async function gatherCheckpoints(
  deps: Pick<HeadDeps, 'signer' | 'file'>,
  text: string | undefined,
  verifierKey: string | undefined,
): Promise<Checkpoints & { readonly last: Checkpoint | undefined }> {
  const verifier = verifierKey === undefined ? deps.signer.verifier : parseVerifierKey(verifierKey);
  const given = text === undefined ? [] : readCheckpoints(text, verifier);
  const local = await localCheckpoints(deps);
  const last = given.toSorted((a, b) => b.size - a.size)[0];
  return { checkpoints: [...given, ...local.checkpoints], ignored: local.ignored, last };
}

/** What speaks against the log being the continuation of the last checkpoint in checkpoints.log. For every start. */
export async function checkContinuity(deps: HeadDeps): Promise<Finding | undefined> {
  const { checkpoints } = await localCheckpoints(deps);
  const last = checkpoints.at(-1);
  return last && compareWithCheckpoint(deps.store, last);
}

/**
 * A log must not sign a checkpoint that contradicts an earlier one (C2SP tlog-checkpoint, "Signatures"). Throws
 * `wrong_state`.
 */
export async function assertContinuity(deps: HeadDeps): Promise<void> {
  const finding = await checkContinuity(deps);
  if (finding === undefined) return;
  throw new AppError(
    'wrong_state',
    `The audit log contradicts a checkpoint that was signed before. ${finding.message}`,
    {
      hint: `If a backup was restored on purpose, move ${deps.file.path} away; else keep it as evidence and run audit.verify_log.`,
    },
  );
}
