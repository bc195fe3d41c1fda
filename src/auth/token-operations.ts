import { z } from 'zod';
import { insert, update } from '#core/change.ts';
import { toRfc3339 } from '#core/clock.ts';
import { duration } from '#core/duration.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { type Access, defineOperation } from '#core/operation.ts';
import { cutPage, decodeCursor, nextCursor, pageInput } from '#core/page.ts';
import { deniedGlobs, operationGlobs, resourceGlobs } from '#policy/rules.ts';
import type { CoreTables, CredentialRow } from '#storage/core-tables.ts';
import { chainOfCredential, endOfChain, maxDepth } from './chain.ts';
import { newCredential } from './credential-row.ts';
import { type AuthDeps, findPrincipal } from './deps.ts';
import { description, principalName, showToken, tokenId, tokenView } from './views.ts';

const defaultTtl = 3600;
const maxTtl = 90 * 86_400;

export const whoami = defineOperation({
  id: 'auth.whoami',
  title: 'Show who I am',
  summary: 'Shows the principal behind the credential, its policies, and what the credential is narrowed to.',
  input: z.strictObject({}),
  output: z.strictObject({
    name: z.string().describe('Name of the principal'),
    kind: z.enum(['human', 'service', 'agent', 'system']).describe('What stands behind it'),
    namespace: z.string().describe('The namespace it belongs to'),
    policies: z.array(z.string()).describe('Names of the policies that speak for it'),
    credential_id: z.string().describe('Id of the key or token that was shown'),
    narrowings: z
      .array(
        z.strictObject({
          operations: z.array(z.string()).describe('Operations that are left (globs)'),
          resources: z.array(z.string()).describe('Resources that are left (globs)'),
          denied_resources: z.array(z.string()).describe('Resources that are not, whatever the other two say (globs)'),
        }),
      )
      .describe('Steps by which the token was narrowed; each of them must allow a request'),
    purpose: z.string().nullable().describe('What the token was made for'),
    expires_at: z.string().nullable().describe('RFC 3339; null when the credential does not expire'),
  }),
  http: { method: 'GET', path: '/auth/whoami' },
  resource: () => 'auth/whoami',
  effect: 'read',
  access: 'self',
  async run({ principal }) {
    const { name, kind, namespace, policies, credentialId, narrowings, purpose, expiresAt } = principal;
    return {
      output: {
        name,
        kind,
        namespace,
        policies: [...policies],
        credential_id: credentialId,
        narrowings: narrowings.map(({ operations, resources, denied = [] }) => ({
          operations: [...operations],
          resources: [...resources],
          denied_resources: [...denied],
        })),
        purpose: purpose ?? null,
        expires_at: expiresAt === undefined ? null : toRfc3339(expiresAt),
      },
    };
  },
});

export const createToken = defineOperation({
  id: 'auth.create_token',
  title: 'Create a narrower token',
  summary:
    'Makes a token from the credential that is shown, for fewer operations and resources and a shorter time, for an agent or a job. It can never do more than its parent, and dies with it. The token is returned once.',
  input: z.strictObject({
    operations: operationGlobs.optional(),
    resources: resourceGlobs.optional(),
    denied_resources: deniedGlobs.optional(),
    ttl: duration
      .refine((seconds) => seconds <= maxTtl, 'a token lives 90d at most')
      .default(defaultTtl)
      .describe('Life of the token (90s, 1h, 30d, or seconds), at most 90d and never beyond its parent; default 1h'),
    purpose: z
      .string()
      .trim()
      .min(1)
      .max(200)
      .regex(/^\P{Cc}*$/u, 'no control characters')
      .optional()
      .describe('Stands for the purpose of requests that state none; at most 200 characters'),
    description: description.default(''),
  }),
  output: tokenView.extend({ token: z.string().describe('The token itself; it is never shown again') }),
  http: { method: 'POST', path: '/tokens', status: 201 },
  resource: () => 'tokens',
  effect: 'additive',
  sensitive: ['token'],
  // Narrowing oneself needs no policy: whatever comes of it, the caller could do already.
  access: 'self',
  facts: ({ purpose }) => ({ purpose }),
  async run(grant, input, { store }: AuthDeps) {
    const { secret, row } = newCredential('token', {
      namespace: grant.namespace,
      principal_id: grant.principal.id,
      parent_id: grant.principal.credentialId,
      description: input.description,
      operations: input.operations === undefined ? null : JSON.stringify(input.operations),
      resources: input.resources === undefined ? null : JSON.stringify(input.resources),
      denied_resources: input.denied_resources === undefined ? null : JSON.stringify(input.denied_resources),
      purpose: input.purpose ?? null,
      created_at: grant.now,
      expires_at: await endOfChild(store, grant, input.ttl),
    });
    return {
      output: { ...showToken(row), token: secret },
      changes: [insert('credentials', { ...row })],
      audit: { token_id: row.id, expires_at: toRfc3339(row.expires_at ?? 0) },
    };
  },
});

