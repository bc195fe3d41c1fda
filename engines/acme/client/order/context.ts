import type { OpenAccount } from '#acme/client/account.ts';
import type { ClientDeps } from '#acme/client/deps.ts';
import type { OrderRow } from '#acme/client/tables.ts';
import type { OrderDefinition, OrderProgress } from './definition.ts';

/** What a step of an order works with. */
export interface StepContext {
  readonly deps: ClientDeps;
  readonly row: OrderRow;
  readonly definition: OrderDefinition;
  readonly steps: OrderProgress;
  readonly account: OpenAccount;
  /** Ends the step. */
  readonly signal: AbortSignal;
}
