import type { Migration } from '#storage/store.ts';

export const core002: Migration = {
  area: 'core',
  number: 2,
  title: 'tokens that deny resources',
  statements: ['ALTER TABLE credentials ADD COLUMN denied_resources TEXT'],
};
