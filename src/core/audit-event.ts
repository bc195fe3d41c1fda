/**
 * One line of the audit log: who did what to which resource, and how it ended. It holds names and numbers, never a
 * secret and never free text of a request beyond the purpose.
 */
export interface AuditEvent {
  /** `aud_…`, in the order of time. */
  readonly id: string;
  /** Milliseconds. */
  readonly at: number;
  readonly namespace: string;
  readonly requestId: string;
  /** Absent when nobody could be authenticated. */
  readonly principal: string | null;
  readonly principalKind: string | null;
  readonly credentialId: string | null;
  readonly operation: string;
  readonly resource: string | null;
  /** `intent` stands before an effect outside the store; the others close a request. */
  readonly outcome: 'intent' | 'ok' | 'denied' | 'failed';
  /** The error code, where there is one. */
  readonly code: string | null;
  readonly transport: Transport;
  readonly sourceAddress: string | null;
  readonly purpose: string | null;
  readonly details: Readonly<Record<string, string | number | boolean | null>>;
}

/** The face through which a request came. `system`: background work. */
export type Transport = 'rest' | 'mcp' | 'acme' | 'system';
