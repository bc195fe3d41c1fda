import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Change, insert, update } from '#core/change.ts';
import type { Store } from '#storage/store.ts';
import { readDer } from '#pki/asn1/reader.ts';
import { backdated } from '#pki/backdate.ts';
import { baseUrlsOf } from '#pki/crl-addresses.ts';
import { signingKeyOf } from '#pki/issuance.ts';
import type { CertifiedIssuer } from '#pki/issuer.ts';
import type { CrlRow, CrlStateRow } from '#pki/tables.ts';
import type { PkiUrls } from '#pki/urls.ts';
import { readAlgorithmIdentifier, sign, signatureAlgorithmOf, verify } from '#pki/x509/algorithm.ts';
import { assembleCrl, decodeCrl, encodeTbsCertList, type TbsCertListFields } from '#pki/x509/crl.ts';
import {
  encodeIssuingDistributionPoint,
  type IssuingDistributionPointInput,
} from '#pki/x509/issuing-distribution-point.ts';
import { oids } from '#pki/x509/oid.ts';
import { differences, type EntryList, entriesOf, maxStoredBytes, readEntries } from './crl-entries.ts';

/**
 * Makes the CRLs of one shard of one issuer: the full one, and with it, under the same number, the delta CRL that says
 * what has changed since the last full one of the cycle before (RFC 5280 §5.2.3, §5.2.4). Whoever holds that CRL or
 * a later one comes up to date with the delta alone.
 */
export interface CrlOrder {
  readonly issuer: CertifiedIssuer;
  readonly urls: PkiUrls;
  readonly shard: number;
  /** Milliseconds. */
  readonly now: number;
  /** Seconds. */
  readonly ttl: number;
}

export interface BuiltCrl {
  readonly full: CrlRow;
  readonly delta: CrlRow;
  /** They conflict when another node was first. */
  readonly changes: readonly Change[];
}

export type StoredCrl = Omit<CrlRow, 'crl'>;

const columns = 'issuer_id, shard, kind, namespace, number, made_at, this_update, next_update, entries';

/** The CRL without its bytes, which can be a megabyte. */
export function findStored(
  store: Store,
  issuerId: string,
  shard: number,
  kind: CrlRow['kind'],
): Promise<StoredCrl | undefined> {
  const sql = `SELECT ${columns} FROM pki_crls WHERE issuer_id = ? AND shard = ? AND kind = ?`;
  return store.first<StoredCrl>(sql, [issuerId, shard, kind]);
}

export function readStored(
  store: Store,
  issuerId: string,
  shard: number,
  kind: CrlRow['kind'],
): Promise<CrlRow | undefined> {
  const sql = `SELECT ${columns}, crl FROM pki_crls WHERE issuer_id = ? AND shard = ? AND kind = ?`;
  return store.first<CrlRow>(sql, [issuerId, shard, kind]);
}

export interface CrlState extends CrlStateRow {
  /** thisUpdate of the newest full CRL; 0: there is none. */
  readonly this_update: number;
}

export function findState(store: Store, issuerId: string, shard: number): Promise<CrlState | undefined> {
  const sql = `SELECT s.*, COALESCE(f.this_update, 0) AS this_update FROM pki_crl_states s
    LEFT JOIN pki_crls f ON f.issuer_id = s.issuer_id AND f.shard = s.shard AND f.kind = 'full'
    WHERE s.issuer_id = ? AND s.shard = ?`;
  return store.first<CrlState>(sql, [issuerId, shard]);
}

/** Whether the CRL of this shard does not say what is so now, or its time has come, or has not come at all. */
export function isDue(state: CrlState | undefined, now: number): boolean {
  return state === undefined || state.changes !== state.published || state.rebuild_at <= now || isAhead(state, now);
}

/** It was made while the clock was ahead: nobody would accept it, and its schedule means nothing. */
function isAhead(state: CrlState, now: number): boolean {
  return state.this_update > now || state.scheduled_at > now;
}

export async function buildCrl(store: Store, order: CrlOrder): Promise<BuiltCrl> {
  const { issuer, shard, now } = order;
  // The count is read before the entries: whatever changes from here on makes this CRL stale.
  const state = await findState(store, issuer.row.id, shard);
  const previous = await findStored(store, issuer.row.id, shard, 'full');
  const ahead = state !== undefined && isAhead(state, now);
  const isScheduled = state === undefined || previous === undefined || state.rebuild_at <= now || ahead;
  const frame = { ...timesOf(order), point: await distributionPointOf(store, order) };
  // By a schedule from the future, whatever ends before it would have stood on its last CRL already.
  const scheduledAt = ahead ? 0 : (state?.scheduled_at ?? 0);
  const entries = await readEntries(store, issuer.row.id, shard, scheduledAt, frame.thisUpdate);
  const stored = previous && (await readStored(store, issuer.row.id, shard, isScheduled ? 'full' : 'base'));
  const base = stored && hasScope(stored.crl, frame.point) ? stored : undefined;
  const number = nextNumber(previous?.number, now);
  const full = await signCrl(order, frame, number, entries, undefined);
  const changed: EntryList = base
    ? await differences(entriesOf(base.crl), entries.der)
    : { der: Buffer.alloc(0), count: 0 };
  const delta = await signCrl(order, frame, number, changed, base?.number ?? number);
  const newBase = base === undefined ? full : isScheduled ? base : undefined;
  return {
    full,
    delta,
    changes: [
      storeCrl(full, previous, previous?.number),
      storeCrl(delta, previous),
      ...(newBase ? [storeCrl({ ...newBase, kind: 'base' }, previous)] : []),
      storeState(order, frame, state, isScheduled),
    ],
  };
}

