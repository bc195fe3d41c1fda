import { X509Certificate } from 'node:crypto';
import type { Command } from './command.ts';
import type { Item } from './table.ts';

/**
 * What a TLS server is given: the certificate and those above it, without the root, which clients have or do not trust
 * (RFC 8446 §4.4.2). certbot calls the file so. No answer has it as a field; it is made of two.
 */
export const fullChainField = 'fullchain';

/** Whether the answer of a command is a certificate with its chain. */
export function hasFullChain(command: Command): boolean {
  const names = command.output().fields.map(({ name }) => name);
  return command.collection === 'certificates' && names.includes('certificate') && names.includes('chain');
}

/** PEM, the certificate first; undefined when the answer has no certificate. */
export function fullChain({ certificate, chain }: Item): readonly string[] | undefined {
  if (typeof certificate !== 'string') return undefined;
  const above = Array.isArray(chain) ? chain.filter((pem) => typeof pem === 'string') : [];
  return [certificate, ...above.filter((pem) => !isRoot(pem))];
}

function isRoot(pem: string): boolean {
  try {
    const certificate = new X509Certificate(pem);
    return certificate.checkIssued(certificate);
  } catch {
    // What cannot be read is left in: it is the server's word that it belongs to the chain.
    return false;
  }
}
