import { type Change, update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import { administrator } from '#policy/built-in.ts';
import type { PrincipalRow } from '#storage/core-tables.ts';
import type { Store } from '#storage/store.ts';

/**
 * A namespace always has an administrator who can act: enabled, with a key that is neither revoked nor expired. Whoever
 * takes one away names another as witness, and the commit holds only while the witness still is one. Two who take each
 * other away at the same time cannot both succeed: the second finds its witness gone, and tries again without one.
 */
export interface Witness {
  readonly id: string;
  readonly policies: string;
  readonly credential_id: string;
}

export function isAdministratorRow(row: Pick<PrincipalRow, 'policies' | 'disabled'>): boolean {
  return row.disabled === 0 && (JSON.parse(row.policies) as string[]).includes(administrator);
}

interface Leaving {
  readonly namespace: string;
  readonly now: number;
  /** The principal that is taken away, or loses the policy. */
  readonly principalId?: string;
  /** The key that is taken away. */
  readonly credentialId?: string;
}

// The name in quotes is unambiguous: names hold no quotes, and `administrator` no wildcard of LIKE.
const witnessSql = `SELECT p.id AS id, p.policies AS policies, c.id AS credential_id
  FROM principals p JOIN credentials c ON c.principal_id = p.id AND c.namespace = p.namespace
  WHERE p.namespace = ? AND p.disabled = 0 AND p.policies LIKE '%"${administrator}"%' AND p.id <> ?
    AND c.kind = 'key' AND c.revoked_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > ?) AND c.id <> ?
  ORDER BY CASE WHEN c.expires_at IS NULL THEN 0 ELSE 1 END, c.expires_at DESC, p.id LIMIT 1`;

/** Another administrator who can act. Throws `wrong_state` when there is none. */
export async function findWitness(store: Store, leaving: Leaving): Promise<Witness> {
  const { namespace, now, principalId = '', credentialId = '' } = leaving;
  const witness = await store.first<Witness>(witnessSql, [namespace, principalId, now, credentialId]);
  if (witness !== undefined) return witness;
  throw new AppError(
    'wrong_state',
    `The namespace ${namespace} would be left without an administrator who has a valid key.`,
    {
      hint: 'Make another administrator or another key first.',
    },
  );
}

/** Changes that write nothing new, and fail with `conflict` (so that the operation is tried again) if the witness left. */
export function witnessGuards(namespace: string, witness: Witness): Change[] {
  const { id, policies, credential_id: credentialId } = witness;
  return [
    update('principals', { disabled: 0 }, { id, namespace, disabled: 0, policies }, { expect: 1 }),
    update('credentials', { revoked_at: null }, { id: credentialId, namespace, revoked_at: null }, { expect: 1 }),
  ];
}

/** Rows are locked in the order of the changes (PostgreSQL), so everybody goes by table and id. */
export function inLockOrder(changes: readonly Change[]): Change[] {
  return [...changes].sort((left, right) => (lockKey(left) < lockKey(right) ? -1 : 1));
}

function lockKey(change: Change): string {
  const id = change.kind === 'insert' ? change.row['id'] : change.where['id'];
  return `${change.table === 'principals' ? 0 : 1} ${change.table} ${typeof id === 'string' ? id : ''}`;
}
