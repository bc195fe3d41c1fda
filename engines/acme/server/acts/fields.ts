import { z } from 'zod';
import { name } from '#core/ids.ts';
import { challengeTypes } from '#acme/challenge/contract.ts';
import type { ServerDeps } from '#acme/server/deps.ts';
import type { Directory } from '#acme/server/directories.ts';
import { malformed } from '#acme/server/problem.ts';

/** Fields of acts. Everything was read from a verified request before; here it is bounded once more. */

const id = (prefix: string) => z.string().regex(new RegExp(`^${prefix}_[0-9a-z]{26}$`));

export const accountId = id('asa');
export const orderId = id('aso');
export const authorizationId = id('asz');
export const challengeId = id('ash');
export const directoryRole = name;
export const thumbprint = z.string().regex(/^[A-Za-z0-9_-]{43}$/);
export const jsonText = z.string().max(16_384);
export const contactList = z.array(z.string().max(320)).max(10);
export const claim = z.string().regex(/^[0-9a-f]{32}$/);
export const identifier = z.strictObject({ type: z.enum(['dns', 'ip']), value: z.string().max(255) });
export const challengeType = z.enum(challengeTypes);
export const sourceAddress = z.string().max(64).nullable();

/** Throws `malformed` with status 404 when the role is gone. */
export async function requireDirectory(
  { directories }: Pick<ServerDeps, 'directories'>,
  namespace: string,
  role: string,
): Promise<Directory> {
  const directory = await directories.of(namespace, role);
  if (directory === undefined) throw malformed('There is no such directory any more.', 404);
  return directory;
}
