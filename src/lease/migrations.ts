import type { Migration } from '#storage/store.ts';

/** The tables of leases (tables.ts). A migration that was released is never edited. */
export const leaseMigrations: readonly Migration[] = [
  {
    area: 'lease',
    number: 1,
    title: 'leases, counters, brake',
    statements: [
      `CREATE TABLE leases (
        id TEXT PRIMARY KEY, namespace TEXT NOT NULL, engine TEXT NOT NULL, role TEXT NOT NULL, target TEXT NOT NULL,
        principal TEXT NOT NULL, credential_id TEXT, purpose TEXT, state TEXT NOT NULL, cause TEXT,
        subject TEXT NOT NULL, facts TEXT NOT NULL, revocation TEXT NOT NULL, issued_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL, max_expires_at BIGINT NOT NULL, renewals BIGINT NOT NULL, next_action_at BIGINT,
        claim TEXT, attempts BIGINT NOT NULL, last_error TEXT, unavailable BIGINT NOT NULL, residue TEXT,
        ended_at BIGINT, ended_as TEXT)`,
      // What is due, in the order in which it is; the target is in it, so that it is told in the index whose a lease is.
      `CREATE INDEX leases_due ON leases (next_action_at, namespace, target) WHERE next_action_at IS NOT NULL`,
      `CREATE INDEX leases_due_at ON leases (namespace, target, next_action_at) WHERE next_action_at IS NOT NULL`,
      // The few that are neither active nor revoked: for counting them, and for sweeping under the brake.
      `CREATE INDEX leases_unsettled ON leases (state, next_action_at)
        WHERE state IN ('minting', 'revoking', 'stuck')`,
      'CREATE INDEX leases_ended ON leases (ended_at) WHERE ended_at IS NOT NULL',
      'CREATE INDEX leases_namespace ON leases (namespace, id)',
      'CREATE INDEX leases_state ON leases (namespace, state, id)',
      'CREATE INDEX leases_role ON leases (namespace, role, id)',
      'CREATE INDEX leases_target ON leases (namespace, target, id)',
      'CREATE INDEX leases_principal ON leases (namespace, principal, id)',
      'CREATE INDEX leases_subject ON leases (namespace, subject, id)',
      `CREATE TABLE lease_counts (
        namespace TEXT NOT NULL, scope TEXT NOT NULL, live BIGINT NOT NULL, PRIMARY KEY (namespace, scope))`,
      `CREATE TABLE lease_brake (
        id BIGINT PRIMARY KEY, heartbeat_at BIGINT NOT NULL, applied_at BIGINT, reason TEXT, overdue BIGINT)`,
    ],
  },
];

/** The mark of a restored store; brake.ts finds it, and takes it away when somebody has looked. */
export const restoredSetting = 'lease.restored';

/**
 * What is done after a restore: leases of a backup were renewed or ended since, so that nothing may end by expiry before
 * somebody has looked.
 */
export const leaseAfterRestore: readonly string[] = [
  `DELETE FROM settings WHERE name = '${restoredSetting}'`,
  `INSERT INTO settings (name, value) VALUES ('${restoredSetting}', 'yes')`,
];