/**
 * The time in milliseconds, or one more than the last number: it grows even when a backup is restored whose last number
 * is lower than what was published since (RFC 5280 §5.2.3), and takes 6 octets of the 20 that are allowed.
 */
export function nextNumber(previous: number | undefined, now: number): number {
  return Math.max((previous ?? 0) + 1, now);
}

/** What full and delta CRL have in common beside their number. */
interface Frame {
  /** Milliseconds. */
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  readonly point: IssuingDistributionPointInput;
}

function timesOf({ issuer, now, ttl }: CrlOrder): Pick<Frame, 'thisUpdate' | 'nextUpdate'> {
  const thisUpdate = backdated(now, issuer.certificate.notBefore);
  return { thisUpdate, nextUpdate: thisUpdate + ttl * 1000 };
}

/** Every name by which certificates know this CRL (RFC 5280 §5.2.5). */
async function distributionPointOf(store: Store, { issuer, urls, shard }: CrlOrder): Promise<Frame['point']> {
  const bases = await baseUrlsOf(store, issuer.row.id, shard);
  const addresses = bases.length === 0 ? [urls] : bases.map((base) => urls.at(base));
  return { fullName: addresses.map((each) => ({ kind: 'uri', value: each.crl(issuer.row.number, shard) })) };
}

/** A delta CRL builds on a CRL of its own scope only (RFC 5280 §5.2.4): after a change of address there is a new base. */
function hasScope(crl: Uint8Array, point: Frame['point']): boolean {
  const scope = decodeCrl(crl, maxStoredBytes).extensions.get(oids.issuingDistributionPoint);
  return scope !== undefined && scope.value.equals(encodeIssuingDistributionPoint(point));
}

async function signCrl(
  order: CrlOrder,
  { thisUpdate, nextUpdate, point }: Frame,
  number: number,
  entries: EntryList,
  deltaBase: number | undefined,
): Promise<CrlRow> {
  const { issuer, urls, shard, now } = order;
  const key = await signingKeyOf(issuer);
  const algorithm = signatureAlgorithmOf(key.keyType);
  const fields: TbsCertListFields = {
    signatureAlgorithm: algorithm,
    issuer: issuer.certificate.subject.der,
    thisUpdate,
    nextUpdate,
    crlNumber: number,
    authorityKeyIdentifier: issuer.keyId,
    issuingDistributionPoint: point,
    deltaBase,
    freshestCrl: deltaBase === undefined ? [urls.deltaCrl(issuer.row.number, shard)] : undefined,
    entries: entries.count === 0 ? [] : [entries.der],
  };
  const tbs = encodeTbsCertList(fields);
  const signature = sign(key.privateKey, key.keyType, tbs);
  // Hashing a megabyte takes milliseconds, once to sign and once to verify: others have a turn between them.
  await nextTurn();
  if (!verify(key.publicKey, readDer(algorithm, algorithm.length, readAlgorithmIdentifier), tbs, signature))
    throw new Error('the signature of the CRL just made does not verify: the key or the machine is faulty');
  return {
    issuer_id: issuer.row.id,
    shard,
    kind: deltaBase === undefined ? 'full' : 'delta',
    namespace: issuer.row.namespace,
    number,
    made_at: now,
    this_update: thisUpdate,
    next_update: nextUpdate,
    entries: entries.count,
    crl: assembleCrl(tbs, algorithm, signature),
  };
}

function storeCrl(row: CrlRow, previous: StoredCrl | undefined, replaces?: number): Change {
  if (previous === undefined) return insert('pki_crls', { ...row });
  const { issuer_id, shard, kind, ...set } = row;
  const guard = replaces === undefined ? {} : { number: replaces };
  return update('pki_crls', set, { issuer_id, shard, kind, ...guard }, { expect: 1 });
}

function storeState(
  order: CrlOrder,
  { thisUpdate }: Frame,
  state: CrlStateRow | undefined,
  isScheduled: boolean,
): Change {
  const { issuer, shard, now, ttl } = order;
  const key = { issuer_id: issuer.row.id, shard };
  const schedule = isScheduled ? { scheduled_at: thisUpdate, rebuild_at: now + ttl * 500 } : {};
  if (state) return update('pki_crl_states', { published: state.changes, ...schedule }, key, { expect: 1 });
  return insert('pki_crl_states', {
    ...key,
    namespace: issuer.row.namespace,
    changes: 0,
    published: 0,
    scheduled_at: thisUpdate,
    rebuild_at: now + ttl * 500,
  });
}
