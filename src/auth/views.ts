import { z } from 'zod';
import { toRfc3339 } from '#core/clock.ts';
import { name } from '#core/ids.ts';
import type { CredentialRow, NamespaceRow, PrincipalRow } from '#storage/core-tables.ts';

/** What the operations of this area take and show. */

export const principalName = name.describe('Name of the principal, unique in the namespace');
export const namespaceName = name.describe('Name of the namespace');
/** Kept and shown as text; line breaks and other control characters have no place in it. */
export const description = z
  .string()
  .max(500)
  .regex(/^\P{Cc}*$/u, 'no control characters')
  .describe('What it is for, in words; at most 500 characters');
export const policyNames = z
  .array(name)
  .max(16)
  .refine((names) => new Set(names).size === names.length, 'the same policy twice')
  .describe('Names of the policies that speak for it, at most 16');
export const keyId = z
  .string()
  .regex(/^key_[0-9a-z]{26}$/, 'not the id of a key')
  .describe('Id of the key');
export const tokenId = z
  .string()
  .regex(/^tok_[0-9a-z]{26}$/, 'not the id of a token')
  .describe('Id of the token');
export const principalKind = z.enum(['human', 'service', 'agent']).describe('What stands behind it');

const createdAt = z.string().describe('RFC 3339');
const expiresAt = z.string().nullable().describe('RFC 3339; null when it does not expire');
const revokedAt = z.string().nullable().describe('RFC 3339; null while it is not revoked');

export const principalView = z.strictObject({
  name: z.string().describe('Name, unique in the namespace'),
  namespace: z.string().describe('The namespace it belongs to'),
  kind: principalKind,
  description: z.string().describe('What it is for'),
  policies: z.array(z.string()).describe('Names of the policies that speak for it'),
  disabled: z.boolean().describe('A disabled principal cannot authenticate'),
  created_at: createdAt,
});

export function showPrincipal(row: PrincipalRow): z.output<typeof principalView> {
  return {
    name: row.name,
    namespace: row.namespace,
    kind: row.kind,
    description: row.description,
    policies: JSON.parse(row.policies) as string[],
    disabled: row.disabled !== 0,
    created_at: toRfc3339(row.created_at),
  };
}

export const keyView = z.strictObject({
  id: z.string().describe('Id of the key; not secret'),
  principal: z.string().describe('Whose key it is'),
  description: z.string().describe('What it is for'),
  created_at: createdAt,
  expires_at: expiresAt,
  revoked_at: revokedAt,
});

export function showKey(row: CredentialRow, principal: string): z.output<typeof keyView> {
  return {
    id: row.id,
    principal,
    description: row.description,
    created_at: toRfc3339(row.created_at),
    expires_at: toOptionalTime(row.expires_at),
    revoked_at: toOptionalTime(row.revoked_at),
  };
}

export const tokenView = z.strictObject({
  id: z.string().describe('Id of the token; not secret'),
  parent_id: z.string().nullable().describe('The key or token that it was narrowed from; it dies with it'),
  description: z.string().describe('What it is for'),
  operations: z
    .array(z.string())
    .nullable()
    .describe('Operations (globs) that this step left; null: all of the parent'),
  resources: z.array(z.string()).nullable().describe('Resources (globs) that this step left; null: all of the parent'),
  denied_resources: z
    .array(z.string())
    .nullable()
    .describe('Resources (globs) that this step denied, also behind others; null: none'),
  purpose: z.string().nullable().describe('Stands for the purpose of requests that state none'),
  created_at: createdAt,
  expires_at: expiresAt,
  revoked_at: revokedAt,
});

export function showToken(row: CredentialRow): z.output<typeof tokenView> {
  return {
    id: row.id,
    parent_id: row.parent_id,
    description: row.description,
    operations: row.operations === null ? null : (JSON.parse(row.operations) as string[]),
    resources: row.resources === null ? null : (JSON.parse(row.resources) as string[]),
    denied_resources: row.denied_resources === null ? null : (JSON.parse(row.denied_resources) as string[]),
    purpose: row.purpose,
    created_at: toRfc3339(row.created_at),
    expires_at: toOptionalTime(row.expires_at),
    revoked_at: toOptionalTime(row.revoked_at),
  };
}

export const namespaceView = z.strictObject({
  name: z.string().describe('Name of the namespace'),
  description: z.string().describe('What it is for'),
  created_at: createdAt,
});

export function showNamespace(row: NamespaceRow): z.output<typeof namespaceView> {
  return { name: row.name, description: row.description, created_at: toRfc3339(row.created_at) };
}

function toOptionalTime(milliseconds: number | null): string | null {
  return milliseconds === null ? null : toRfc3339(milliseconds);
}
