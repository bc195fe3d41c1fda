import { Worker } from 'node:worker_threads';
import { AppError } from '#core/errors.ts';
import type { Prepared, SigningKey } from '#pki/signing.ts';
import type { KeyBytes } from './signer.ts';
import {
  type FromThread,
  type KeysMessage,
  pack,
  type SignedMessage,
  type SignJob,
  type SignResult,
  type ToThread,
  unpack,
} from './wire.ts';

/** One worker thread, as the main thread sees it. Jobs of one turn of the event loop travel together. */
export interface SigningThread {
  /** Jobs that wait for their answer. */
  readonly pending: number;
  sign(keyId: string, key: SigningKey, prepared: Prepared): Promise<Buffer>;
  makeKeys(count: number): Promise<KeyBytes[]>;
  close(): Promise<void>;
}

/** Small enough that the first answers of a busy turn do not wait for its last. */
const maxJobsInMessage = 16;

interface Waiting<Value> {
  readonly resolve: (value: Value) => void;
  readonly reject: (error: unknown) => void;
}

interface Job {
  readonly header: SignJob;
  readonly tbs: Buffer;
  readonly csr: Buffer;
}

const noCsr = Buffer.alloc(0);

/** What belongs to one life of the worker; a new life begins with an empty one. */
interface Life {
  readonly worker: Worker;
  readonly knownKeys: Set<string>;
  readonly signing: Map<number, Waiting<Buffer>>;
  readonly making: Waiting<KeyBytes[]>[];
}

export function createThread(): SigningThread {
  let life: Life | undefined;
  let queue: Job[] = [];
  let nextId = 0;

  /** Started with the first job, and again when it died: what it was doing fails, what comes later does not. */
  const alive = (): Life => {
    if (life) return life;
    const started = startLife(() => {
      if (life === started) life = undefined;
    });
    life = started;
    return started;
  };
  const flush = (): void => {
    const { worker } = alive();
    while (queue.length > 0) {
      const jobs = queue.slice(0, maxJobsInMessage);
      queue = queue.slice(maxJobsInMessage);
      const bytes = pack(jobs.flatMap(({ tbs, csr }) => [tbs, csr]));
      send(worker, { type: 'sign', jobs: jobs.map(({ header }) => header), bytes }, [bytes.buffer]);
    }
  };
  return {
    get pending() {
      return life?.signing.size ?? 0;
    },
    sign(keyId, key, { tbs, kind, webPki, csr = noCsr }) {
      const { worker, knownKeys, signing } = alive();
      if (!knownKeys.has(keyId)) {
        send(worker, { type: 'key', id: keyId, ...key });
        knownKeys.add(keyId);
      }
      const id = nextId++;
      if (queue.length === 0) setImmediate(flush);
      const header = { id, keyId, kind, webPki, length: tbs.length, csrLength: csr.length };
      queue.push({ header, tbs, csr });
      return new Promise((resolve, reject) => signing.set(id, { resolve, reject }));
    },
    makeKeys(count) {
      const { worker, making } = alive();
      send(worker, { type: 'make_keys', count });
      return new Promise((resolve, reject) => making.push({ resolve, reject }));
    },
    async close() {
      await life?.worker.terminate();
    },
  };
}

function send(worker: Worker, message: ToThread, transfer: readonly ArrayBuffer[] = []): void {
  worker.postMessage(message, transfer);
}

function startLife(ended: () => void): Life {
  const worker = new Worker(new URL('./thread.ts', import.meta.url), { name: 'chancery signing' });
  worker.unref();
  const life: Life = { worker, knownKeys: new Set(), signing: new Map(), making: [] };
  worker.on('message', (message: FromThread) =>
    message.type === 'signed' ? settleSigned(life, message) : settleKeys(life, message),
  );
  const end = (cause?: unknown): void => {
    ended();
    const error = new AppError('unavailable', 'The signing thread ended.', {
      hint: 'Try again; a new one is started.',
      cause,
    });
    for (const waiting of [...life.signing.values(), ...life.making]) waiting.reject(error);
    life.signing.clear();
    life.making.length = 0;
  };
  worker.on('error', end);
  worker.on('exit', () => end());
  return life;
}

function settleSigned({ signing }: Life, { results, bytes }: SignedMessage): void {
  const certificates = unpack(
    bytes,
    results.flatMap((result) => ('length' in result ? [result.length] : [])),
  );
  let next = 0;
  for (const result of results) {
    const waiting = signing.get(result.id);
    signing.delete(result.id);
    if ('length' in result) waiting?.resolve(certificates[next++] as Buffer);
    else waiting?.reject(errorOf(result));
  }
}

function errorOf(result: Exclude<SignResult, { length: number }>): Error {
  if ('fault' in result) return new Error(result.fault);
  const { code, message, hint, details } = result.refused;
  return new AppError(code, message, { details, ...(hint === undefined ? {} : { hint }) });
}

function settleKeys({ making }: Life, { lengths, bytes }: KeysMessage): void {
  const parts = unpack(bytes, lengths);
  const keys: KeyBytes[] = [];
  for (let index = 0; index + 1 < parts.length; index += 2)
    keys.push({ spki: parts[index] as Buffer, pkcs8: parts[index + 1] as Buffer });
  making.shift()?.resolve(keys);
}
