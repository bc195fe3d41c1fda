import type { z } from 'zod';
import type { Change } from '#core/change.ts';
import { toRfc3339 } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import { defineOperation } from '#core/operation.ts';
import type { PkiDeps } from '#pki/deps.ts';
import { liveIssuers } from '#pki/revocation/crl-shard-list.ts';
import { isAgeing, knownSigners, makeSigner, signerLife } from '#pki/revocation/ocsp-signer.ts';
import { renewSignerInput, renewSignerOutput } from '#pki/revocation/schema.ts';
import { authorityResource } from './authorities.ts';

/** Renewal of the keys that sign OCSP answers: by the background job, or by hand. */

export const renewOcspSigner = defineOperation({
  id: 'pki.renew_ocsp_signer',
  title: 'Renew the OCSP signer',
  summary:
    'Makes a new delegated OCSP signer for the keys of an authority whose signer has less than half of its life left. It happens by itself; force does it at once.',
  input: renewSignerInput,
  output: renewSignerOutput,
  http: { method: 'POST', path: '/pki/authorities/{name}/ocsp-signer/renew' },
  effect: 'mutating',
  resource: authorityResource,
  async run(grant, input, deps: PkiDeps) {
    const authority = await deps.directory.requireAuthority(grant.namespace, input.name);
    const issuers = liveIssuers(authority, grant.now).filter(
      ({ row }) => input.issuer_number === undefined || row.number === input.issuer_number,
    );
    if (issuers.length === 0)
      throw new AppError('not_found', `Authority ${input.name} has no such key that answers OCSP.`, {
        hint: 'pki.get_authority shows its issuers.',
      });
    const signers: z.output<typeof renewSignerOutput>['signers'] = [];
    const changes: Change[] = [];
    for (const issuer of issuers) {
      const { present, generation } = await knownSigners(deps.store, issuer.row.id, grant.now);
      const renewed = input.force || present === undefined || isAgeing(present, grant.now);
      const wishes = { life: input.ttl ?? signerLife, generation: generation + 1 };
      const made = renewed ? await makeSigner(deps.sealer, grant, authority, issuer, wishes) : undefined;
      const row = made?.row ?? present;
      if (row === undefined) continue;
      changes.push(...(made?.changes ?? []));
      signers.push({
        issuer_number: issuer.row.number,
        serial_number: row.serial_number,
        not_after: toRfc3339(row.not_after),
        renewed,
      });
    }
    return { output: { signers }, changes, audit: { renewed: signers.filter((signer) => signer.renewed).length } };
  },
});

export const ocspSignerOperations = [renewOcspSigner];
