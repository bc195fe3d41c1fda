import type { AnyAct } from '#core/operation.ts';
import type { ClientDeps } from '#acme/client/deps.ts';
import { advanceOrder } from './advance-order.ts';

/** What only the workers do. */
export const acmeClientActs: readonly AnyAct<ClientDeps>[] = [advanceOrder];
