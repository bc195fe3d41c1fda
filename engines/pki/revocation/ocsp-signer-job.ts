import type { Clock } from '#core/clock.ts';
import type { Job } from '#core/engine.ts';
import type { Store } from '#storage/store.ts';
import { signerJobName } from './ocsp-signer.ts';
import type { SystemCall } from './system-call.ts';

/** Renews OCSP signers before half of their life has passed, of every issuer that still answers. */
export function ocspSignerJob(parts: { readonly store: Store; readonly clock: Clock; readonly call: SystemCall }): Job {
  const { store, clock, call } = parts;
  return {
    name: signerJobName,
    schedule: '*/10 * * * *',
    async run() {
      const now = clock.now();
      // Those that were never asked have no signer, and get one when they are.
      const due = await store.all<{ namespace: string; name: string; number: number }>(
        `SELECT i.namespace AS namespace, a.name AS name, i.number AS number
         FROM pki_issuers i
         JOIN pki_authorities a ON a.id = i.authority_id
         JOIN pki_ocsp_signers s ON s.issuer_id = i.id
         WHERE i.not_after > ?
         GROUP BY i.id, i.namespace, a.name, i.number
         HAVING MAX(s.not_before + (s.not_after - s.not_before) / 2) <= ?`,
        [now, now],
      );
      for (const { namespace, name, number } of due)
        await call(signerJobName, namespace, 'pki.renew_ocsp_signer', { name, issuer_number: number });
    },
  };
}
