import { z } from 'zod';
import type { Grant } from '#core/grant.ts';
import { name } from '#core/ids.ts';
import type { ServerDeps } from '#acme/server/deps.ts';

export const roleName = name.describe('Role of the PKI, whose directory it is');
export const directoryResource = ({ role }: { readonly role: string }): string => `acme/directories/${role}`;
/** What accounts, keys and settings of a directory lead to. Throws `denied` where that is out of reach. */
export async function reachRole({ issuer }: Pick<ServerDeps, 'issuer'>, grant: Grant, role: string): Promise<void> {
  grant.reach(directoryResource({ role }));
  grant.reach(`pki/roles/${role}`);
  const authority = await issuer.authorityOf(grant.namespace, role);
  if (authority !== undefined) grant.reach(`pki/authorities/${authority}`);
}

export const directoryUrlField = z.string().describe('What ACME clients are given as server');
