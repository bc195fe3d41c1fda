import { parentPort } from 'node:worker_threads';
import { AppError } from '#core/errors.ts';
import { type SigningKey, signPrepared } from '#pki/signing.ts';
import { generateKeyPair } from '#pki/x509/key.ts';
import {
  type FromThread,
  type MakeKeysMessage,
  pack,
  type SignMessage,
  type SignResult,
  type ToThread,
  unpack,
} from './wire.ts';

/**
 * A signing thread: proves, lints, signs and verifies what it is given, and makes keys. It keeps nothing but the issuers'
 * keys.
 */

if (parentPort === null) throw new Error('this file runs as a worker thread');
const port = parentPort;
const keys = new Map<string, SigningKey>();

port.on('message', (message: ToThread) => {
  switch (message.type) {
    case 'key':
      keys.set(message.id, message);
      return;
    case 'sign':
      post(sign(message));
      return;
    case 'make_keys':
      void makeKeys(message).then(post);
  }
});

function post(message: FromThread): void {
  port.postMessage(message, [message.bytes.buffer]);
}

function sign({ jobs, bytes }: SignMessage): FromThread {
  const certificates: Buffer[] = [];
  const parts = unpack(
    bytes,
    jobs.flatMap((job) => [job.length, job.csrLength]),
  );
  const results = jobs.map((job, index): SignResult => {
    try {
      const key = keys.get(job.keyId);
      const tbs = parts[2 * index];
      const csr = job.csrLength === 0 ? undefined : parts[2 * index + 1];
      if (key === undefined || tbs === undefined) throw new Error('the signing thread does not know the key of a job');
      const certificate = signPrepared({ tbs, csr, kind: job.kind, webPki: job.webPki }, key);
      certificates.push(certificate);
      return { id: job.id, length: certificate.length };
    } catch (error) {
      return { id: job.id, ...explain(error) };
    }
  });
  return { type: 'signed', results, bytes: pack(certificates) };
}

function explain(error: unknown) {
  if (error instanceof AppError && (error.code === 'refused' || error.code === 'invalid_request'))
    return { refused: { code: error.code, message: error.message, hint: error.hint, details: error.details } };
  return { fault: error instanceof Error ? error.message : String(error) };
}

async function makeKeys({ count }: MakeKeysMessage): Promise<FromThread> {
  const parts: Buffer[] = [];
  for (let made = 0; made < count; made++) {
    const { spki, pkcs8 } = await generateKeyPair('ec-p256');
    parts.push(spki, pkcs8);
  }
  const bytes = pack(parts);
  for (const part of parts) part.fill(0);
  return { type: 'keys', lengths: parts.map((part) => part.length), bytes };
}
