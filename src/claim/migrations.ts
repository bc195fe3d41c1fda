import type { Migration } from '#storage/store.ts';

/** A migration that was released is never edited. */
export const claimMigrations: readonly Migration[] = [
  {
    area: 'claim',
    number: 1,
    title: 'claims',
    statements: [
      `CREATE TABLE claims (
        id TEXT PRIMARY KEY, namespace TEXT NOT NULL, principal_id TEXT NOT NULL, principal TEXT NOT NULL,
        credential_id TEXT NOT NULL, operation TEXT NOT NULL, resource TEXT NOT NULL, fields TEXT NOT NULL,
        verifier BLOB NOT NULL, secrets BLOB, created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, claimed_at BIGINT,
        claimed_from TEXT, cancelled_at BIGINT, alarms BIGINT NOT NULL, alarmed_at BIGINT)`,
      'CREATE INDEX claims_namespace ON claims (namespace, id)',
      'CREATE INDEX claims_principal ON claims (namespace, principal_id, id)',
      'CREATE INDEX claims_expiry ON claims (expires_at)',
      'CREATE INDEX claims_held ON claims (expires_at) WHERE secrets IS NOT NULL',
      'CREATE INDEX claims_alarmed ON claims (alarmed_at) WHERE alarmed_at IS NOT NULL',
    ],
  },
  {
    area: 'claim',
    number: 2,
    title: 'by what a claim was allowed',
    statements: [
      "ALTER TABLE claims ADD COLUMN standing TEXT NOT NULL DEFAULT 'rule'",
      'ALTER TABLE claims ADD COLUMN purpose TEXT',
    ],
  },
];

/** A backup does not know what was claimed after it, and a handle is good once: so none of its claims is any more. */
export const claimAfterRestore: readonly string[] = ['UPDATE claims SET secrets = NULL'];
