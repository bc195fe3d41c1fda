import type { Clock } from '#core/clock.ts';
import type { Store } from '#storage/store.ts';
import type { Authority } from '#pki/directory.ts';
import type { CertifiedIssuer } from '#pki/issuer.ts';
import { type CrlJob, crlJob, crlJobName } from './crl-job.ts';
import { findState, findStored, isDue, readStored } from './crl-builder.ts';
import { liveIssuers, shardExists } from './crl-shard-list.ts';
import type { SystemCall } from './system-call.ts';

/**
 * Serves CRLs. What is asked for is up to date when it leaves: a CRL that lacks a committed revocation is made again
 * first. Several nodes may do so at once; one of them wins, and all serve what the store then holds.
 */
export interface CrlService {
  /** Undefined when the authority has no such issuer or shard. */
  find(
    authority: Authority,
    issuerNumber: number,
    shard: number,
    kind: 'full' | 'delta',
  ): Promise<ServedCrl | undefined>;
  /** Makes every CRL again that is due. */
  readonly job: CrlJob;
  close(): Promise<void>;
}

export interface ServedCrl {
  /** DER. */
  readonly der: Uint8Array;
  readonly number: number;
  /** Milliseconds. Later than its thisUpdate, which is backdated. */
  readonly madeAt: number;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
}

interface CrlServiceParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly call: SystemCall;
}

interface Kept {
  readonly crl: ServedCrl;
  /** The version of the states that were looked at; a later one means: look again. */
  readonly version: number;
  readonly rebuildAt: number;
}

/** Bytes of CRLs that are kept in memory. */
const maxKeptBytes = 64 * 1024 * 1024;
/** After a publication has failed, what the store holds is served for so long before it is tried again. */
const pauseAfterFailure = 2000;
const maxPublications = 3;

export function createCrlService(parts: CrlServiceParts): CrlService {
  const { store, clock } = parts;
  const kept = createShelf();
  let version = 0;
  const unwatch = store.watch(['pki_crl_states', 'pki_crls'], () => version++);
  const publisher = createPublisher(parts);
  const job = crlJob(parts);
  return {
    job,
    async find(authority, issuerNumber, shard, kind) {
      const issuer = authority.issuers.find(({ row }) => row.number === issuerNumber);
      if (!issuer?.certificate) return undefined;
      const key = `${issuer.row.id}/${shard}/${kind}`;
      const known = kept.get(key);
      const now = clock.now();
      if (known && known.version === version && known.crl.thisUpdate <= now && now < known.rebuildAt) return known.crl;
      const startedAt = version;
      if (!known && !(await shardExists(store, issuer.row.id, shard))) return undefined;
      const isLive = liveIssuers(authority, now).some(({ row }) => row.id === issuer.row.id);
      if (isLive) await publisher.refresh(authority, issuer as CertifiedIssuer, shard);
      const crl = await load(store, issuer.row.id, shard, kind, known?.crl);
      if (!crl) return undefined;
      const state = await findState(store, issuer.row.id, shard);
      const rebuildAt = isDue(state, now) ? 0 : (state?.rebuild_at ?? 0);
      kept.put(key, { crl, version: startedAt, rebuildAt });
      return crl;
    },
    async close() {
      unwatch();
      await job.close();
      await publisher.settle();
    },
  };
}

/** Reads the bytes only when the number says that they are others. */
async function load(
  store: Store,
  issuerId: string,
  shard: number,
  kind: 'full' | 'delta',
  known: ServedCrl | undefined,
): Promise<ServedCrl | undefined> {
  if (known && (await findStored(store, issuerId, shard, kind))?.number === known.number) return known;
  const row = await readStored(store, issuerId, shard, kind);
  if (!row) return undefined;
  const { crl: der, number, made_at: madeAt, this_update: thisUpdate, next_update: nextUpdate } = row;
  return { der, number, madeAt, thisUpdate, nextUpdate };
}

interface Publisher {
  refresh(authority: Authority, issuer: CertifiedIssuer, shard: number): Promise<void>;
  settle(): Promise<void>;
}

/** Makes single CRLs on demand, each once however many ask for it. */
function createPublisher({ store, clock, call }: CrlServiceParts): Publisher {
  const running = new Map<string, Promise<unknown>>();
  const failedAt = new Map<string, number>();
  const publish = (authority: Authority, issuer: CertifiedIssuer, shard: number): Promise<unknown> => {
    const key = `${issuer.row.id}/${shard}`;
    const attempt =
      running.get(key) ??
      call(crlJobName, authority.row.namespace, 'pki.rebuild_crls', {
        name: authority.row.name,
        issuer_number: issuer.row.number,
        shard,
        due_only: true,
      }).finally(() => running.delete(key));
    running.set(key, attempt);
    return attempt;
  };
  return {
    async refresh(authority, issuer, shard) {
      const key = `${issuer.row.id}/${shard}`;
      // A failure of the future is one of a clock that was ahead.
      const since = clock.now() - (failedAt.get(key) ?? 0);
      if (since >= 0 && since < pauseAfterFailure) return;
      try {
        // The publication that was under way may have begun before the change that the caller wants to see.
        for (let tries = 0; tries < maxPublications; tries++) {
          if (!isDue(await findState(store, issuer.row.id, shard), clock.now())) break;
          await publish(authority, issuer, shard);
        }
        failedAt.delete(key);
      } catch (error) {
        failedAt.set(key, clock.now());
        // A CRL that is older but in force says more than none.
        const stored = await findStored(store, issuer.row.id, shard, 'full');
        if (!stored || stored.next_update <= clock.now()) throw error;
      }
    },
    async settle() {
      await Promise.allSettled(running.values());
    },
  };
}

interface Shelf {
  get(key: string): Kept | undefined;
  put(key: string, value: Kept): void;
}

/** The least recently used leave first. */
function createShelf(): Shelf {
  const entries = new Map<string, Kept>();
  let bytes = 0;
  const drop = (key: string): void => {
    bytes -= entries.get(key)?.crl.der.length ?? 0;
    entries.delete(key);
  };
  return {
    get(key) {
      const found = entries.get(key);
      if (found) {
        entries.delete(key);
        entries.set(key, found);
      }
      return found;
    },
    put(key, value) {
      drop(key);
      entries.set(key, value);
      bytes += value.crl.der.length;
      for (const oldest of entries.keys()) {
        if (bytes <= maxKeptBytes || oldest === key) break;
        drop(oldest);
      }
    },
  };
}
