import { hash } from 'node:crypto';
import type { AuditEvent } from '#core/audit-event.ts';
import type { ChainLinker, LinkerModule, Parameter } from '#storage/store.ts';

/** Each row is hashed with the hash before it. */
export const linkById: ChainLinker = (head, events) => {
  const rows: Record<string, Parameter>[] = [];
  let { seq, hash: last } = head;
  for (const each of events) {
    seq++;
    last = nextHash(last, each.id);
    rows.push(auditRow(each, seq, last));
  }
  return { rows, head: { seq, hash: last } };
};

export function nextHash(last: Uint8Array, id: string): Buffer {
  return hash('sha256', Buffer.concat([last, Buffer.from(id)]), 'buffer');
}

function auditRow(from: AuditEvent, seq: number, chained: Uint8Array): Record<string, Parameter> {
  return {
    seq,
    id: from.id,
    at: from.at,
    namespace: from.namespace,
    request_id: from.requestId,
    principal: from.principal,
    principal_kind: from.principalKind,
    credential_id: from.credentialId,
    operation: from.operation,
    resource: from.resource,
    outcome: from.outcome,
    code: from.code,
    transport: from.transport,
    source_address: from.sourceAddress,
    purpose: from.purpose,
    details: JSON.stringify(from.details),
    hash: chained,
  };
}

/** `linkById`, for the store to load where it writes. */
export const linker: LinkerModule = { url: import.meta.url, name: 'linkById' };

/** Links as `linkById` does, but for one event that it cannot link. */
export const linkAllButBad: ChainLinker = (head, events) => {
  if (events.some(({ id }) => id === 'aud_bad')) throw new RangeError('cannot be linked');
  return linkById(head, events);
};

export const pickyLinker: LinkerModule = { url: import.meta.url, name: 'linkAllButBad' };
