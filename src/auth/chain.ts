import type { CredentialRow } from '#storage/core-tables.ts';
import type { Parameter, Store } from '#storage/store.ts';

/** A credential and the ones it came from: child first, API key last. */
export type Chain = readonly CredentialRow[];

/** How many tokens may stand on one key, one made from the other. */
export const maxDepth = 8;

const columns = [
  'id',
  'namespace',
  'principal_id',
  'parent_id',
  'kind',
  'secret_hash',
  'description',
  'operations',
  'resources',
  'denied_resources',
  'purpose',
  'created_at',
  'expires_at',
  'revoked_at',
] as const satisfies readonly (keyof CredentialRow)[];

function chainSql(start: string): string {
  return `WITH RECURSIVE chain AS (
    SELECT ${columns.map((column) => `c.${column}`).join(', ')}, 0 AS depth FROM credentials c WHERE ${start}
    UNION ALL
    SELECT ${columns.map((column) => `p.${column}`).join(', ')}, chain.depth + 1
    FROM credentials p JOIN chain ON p.id = chain.parent_id AND p.namespace = chain.namespace
      AND p.principal_id = chain.principal_id
    WHERE chain.depth <= ${maxDepth}
  ) SELECT * FROM chain ORDER BY depth`;
}

const byHash = chainSql('c.secret_hash = ?');
const byId = chainSql('c.namespace = ? AND c.id = ?');

/** The chain of the secret with this hash, or undefined when there is none that leads back to a key. */
export function chainOfSecret(store: Store, secretHash: string): Promise<Chain | undefined> {
  return load(store, byHash, [secretHash]);
}

/** The same for a credential id of a namespace. */
export function chainOfCredential(store: Store, namespace: string, id: string): Promise<Chain | undefined> {
  return load(store, byId, [namespace, id]);
}

async function load(store: Store, sql: string, parameters: readonly Parameter[]): Promise<Chain | undefined> {
  const rows = await store.all<CredentialRow>(sql, parameters);
  // A chain that ends before a key has lost a parent: deleted, or deeper than tokens may be.
  return rows.at(-1)?.parent_id === null ? rows : undefined;
}

/** When the first of the chain ends, in milliseconds; undefined when none does. */
export function endOfChain(chain: Chain): number | undefined {
  const ends = chain.flatMap((credential) => credential.expires_at ?? []);
  return ends.length === 0 ? undefined : Math.min(...ends);
}

export function isRevoked(chain: Chain): boolean {
  return chain.some((credential) => credential.revoked_at !== null);
}
