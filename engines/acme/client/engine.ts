import type { Clock } from '#core/clock.ts';
import type { Dispatch } from '#core/dispatch.ts';
import type { Engine } from '#core/engine.ts';
import { bind } from '#core/operation.ts';
import type { Narrowing } from '#core/principal.ts';
import { createSystemCaller } from '#core/system-call.ts';
import type { TlsAlpnResponder } from '#acme/challenge/tls-alpn-responder.ts';
import type { Delegation } from '#policy/delegation.ts';
import type { GuardedFetch } from '#outbound/guarded-fetch.ts';
import type { Sealer } from '#seal/sealer.ts';
import type { Store, StoreLog } from '#storage/store.ts';
import { acmeClientActs } from './acts/all.ts';
import { challengeRoute } from './challenge-route.ts';
import type { ClientDeps } from './deps.ts';
import { acmeClientGauges } from './gauges.ts';
import { acmeClientOperations } from './operations/all.ts';
import { createRecordKeeper } from './order/record-keeper.ts';
import { startResponder } from './tls-alpn.ts';
import { createConnections } from './wire/connections.ts';
import { createWorker, type DueRow } from './worker.ts';

export interface AcmeClientOptions {
  readonly store: Store;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly dispatch: Dispatch;
  readonly log: StoreLog;
  /** For hooks and providers of DNS. */
  readonly outbound: GuardedFetch;
  readonly delegation: Pick<Delegation, 'limitsOf' | 'assertMayItself'>;
  /** CIDR ranges beside the public addresses where authorities may be. */
  readonly allowPrivate: readonly string[];
  /** Those by which TXT records must be visible; empty: those of the system. */
  readonly resolvers: readonly ListenAddress[];
  /** Where tls-alpn-01 is answered; null: nowhere. */
  readonly tlsAlpnListen: ListenAddress | null;
}

interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface AcmeClient {
  readonly engine: Engine;
  /** Begins to work on orders; the server must answer challenges by then. */
  start(): Promise<void>;
}

const orderJob = 'acme.work_orders';
const renewalJob = 'acme.renew_certificates';
const keyJob = 'acme.finish_key_changes';
const purgeJob = 'acme.purge_orders';

/** For src/job-scopes.ts: what the background jobs of the client may do. */
export const acmeClientJobScopes: Readonly<Record<string, Narrowing>> = {
  [orderJob]: { operations: ['acme.advance_order'], resources: ['acme/orders/*'] },
  [renewalJob]: { operations: ['acme.maintain_certificate'], resources: ['acme/certificates/*'] },
  [keyJob]: { operations: ['acme.rotate_account_key'], resources: ['acme/accounts/*'] },
  [purgeJob]: { operations: ['acme.purge_orders'], resources: ['acme/orders'] },
};

/** Of which one account has a quarter at most, and those that come to it later find the rest (acme/shares.ts). */
const ordersAtOnce = 64;
const certificatesAtOnce = 16;
/** Milliseconds after which nobody works on a key change any more. */
const keyChangeDeadline = 120_000;

/** Certificates from outside authorities (RFC 8555). */
export function createAcmeClient(options: AcmeClientOptions): AcmeClient {
  const { store, sealer, clock, dispatch, log, outbound, delegation, allowPrivate, resolvers, tlsAlpnListen } = options;
  const records = createRecordKeeper({ store, sealer, clock, outbound, allowPrivate, resolvers });
  const connections = createConnections({ clock, allowPrivate });
  const wake = (): void => {
    orders.wake();
    certificates.wake();
  };
  const answersTlsAlpn = tlsAlpnListen !== null;
  const deps: ClientDeps = {
    store,
    sealer,
    clock,
    connections,
    outbound,
    delegation,
    records,
    wake,
    answersTlsAlpn,
  };
  let responder: TlsAlpnResponder | undefined;
  const acts = bind(acmeClientActs, deps);
  const callAs = (job: string, namespace: string) =>
    createSystemCaller({ dispatch, operations: acts, clock, job, namespace });
  const advance = async ({ id, namespace, claim }: DueRow): Promise<void> => {
    const call = callAs(orderJob, namespace);
    let reply = { again: true };
    while (reply.again) reply = await call<{ again: boolean }>('acme.advance_order', { id, claim });
  };
  const orders = createWorker({ store, clock, log, table: 'acme_client_orders', slots: ordersAtOnce, work: advance });
  const certificates = createWorker({
    store,
    clock,
    log,
    table: 'acme_certificates',
    slots: certificatesAtOnce,
    work: ({ id, namespace, claim }) => callAs(renewalJob, namespace)('acme.maintain_certificate', { id, claim }),
  });
  const unwatch = store.watch(['acme_client_orders', 'acme_certificates'], wake);
  const operations = bind(acmeClientOperations, deps);
  const finishKeyChanges = async (): Promise<void> => {
    const open = await store.all<{ namespace: string; name: string }>(
      `SELECT namespace, name FROM acme_accounts WHERE key_change_started_at <= ? AND state = 'active' LIMIT 20`,
      [clock.now() - keyChangeDeadline],
    );
    for (const { namespace, name } of open)
      await createSystemCaller({ dispatch, operations, clock, job: keyJob, namespace })('acme.rotate_account_key', {
        name,
      }).catch((error: unknown) => log.warn({ err: error, account: name }, 'a change of an account key stays open'));
  };
  const purge = async (): Promise<void> => {
    let more = true;
    while (more) ({ more } = await callAs(purgeJob, 'root')<{ more: boolean }>('acme.purge_orders', {}));
  };
  return {
    async start() {
      if (tlsAlpnListen !== null) responder = await startResponder(tlsAlpnListen, { store, clock });
      await orders.start();
      await certificates.start();
    },
    engine: {
      name: 'acme-client',
      operations,
      publicRoutes: [challengeRoute(store)],
      // Should a wake be lost, this finds what is due.
      jobs: [
        { name: orderJob, schedule: '*/5 * * * * *', run: () => Promise.resolve(wake()) },
        { name: keyJob, schedule: '30 * * * * *', run: finishKeyChanges },
        { name: purgeJob, schedule: '43 3 * * *', run: purge },
      ],
      sealedColumns: [
        { table: 'acme_accounts', key: 'id', column: 'key' },
        { table: 'acme_accounts', key: 'id', column: 'next_key' },
        { table: 'acme_accounts', key: 'id', column: 'external_key' },
        { table: 'acme_client_orders', key: 'id', column: 'private_key' },
        { table: 'acme_client_orders', key: 'id', column: 'hook_key' },
        { table: 'acme_certificates', key: 'id', column: 'private_key' },
        { table: 'acme_certificates', key: 'id', column: 'hook_key' },
        { table: 'acme_dns_providers', key: 'id', column: 'secrets' },
      ],
      namespacedTables: ['acme_accounts', 'acme_client_orders', 'acme_certificates', 'acme_dns_providers'],
      gauges: acmeClientGauges({ store, clock }),
      async close() {
        unwatch();
        await Promise.all([orders.close(), certificates.close()]);
        await responder?.close();
      },
    },
  };
}
