import { randomBytes } from 'node:crypto';
import { maskSecrets } from './mask.ts';

/** Names a fault that nobody outside hears the text of. */
export function newFaultId(): string {
  return `req_${randomBytes(12).toString('hex')}`;
}

/** An error for the log: what explains it, with what looks like a secret masked in text and stack. */
export function describeFault(error: unknown): string {
  if (!(error instanceof Error)) return `a thrown ${typeof error}`;
  return maskSecrets(error.stack ?? `${error.name}: ${error.message}`);
}
