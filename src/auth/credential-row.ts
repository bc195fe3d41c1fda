import { newId } from '#core/ids.ts';
import type { CredentialRow } from '#storage/core-tables.ts';
import { hashSecret, newSecret } from './secret.ts';

/** A new credential: the secret, which is shown once, and the row, which holds only its hash. */
export interface NewCredential {
  readonly secret: string;
  readonly row: CredentialRow;
}

type Given = Pick<CredentialRow, 'namespace' | 'principal_id' | 'created_at'> &
  Partial<
    Pick<
      CredentialRow,
      'description' | 'parent_id' | 'operations' | 'resources' | 'denied_resources' | 'purpose' | 'expires_at'
    >
  >;

export function newCredential(kind: CredentialRow['kind'], given: Given): NewCredential {
  const secret = newSecret();
  const row: CredentialRow = {
    id: newId(kind === 'key' ? 'key' : 'tok', given.created_at),
    parent_id: null,
    kind,
    secret_hash: hashSecret(secret).toString('hex'),
    description: '',
    operations: null,
    resources: null,
    denied_resources: null,
    purpose: null,
    expires_at: null,
    revoked_at: null,
    ...given,
  };
  return { secret, row };
}
