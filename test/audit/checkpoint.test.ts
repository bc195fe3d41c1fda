import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  checkpointOrigin,
  hashKindLine,
  parseCheckpoint,
  signCheckpoint,
  splitCheckpoints,
  verifyCheckpoint,
} from '#audit/checkpoint.ts';
import { type NoteSigner, noteSigner, openNote, parseNote, parseVerifierKey, signNote } from '#audit/note.ts';
import { AppError } from '#core/errors.ts';

const now = Date.UTC(2026, 10, 21, 10);
const newSigner = (installation = '0123456789abcdef'): NoteSigner =>
  noteSigner(checkpointOrigin(installation), generateKeyPairSync('ed25519').privateKey);
const signer = newSigner();
const head = (seq: number) => ({ seq, hash: Buffer.alloc(32, seq % 256) });
const isInvalid = (error: unknown) => error instanceof AppError && error.code === 'invalid_request';

/** The example in the documentation of Go's golang.org/x/mod/sumdb/note. */
const goVerifierKey = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const goSeed = Buffer.from('AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz', 'base64').subarray(1);
const goNote = `If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
`;

test("a note signed by Go's note package verifies, and its key has the same id and text here", () => {
  const verifier = parseVerifierKey(goVerifierKey);
  assert.equal(verifier.text, goVerifierKey);
  assert.match(openNote(goNote, verifier), /^If you think/);
  assert.throws(() => openNote(goNote.replace('answer', 'Answer'), verifier), isInvalid);
});

test("the key of Go's example signs its text to the same bytes here", () => {
  const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), goSeed]);
  const go = noteSigner('PeterNeumann', createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }));
  assert.equal(go.verifier.text, goVerifierKey);
  assert.equal(signNote(parseNote(goNote).text, go), goNote);
});

test('a checkpoint has the lines of C2SP tlog-checkpoint and says that its hash is no Merkle root', () => {
  const note = signCheckpoint(head(17), signer, now);
  const lines = note.split('\n');
  assert.deepEqual(lines.slice(0, 6), [
    'chancery/0123456789abcdef/audit',
    '17',
    Buffer.alloc(32, 17).toString('base64'),
    hashKindLine,
    'time: 2026-11-21T10:00:00Z',
    '',
  ]);
  assert.match(lines[6] ?? '', /^— chancery\/0123456789abcdef\/audit [A-Za-z0-9+/]+=*$/);
  assert.equal(Buffer.from(lines[6]?.split(' ')[2] ?? '', 'base64').length, 4 + 64);
  assert.ok(note.endsWith('\n'));
});

test('a checkpoint verifies with the published key and gives back what was signed', () => {
  fc.assert(
    fc.property(fc.maxSafeInteger().map(Math.abs), fc.uint8Array({ minLength: 32, maxLength: 32 }), (seq, hash) => {
      const note = signCheckpoint({ seq, hash }, signer, now);
      const checkpoint = verifyCheckpoint(note, parseVerifierKey(signer.verifier.text));
      assert.equal(checkpoint.size, seq);
      assert.deepEqual(checkpoint.hash, Buffer.from(hash));
      assert.equal(checkpoint.origin, signer.name);
    }),
    { numRuns: 50 },
  );
});

test('a checkpoint with any one character changed does not verify', () => {
  const note = signCheckpoint(head(17), signer, now);
  for (let index = 0; index < note.length; index++) {
    const changed = note.slice(0, index) + (note[index] === 'A' ? 'B' : 'A') + note.slice(index + 1);
    assert.throws(() => verifyCheckpoint(changed, signer.verifier), isInvalid, `character ${index}`);
  }
});

test('a checkpoint cut off anywhere does not verify', () => {
  const note = signCheckpoint(head(17), signer, now);
  for (let length = 0; length < note.length; length++)
    assert.throws(() => verifyCheckpoint(note.slice(0, length), signer.verifier), isInvalid, `length ${length}`);
});

