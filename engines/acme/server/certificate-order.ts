import type { CertificateOrder } from '#core/issuer.ts';
import { orderedNames } from './acts/names.ts';
import { identifiersOf } from './records.ts';
import type { AccountRow, OrderRow } from './tables.ts';

/** Whose the certificate is: of the principal that the account is bound to, or else of the account, by its id. */
export type Subscriber = Pick<AccountRow, 'id' | 'principal'>;

/** What is asked of the issuer. The same for the same order whenever it is asked. */
export function orderOf(row: OrderRow, { id, principal }: Subscriber): CertificateOrder {
  return {
    namespace: row.namespace,
    role: row.issuing_role,
    ...orderedNames(identifiersOf(row)),
    commonName: row.common_name ?? undefined,
    notAfter: row.end_at ?? undefined,
    csr: row.csr === null ? undefined : pemOf(row.csr),
    purpose: `acme order ${row.id} of ${id}`,
    principal: principal ?? id,
    orderId: row.id,
  };
}

/** PKCS#10 in PEM (RFC 7468 §7). */
export function pemOf(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`;
}
