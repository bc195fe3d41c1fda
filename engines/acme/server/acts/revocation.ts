import { z } from 'zod';
import { defineAct } from '#core/operation.ts';
import type { ServerDeps } from '#acme/server/deps.ts';
import { AcmeError } from '#acme/server/problem.ts';

/** Revocation at the request of an account, or of whoever has the key of the certificate (RFC 8555 §7.6). */

/** By the numbers of RFC 5280 §5.3.1: those that a subscriber can know. */
export const subscriberReasons = {
  0: 'unspecified',
  1: 'key_compromise',
  3: 'affiliation_changed',
  4: 'superseded',
  5: 'cessation_of_operation',
  9: 'privilege_withdrawn',
} as const;

export const acceptRevocation = defineAct({
  id: 'acme.accept_revocation',
  title: 'Revoke a certificate by ACME',
  summary: 'Revokes a certificate that was issued by ACME, for whom its request was verified.',
  input: z.strictObject({
    serial_number: z.string().max(64),
    reason: z.enum(subscriberReasons),
    account_id: z.string().max(64).nullable().describe('null: by the key of the certificate'),
  }),
  output: z.strictObject({}),
  effect: 'destructive',
  openWorld: true,
  resource: ({ serial_number }) => `acme/subscriber-certificates/${serial_number}`,
  async run(grant, { serial_number: serialNumber, reason, account_id: account }, { issuer }: ServerDeps) {
    const revoked = await issuer.revoke(grant.namespace, { serialNumber }, reason);
    if (revoked === 0) throw new AcmeError('alreadyRevoked', 'The certificate is revoked already.');
    return { output: {}, audit: { account, serial_number: serialNumber, reason } };
  },
});
