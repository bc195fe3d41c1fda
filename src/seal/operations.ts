import { z } from 'zod';
import { type Clock, toRfc3339 } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { defineOperation } from '#core/operation.ts';
import { nextCursor, pageInput } from '#core/page.ts';
import type { Keyring } from './keyring.ts';
import { countByVersion, listKeys, planDeletion, planRewrap, type RotationDeps } from './rotation.ts';

export interface SealDeps extends RotationDeps {
  readonly keyring: Keyring;
  readonly clock: Clock;
}

const resource = () => 'seal/keys';

/** The keys are those of the whole installation; dispatch refuses other namespaces first, and this holds if it did not. */
function assertRoot(grant: Grant): void {
  if (grant.namespace === 'root') return;
  throw new AppError('denied', 'The seal belongs to the installation, and only the namespace root may touch it.');
}

const version = z.number().int().describe('Version of a data key');

export const getStatus = defineOperation({
  id: 'seal.get_status',
  title: 'Show seal and key versions',
  summary: 'Shows the versions of the data keys and how many values each one seals. Never shows a key.',
  input: z.strictObject({}),
  output: z.strictObject({
    root_key_id: z.string().describe('Names the root key: 16 hex digits of a hash; tells nothing of the key'),
    active_version: version,
    versions: z
      .array(
        z.strictObject({
          version,
          state: z.enum(['active', 'retired']).describe('Retired keys only open'),
          created_at: z.string().describe('RFC 3339'),
          values: z.number().int().describe('Values in the store that this version sealed'),
        }),
      )
      .describe('Oldest first'),
    unreadable_values: z.number().int().describe('Values that are cut off or of an unknown form or version'),
    rewrap_pending: z.boolean().describe('Whether values are still sealed under a retired version'),
    sealed_since_start: z.number().int().describe('Values that this process sealed under the active version'),
    advice: z.string().nullable().describe('Whether and why the key should be rotated'),
  }),
  http: { method: 'GET', path: '/seal' },
  resource,
  effect: 'read',
  installation: true,
  async run(grant, _input, deps: SealDeps) {
    assertRoot(grant);
    const [keys, counts] = [await listKeys(deps.store), await countByVersion(deps)];
    const usage = deps.keyring.usage();
    const versions = keys.map((key) => ({
      version: key.version,
      state: key.state,
      created_at: toRfc3339(key.created_at),
      values: counts.get(key.version) ?? 0,
    }));
    const known = versions.reduce((sum, key) => sum + key.values, 0);
    const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
    return {
      output: {
        root_key_id: deps.keyring.rootKeyId,
        active_version: deps.keyring.activeVersion,
        versions,
        unreadable_values: all - known,
        rewrap_pending: versions.some((key) => key.state === 'retired' && key.values > 0),
        sealed_since_start: usage.sealedHere,
        advice: usage.advice,
      },
    };
  },
});

export const rotateKey = defineOperation({
  id: 'seal.rotate_key',
  title: 'Rotate the data key',
  summary:
    'Makes a new data key that seals from now on. What older keys sealed is sealed again in the background, within minutes and without downtime; seal.get_status shows how far it is.',
  input: z.strictObject({}),
  output: z.strictObject({
    version: version.describe('The version that seals from now on'),
    previous_version: version.describe('The version that only opens from now on'),
  }),
  http: { method: 'POST', path: '/seal/rotate', status: 201 },
  resource,
  effect: 'mutating',
  installation: true,
  async run(grant, _input, deps: SealDeps) {
    assertRoot(grant);
    const { version: made, previous, changes } = await deps.keyring.rotation(grant.now);
    return { output: { version: made, previous_version: previous }, changes, audit: { version: made, previous } };
  },
});

export const rewrapValues = defineOperation({
  id: 'seal.rewrap_values',
  title: 'Seal values again',
  summary:
    'Seals one page of values again under the active data key; a background job calls it after a rotation. Values that do not open are left and named.',
  input: z.strictObject({ ...pageInput, limit: pageInput.limit.default(200) }),
  output: z.strictObject({
    scanned: z.number().int().describe('Rows that were looked at'),
    rewrapped: z.number().int().describe('Values sealed again'),
    unreadable: z.array(z.string()).describe('Places whose value does not open: table/row/column'),
    next_cursor: nextCursor,
  }),
  http: { method: 'POST', path: '/seal/rewrap' },
  resource,
  effect: 'mutating',
  idempotent: true,
  installation: true,
  async run(grant, { limit, cursor }, deps: SealDeps) {
    assertRoot(grant);
    const { changes, next, ...page } = await planRewrap(deps, deps.keyring, cursor ?? null, limit);
    const audit = {
      version: deps.keyring.activeVersion,
      rewrapped: page.rewrapped,
      unreadable: page.unreadable.length,
      first_unreadable: page.unreadable[0] ?? null,
    };
    return { output: { ...page, next_cursor: next }, changes, audit };
  },
});

export const deleteUnusedKeys = defineOperation({
  id: 'seal.delete_unused_keys',
  title: 'Delete unused data keys',
  summary:
    'Deletes retired data keys that no value needs and that were retired more than 24 hours ago; a background job calls it after a rotation.',
  input: z.strictObject({}),
  output: z.strictObject({
    deleted: z.array(version).describe('Versions that are gone'),
    kept: z
      .array(z.strictObject({ version, reason: z.string().describe('Why it stays, in one sentence') }))
      .describe('Retired versions that stay'),
  }),
  http: { method: 'POST', path: '/seal/delete-unused-keys' },
  resource,
  effect: 'destructive',
  idempotent: true,
  installation: true,
  async run(grant, _input, deps: SealDeps) {
    assertRoot(grant);
    const { changes, deleted, kept } = await planDeletion(deps, grant.now);
    return { output: { deleted, kept }, changes, audit: { deleted: deleted.join(','), kept: kept.length } };
  },
});

export const sealOperations = [getStatus, rotateKey, rewrapValues, deleteUnusedKeys];
