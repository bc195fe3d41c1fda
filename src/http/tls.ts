import { readFile, stat } from 'node:fs/promises';
import type { Server } from 'node:https';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import type { Logger } from 'pino';
import { describeError } from './problem.ts';

/** A certificate with its chain, and its key; both PEM. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
}

/** Where the server's own certificate comes from: files, or Chancery itself (CHANCERY_TLS=self). */
export interface TlsProvider {
  readonly load: () => Promise<TlsMaterial>;
  /** Calls `changed` whenever `load` would bring something new. Returns how to stop watching. */
  readonly watch?: (changed: () => void) => () => void;
}

/** How often the files are looked at. Polling sees every way of replacing them: rename, symlink flip, mounted secret. */
const pollInterval = 10_000;

/** Certificate and key from PEM files that something else renews. */
export function fileTls(files: { readonly cert: string; readonly key: string }, interval = pollInterval): TlsProvider {
  const load = async (): Promise<TlsMaterial> => {
    const [cert, key] = await Promise.all([readFile(files.cert, 'utf8'), readFile(files.key, 'utf8')]);
    return { cert, key };
  };
  return {
    load,
    watch: (changed) => {
      let before: string | undefined;
      const look = async (): Promise<void> => {
        const now = await modifiedAt([files.cert, files.key]);
        if (before !== undefined && now !== before) changed();
        before = now;
      };
      void look();
      const timer = setInterval(() => void look(), interval);
      timer.unref();
      return () => clearInterval(timer);
    },
  };
}

/** A text that changes when any of the files does. A file that is missing for a moment is a change as well. */
async function modifiedAt(paths: readonly string[]): Promise<string> {
  const times = await Promise.all(
    paths.map(async (path) => {
      try {
        const { mtimeMs, ino, size } = await stat(path);
        return `${mtimeMs}:${ino}:${size}`;
      } catch {
        // told to nobody here: the load that follows fails with the reason, and the old certificate stays in use
        return 'missing';
      }
    }),
  );
  return times.join(' ');
}

/** RFC 9325 §3.1.1: nothing below TLS 1.2. */
const minVersion: SecureContextOptions['minVersion'] = 'TLSv1.2';

/** Loads the certificate into the servers. Rejects, and changes nothing, when it and its key do not fit together. */
export async function applyTls(servers: readonly Server[], provider: TlsProvider): Promise<void> {
  const options: SecureContextOptions = { ...(await provider.load()), minVersion };
  createSecureContext(options);
  for (const server of servers) server.setSecureContext(options);
}

/**
 * Reloads whenever the provider has something new. A certificate that cannot be used is logged and the one in use kept:
 * half-written files are the usual case, and the next look finds them whole. Returns how to stop.
 */
export function followTls(servers: readonly Server[], provider: TlsProvider, log: Logger): () => void {
  const stop = provider.watch?.(() => {
    applyTls(servers, provider).then(
      () => log.info('tls certificate reloaded'),
      (error: unknown) => log.error({ error: describeError(error) }, 'tls certificate not reloaded; the old one stays'),
    );
  });
  return stop ?? (() => undefined);
}
