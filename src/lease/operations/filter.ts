import { z } from 'zod';
import { name } from '#core/ids.ts';

/** By what leases are found, for lists and for ending many. */

const resource = z
  .string()
  .max(300)
  .regex(/^[a-z0-9_-]+(?:\/[a-z0-9_-]+)*$/, 'not a resource, such as database/roles/readonly');

export const filterFields = {
  role: resource.optional().describe('Only those minted from this role (database/roles/readonly)'),
  target: resource.optional().describe('Only those at this target (database/connections/app)'),
  principal: name.optional().describe('Only those of this principal'),
  engine: name.optional().describe('Only those of this engine (database)'),
};

export const filterNames = ['role', 'target', 'principal', 'engine'] as const;