test('a checkpoint of another key, another installation or another kind of note is refused', () => {
  const other = newSigner();
  assert.throws(() => verifyCheckpoint(signCheckpoint(head(1), other, now), signer.verifier), isInvalid);
  const elsewhere = noteSigner(checkpointOrigin('ffff'), signer.privateKey);
  assert.throws(() => verifyCheckpoint(signCheckpoint(head(1), elsewhere, now), signer.verifier), isInvalid);
  const foreignOrigin = signNote(`${checkpointOrigin('ffff')}\n1\n${head(1).hash.toString('base64')}\n`, signer);
  assert.throws(() => verifyCheckpoint(foreignOrigin, signer.verifier), isInvalid);
  assert.throws(() => verifyCheckpoint(signNote('hello\nworld\n', signer), signer.verifier), isInvalid);
});

test('signatures of witnesses beside ours are ignored, and a false one of ours condemns the note', () => {
  const witness = newSigner('ffff');
  const note = signCheckpoint(head(3), signer, now);
  const { text } = parseNote(note);
  const cosigned = note + (signNote(text, witness).split('\n').at(-2) ?? '') + '\n';
  assert.equal(verifyCheckpoint(cosigned, signer.verifier).size, 3);
  assert.equal(verifyCheckpoint(cosigned.replaceAll('\r', ''), signer.verifier).size, 3);
  const forged = Buffer.concat([signer.verifier.keyId, Buffer.alloc(64)]).toString('base64');
  assert.throws(() => verifyCheckpoint(`${note}— ${signer.name} ${forged}\n`, signer.verifier), isInvalid);
});

test('sizes and hashes have one spelling only', () => {
  const hash = Buffer.alloc(32).toString('base64');
  const origin = signer.name;
  for (const text of [
    `${origin}\n01\n${hash}\n`,
    `${origin}\n+1\n${hash}\n`,
    `${origin}\n9007199254740993\n${hash}\n`,
    `${origin}\n1\n${hash.slice(0, -1)}\n`,
    `${origin}\n1\n${hash.replace('A=', 'B=')}\n`,
    `${origin}\n1\n${Buffer.alloc(31).toString('base64')}\n`,
    `${origin}\n1\n`,
    `${origin}\n1\n${hash}\n\nextension\n`,
  ])
    assert.throws(() => parseCheckpoint(signNote(text, signer)), isInvalid, text);
});

test('no text, however malformed, is read as a note or as a verifier key', () => {
  const inputs = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc
      .array(fc.constantFrom('\n', '— ', 'a', 'AAAA', '=', ' ', '+', '\u2003'), { maxLength: 40 })
      .map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(inputs, (text) => {
      assert.throws(() => verifyCheckpoint(text, signer.verifier), isInvalid);
      assert.throws(() => parseVerifierKey(text), isInvalid);
    }),
    { numRuns: 1000 },
  );
  assert.throws(() => parseNote(`${'x'.repeat(20_000)}\n`), isInvalid);
  assert.throws(() => parseVerifierKey(goVerifierKey.replace('c74f20a3', 'c74f20a4')), isInvalid);
});

test('checkpoints in one text are told apart, with empty lines, carriage returns or a cut one between them', () => {
  const notes = [1, 2, 3].map((seq) => signCheckpoint(head(seq), signer, now));
  assert.deepEqual(splitCheckpoints(notes.join('\n')), notes);
  assert.deepEqual(splitCheckpoints(`\n\n${notes.join('\n\n')}`), notes);
  assert.deepEqual(splitCheckpoints(notes.join('\n').replaceAll('\n', '\r\n')), notes);
  assert.deepEqual(splitCheckpoints((notes[0] ?? '').trimEnd()), notes.slice(0, 1));
  assert.deepEqual(splitCheckpoints(''), []);
  for (let length = 0; length < (notes[1] ?? '').length; length++) {
    const text = `\n\n${notes[0]}\n\n${(notes[1] ?? '').slice(0, length)}\n\n${notes[2]}`;
    const sound = splitCheckpoints(text).filter((note) => {
      try {
        return verifyCheckpoint(note, signer.verifier).size !== 2;
      } catch {
        return false;
      }
    });
    assert.deepEqual(sound, [notes[0], notes[2]], `cut at ${length}`);
  }
});
