import type { AuditEvent } from '#core/audit-event.ts';
import { newId } from '#core/ids.ts';

const start = Date.UTC(2026, 10, 21, 10);

/** The n-th event of a made-up but ordinary log: one every 100 ms. */
export function exampleEvent(index: number, fields: Partial<AuditEvent> = {}): AuditEvent {
  const at = start + index * 100;
  return {
    id: newId('aud', at),
    at,
    namespace: index % 5 === 0 ? 'team-b' : 'root',
    requestId: newId('req', at),
    principal: `agent-${index % 7}`,
    principalKind: 'agent',
    credentialId: newId('crd', at),
    operation: index % 3 === 0 ? 'pki.revoke_certificate' : 'pki.issue_certificate',
    resource: `pki/roles/web-${index % 11}`,
    outcome: index % 13 === 0 ? 'denied' : 'ok',
    code: index % 13 === 0 ? 'denied' : null,
    transport: 'rest',
    sourceAddress: '192.0.2.7',
    purpose: index % 4 === 0 ? 'nightly deployment' : null,
    details: { serial_number: index.toString(16).padStart(40, '0'), not_after: at + 86_400_000 },
    ...fields,
  };
}

export function exampleEvents(count: number): AuditEvent[] {
  return Array.from({ length: count }, (_, index) => exampleEvent(index));
}
