import type { z } from 'zod';
import type { Change } from '#core/change.ts';
import { toRfc3339 } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import { defineOperation } from '#core/operation.ts';
import { decodeCursor, encodeCursor } from '#core/page.ts';
import type { PkiDeps } from '#pki/deps.ts';
import type { Authority } from '#pki/directory.ts';
import { buildCrl, findState, findStored, isDue } from '#pki/revocation/crl-builder.ts';
import { listShards, type PublishedShard } from '#pki/revocation/crl-shard-list.ts';
import { crlStatusInput, crlStatusOutput, rebuildCrlsInput, rebuildCrlsOutput } from '#pki/revocation/schema.ts';
import { authorityResource } from './authorities.ts';

/** Publication of CRLs: by hand, by the background job, and how it stands. */

/** One commit holds at most so many CRLs of at most a megabyte each, with delta and base: SQLite takes 10 ms for them. */
const maxPerCall = 4;

export const rebuildCrls = defineOperation({
  id: 'pki.rebuild_crls',
  title: 'Publish CRLs anew',
  summary:
    'Makes the CRLs of an authority again, full and delta, at most 4 shards a call. They are made by themselves after every revocation and before they run out; this is for other reasons.',
  input: rebuildCrlsInput,
  output: rebuildCrlsOutput,
  http: { method: 'POST', path: '/pki/authorities/{name}/crl/rebuild' },
  effect: 'mutating',
  resource: authorityResource,
  async run(grant, input, deps: PkiDeps) {
    const authority = await deps.directory.requireAuthority(grant.namespace, input.name);
    const rest = after(input.cursor, await chosenShards(deps, authority, input, grant.now));
    const built: z.output<typeof rebuildCrlsOutput>['crls'] = [];
    const changes: Change[] = [];
    let position = 0;
    for (; position < rest.length && built.length < maxPerCall; position++) {
      const { issuer, shard } = rest[position] as PublishedShard;
      if (input.due_only && !isDue(await findState(deps.store, issuer.row.id, shard), grant.now)) continue;
      const order = { issuer, shard, urls: authority.urls, now: grant.now, ttl: authority.settings.crlTtl };
      const crl = await buildCrl(deps.store, order);
      changes.push(...crl.changes);
      built.push(describe(authority, issuer.row.number, crl.full, crl.full.crl.length));
    }
    const last = rest[position - 1];
    return {
      output: { crls: built, next_cursor: position < rest.length && last ? encodeCursor(cursorOf(last)) : null },
      changes,
      audit: { crls: built.length, entries: built.reduce((sum, crl) => sum + crl.entries, 0) },
    };
  },
});

async function chosenShards(
  deps: PkiDeps,
  authority: Authority,
  input: z.output<typeof rebuildCrlsInput>,
  now: number,
): Promise<PublishedShard[]> {
  const shards = (await listShards(deps.store, authority, now)).filter(
    ({ issuer, shard }) =>
      (input.issuer_number === undefined || issuer.row.number === input.issuer_number) &&
      (input.shard === undefined || shard === input.shard),
  );
  if (shards.length > 0) return shards;
  throw new AppError('not_found', `Authority ${input.name} has no such CRL.`, {
    hint: 'pki.get_crl_status shows those that it has.',
  });
}

/** Fixed width, so that cursors sort as the shards do. */
function cursorOf({ issuer, shard }: PublishedShard): string {
  return `${String(issuer.row.number).padStart(6, '0')}-${String(shard).padStart(9, '0')}`;
}

function after(cursor: string | undefined, shards: readonly PublishedShard[]): readonly PublishedShard[] {
  if (cursor === undefined) return shards;
  const seen = decodeCursor(cursor, 'string');
  return shards.filter((shard) => cursorOf(shard) > seen);
}

interface Numbers {
  readonly shard: number;
  readonly number: number;
  readonly entries: number;
  readonly this_update: number;
  readonly next_update: number;
}

function describe({ urls }: Authority, issuerNumber: number, crl: Numbers, bytes: number) {
  return {
    issuer_number: issuerNumber,
    shard: crl.shard,
    number: crl.number,
    entries: crl.entries,
    bytes,
    this_update: toRfc3339(crl.this_update),
    next_update: toRfc3339(crl.next_update),
    url: urls.crl(issuerNumber, crl.shard),
    delta_url: urls.deltaCrl(issuerNumber, crl.shard),
  };
}

export const getCrlStatus = defineOperation({
  id: 'pki.get_crl_status',
  title: 'Show the state of CRLs',
  summary:
    'Shows the CRLs of an authority, a shard each: number, entries, size, when it was made and when the next one is due, and whether it lacks a change that is to be published.',
  input: crlStatusInput,
  output: crlStatusOutput,
  http: { method: 'GET', path: '/pki/authorities/{name}/crl' },
  cli: { columns: ['issuer_number', 'shard', 'number', 'entries', 'bytes', 'next_update', 'stale'] },
  effect: 'read',
  resource: authorityResource,
  async run(grant, input, deps: PkiDeps) {
    const authority = await deps.directory.requireAuthority(grant.namespace, input.name);
    const rest = after(input.cursor, await listShards(deps.store, authority, grant.now));
    const page = rest.slice(0, input.limit);
    const crls: z.output<typeof crlStatusOutput>['crls'] = [];
    for (const { issuer, shard } of page) {
      const stored = await findStored(deps.store, issuer.row.id, shard, 'full');
      const state = await findState(deps.store, issuer.row.id, shard);
      const none = { shard, number: 0, entries: 0, this_update: 0, next_update: 0 };
      const described = describe(
        authority,
        issuer.row.number,
        stored ?? none,
        await sizeOf(deps, issuer.row.id, shard),
      );
      crls.push({ ...described, published: stored !== undefined, stale: isDue(state, grant.now) });
    }
    const last = page.at(-1);
    return {
      output: { crls, next_cursor: rest.length > page.length && last ? encodeCursor(cursorOf(last)) : null },
    };
  },
});

async function sizeOf(deps: PkiDeps, issuerId: string, shard: number): Promise<number> {
  const sql = "SELECT length(crl) AS bytes FROM pki_crls WHERE issuer_id = ? AND shard = ? AND kind = 'full'";
  return (await deps.store.first<{ bytes: number }>(sql, [issuerId, shard]))?.bytes ?? 0;
}

export const crlOperations = [rebuildCrls, getCrlStatus];
