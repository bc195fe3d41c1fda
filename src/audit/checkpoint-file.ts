import { open } from 'node:fs/promises';

/**
 * `checkpoints.log` in the data folder: every checkpoint that the hourly job signed, divided by empty lines. Only
 * ever appended to. Copy it, or what the log says, to where whoever can write to the store cannot reach.
 */
export interface CheckpointFile {
  readonly path: string;
  /** Durable when it resolves. */
  append(checkpoint: string): Promise<void>;
  /** The newest part, at most `maxTailBytes`; empty when there is no file. Its first checkpoint may be cut off. */
  tail(): Promise<string>;
}

/** About two months of hourly checkpoints. */
const maxTailBytes = 512 * 1024;

export function checkpointFile(path: string): CheckpointFile {
  return {
    path,
    async append(checkpoint) {
      const file = await open(path, 'a', 0o600);
      try {
        // empty lines before it, so that what a crash cut off does not run into it
        await file.write(`\n\n${checkpoint}`);
        await file.sync();
      } finally {
        await file.close();
      }
    },
    tail: () => readTail(path),
  };
}

async function readTail(path: string): Promise<string> {
  const file = await open(path, 'r').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return '';
  try {
    const { size } = await file.stat();
    const length = Math.min(size, maxTailBytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}
