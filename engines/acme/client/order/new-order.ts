import { randomBytes } from 'node:crypto';
import type { Grant } from '#core/grant.ts';
import { newId } from '#core/ids.ts';
import type { ClientDeps } from '#acme/client/deps.ts';
import { makeKey, openKey, sealBytes, sealKey } from '#acme/client/keys.ts';
import type { AccountRow, CertificateRow, OrderRow } from '#acme/client/tables.ts';
import { makeRequest } from '#acme/client/x509/request.ts';
import type { OrderDefinition } from './definition.ts';

/** The row of an order, with the request that it will be finalized with, and the key where that is made here. */

/** Milliseconds: what the authority cannot or will not do in this time is given up. */
const patience = 86_400_000;

/** Milliseconds, whatever the authority has said of orders of its own. */
export function endOfPatience({ created_at: begun }: Pick<OrderRow, 'created_at'>): number {
  return begun + patience;
}

export interface NewOrder {
  readonly account: Pick<AccountRow, 'id' | 'name'>;
  readonly certificateId: string;
  readonly definition: OrderDefinition;
  /** DER, where somebody brought it. */
  readonly csr: Uint8Array | undefined;
  /** That is to be renewed. */
  readonly renewed?: CertificateRow | undefined;
  readonly replaces?: string | undefined;
}

export async function newOrder(
  deps: ClientDeps,
  grant: Grant,
  { account, certificateId, definition, csr, renewed, replaces }: NewOrder,
): Promise<{ row: OrderRow; hookSecret: string | undefined }> {
  const id = newId('aco', grant.now);
  const place = { table: 'acme_client_orders', row: id } as const;
  const made = csr === undefined ? await keyAndRequest(deps, definition, renewed) : undefined;
  const hasHook = definition.hook_url !== undefined && renewed === undefined;
  const hookSecret = hasHook ? randomBytes(32).toString('base64url') : undefined;
  const row: OrderRow = {
    id,
    namespace: grant.namespace,
    account_id: account.id,
    account: account.name,
    certificate_id: certificateId,
    renewal: renewed === undefined ? 0 : 1,
    state: 'created',
    definition: JSON.stringify(definition),
    dns_provider: definition.dns_provider ?? null,
    csr: csr ?? made?.csr ?? new Uint8Array(),
    private_key: made === undefined ? null : sealKey(deps.sealer, { ...place, column: 'private_key' }, made.key),
    hook_key:
      hookSecret === undefined
        ? null
        : sealBytes(deps.sealer, { ...place, column: 'hook_key' }, Buffer.from(hookSecret, 'utf8')),
    url: null,
    progress: '{}',
    replaces: replaces ?? null,
    next_action_at: grant.now,
    claim: null,
    attempts: 0,
    last_error: null,
    give_up_at: grant.now + patience,
    ...ordererOf(grant, renewed),
    purpose: grant.purpose ?? null,
    created_at: grant.now,
    updated_at: grant.now,
    ended_at: null,
  };
  return { row, hookSecret };
}

/** What renews by itself is of who ordered it first, and may be completed and cancelled by them. */
function ordererOf(grant: Grant, renewed: CertificateRow | undefined) {
  const { principal, sourceAddress } = grant;
  if (renewed === undefined || principal.kind !== 'system')
    return { principal: principal.name, principal_id: principal.id, source_address: sourceAddress };
  return {
    principal: renewed.principal,
    principal_id: renewed.principal_id,
    source_address: renewed.source_address,
  };
}

async function keyAndRequest(deps: ClientDeps, definition: OrderDefinition, renewed: CertificateRow | undefined) {
  const kept = definition.reuse_key ? (renewed?.private_key ?? null) : null;
  const key =
    renewed === undefined || kept === null
      ? await makeKey(definition.key_type ?? 'ec-p256')
      : await openKey(deps.sealer, { table: 'acme_certificates', row: renewed.id, column: 'private_key' }, kept);
  return { key, csr: makeRequest(key, definition.identifiers) };
}
