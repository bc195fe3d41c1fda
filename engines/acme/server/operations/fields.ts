import { z } from 'zod';
import { name } from '#core/ids.ts';

export const roleName = name.describe('Role of the PKI, whose directory it is');
export const directoryResource = ({ role }: { readonly role: string }): string => `acme/directories/${role}`;
export const directoryUrlField = z.string().describe('What ACME clients are given as server');