/** Milliseconds. Throws when the caller's credential cannot have children. */
async function endOfChild(store: AuthDeps['store'], grant: Grant, ttl: number): Promise<number> {
  const chain = await chainOfCredential(store, grant.namespace, grant.principal.credentialId);
  if (chain === undefined) {
    throw new AppError('wrong_state', 'This credential cannot be narrowed.', { hint: 'Use an API key or a token.' });
  }
  if (chain.length > maxDepth) {
    throw new AppError('wrong_state', `A token may be ${maxDepth} steps from its key, and this one is.`, {
      hint: 'Make the token from a credential nearer to the key.',
    });
  }
  return Math.min(grant.now + ttl * 1000, endOfChain(chain) ?? Infinity);
}

const principalOfTokens = principalName
  .optional()
  .describe('Whose tokens; needs a policy that allows it. Without it: those made from the shown credential');

function accessTo({ principal }: { principal?: string | undefined }): Access {
  return principal === undefined ? 'self' : 'policy';
}

export const listTokens = defineOperation({
  id: 'auth.list_tokens',
  title: 'List tokens',
  summary: 'Lists the tokens made from the shown credential, or all of a principal, newest first. Never shows a token.',
  input: z.strictObject({ principal: principalOfTokens, ...pageInput }),
  output: z.strictObject({ tokens: z.array(tokenView).describe('Newest first'), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/tokens' },
  resource: ({ principal }) => (principal === undefined ? 'tokens' : `principals/${principal}/tokens`),
  effect: 'read',
  access: accessTo,
  async run(grant, { principal, limit, cursor }, { store }: AuthDeps) {
    let query = store
      .tables<CoreTables>()
      .selectFrom('credentials')
      .selectAll()
      .where('namespace', '=', grant.namespace)
      .where('kind', '=', 'token');
    query =
      principal === undefined
        ? query.where('parent_id', '=', grant.principal.credentialId)
        : query.where('principal_id', '=', (await findPrincipal(store, grant.namespace, principal)).id);
    if (cursor !== undefined) query = query.where('id', '<', decodeCursor(cursor, 'string'));
    const rows = await query
      .orderBy('id', 'desc')
      .limit(limit + 1)
      .execute();
    const page = cutPage(rows, limit, (row) => row.id);
    return { output: { tokens: page.items.map(showToken), next_cursor: page.next_cursor } };
  },
});

export const revokeToken = defineOperation({
  id: 'auth.revoke_token',
  title: 'Revoke a token',
  summary:
    'Ends a token and all that were narrowed from it, at once and for good: the shown token itself, one that came from the shown credential, or, where a policy allows it, any of a named principal.',
  input: z.strictObject({ id: tokenId, principal: principalOfTokens }),
  output: tokenView,
  http: { method: 'DELETE', path: '/tokens/{id}' },
  resource: ({ principal, id }) => (principal === undefined ? `tokens/${id}` : `principals/${principal}/tokens/${id}`),
  effect: 'destructive',
  idempotent: true,
  access: accessTo,
  async run(grant, { id, principal }, { store }: AuthDeps) {
    const row = await findToken(store, grant, id, principal);
    if (row.revoked_at !== null) return { output: showToken(row) };
    const where = { id, namespace: grant.namespace, revoked_at: null };
    return {
      output: showToken({ ...row, revoked_at: grant.now }),
      changes: [update('credentials', { revoked_at: grant.now }, where, { expect: 1 })],
    };
  },
});

/** A token of somebody else is as unknown as one that does not exist. */
async function findToken(
  store: AuthDeps['store'],
  grant: Grant,
  id: string,
  principal: string | undefined,
): Promise<CredentialRow> {
  const chain = (await chainOfCredential(store, grant.namespace, id)) ?? [];
  const owner = principal === undefined ? undefined : await findPrincipal(store, grant.namespace, principal);
  const [row] = chain;
  const reachable =
    owner === undefined
      ? chain.some((credential) => credential.id === grant.principal.credentialId)
      : row?.principal_id === owner.id;
  if (row !== undefined && reachable) return row;
  throw new AppError('not_found', 'There is no such token.', {
    hint:
      owner === undefined
        ? 'Name the principal to revoke a token that did not come from this credential.'
        : 'auth.list_tokens lists them.',
  });
}

export const tokenOperations = [whoami, createToken, listTokens, revokeToken];
