import { constants } from 'node:fs';
import { open, unlink } from 'node:fs/promises';

/** A file of mode 0600, durably, or none. O_EXCL follows no link and replaces nothing (open(2)). */
export async function writeNew(path: string, content: string | Buffer): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const handle = await open(path, flags, 0o600);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } catch (thrown) {
    await unlink(path).catch(() => undefined);
    throw thrown;
  } finally {
    await handle.close();
  }
}
