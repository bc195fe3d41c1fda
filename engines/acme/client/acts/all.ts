import type { AnyAct } from '#core/operation.ts';
import type { ClientDeps } from '#acme/client/deps.ts';
import { advanceOrder } from './advance-order.ts';
import { maintainCertificate } from './maintain-certificate.ts';
import { purgeOrders } from './purge-orders.ts';

/** What only background work does. */
export const acmeClientActs: readonly AnyAct<ClientDeps>[] = [advanceOrder, maintainCertificate, purgeOrders];
