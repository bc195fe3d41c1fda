import type { AuditEvent } from '#core/audit-event.ts';
import { newId } from '#core/ids.ts';

/** The audit event of what the house does by itself before anybody can ask: at start-up, or offline by command. */
export function systemEvent(
  now: number,
  operation: string,
  resource: string,
  details: AuditEvent['details'] = {},
): AuditEvent {
  return {
    id: newId('aud', now),
    at: now,
    namespace: 'root',
    requestId: newId('req', now),
    principal: 'system',
    principalKind: 'system',
    credentialId: null,
    operation,
    resource,
    outcome: 'ok',
    code: null,
    transport: 'system',
    sourceAddress: null,
    purpose: null,
    details,
  };
}
