import { core001 } from '#storage/migrations/001-core.ts';
import { core002 } from '#storage/migrations/002-denied-resources.ts';
import type { Migration } from '#storage/store.ts';

/** The schema of the house, in order. `openStore` always applies it; a migration that was released is never edited. */
export const coreMigrations: readonly Migration[] = [core001, core002];
