import { claimAfterRestore, claimMigrations } from '#claim/migrations.ts';
import { acmeClientMigrations } from '#engines/acme/client/migrations.ts';
import { acmeServerAfterRestore, acmeServerMigrations } from '#engines/acme/server/migrations.ts';
import { databaseMigrations } from '#engines/database/migrations.ts';
import { pkiAfterRestore, pkiMigrations } from '#engines/pki/migrations.ts';
import { leaseAfterRestore, leaseMigrations } from '#lease/migrations.ts';
import type { Migration } from '#storage/store.ts';

/** The schema beside core's own: the server and the commands that open its store must know the same. */
export const migrations: readonly Migration[] = [
  ...pkiMigrations,
  ...leaseMigrations,
  ...databaseMigrations,
  ...claimMigrations,
  ...acmeClientMigrations,
  ...acmeServerMigrations,
];

/** What is done in a store that was restored from a backup. */
export const afterRestore: readonly string[] = [
  ...pkiAfterRestore,
  ...leaseAfterRestore,
  ...claimAfterRestore,
  ...acmeServerAfterRestore,
];
