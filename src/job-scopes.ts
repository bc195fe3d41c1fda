import { purgeJob } from '#auth/housekeeping.ts';
import { claimJobScopes } from '#claim/acts.ts';
import { acmeClientJobScopes } from '#engines/acme/client/engine.ts';
import { acmeServerScopes } from '#engines/acme/server/engine.ts';
import { leaseJobScopes } from '#lease/service.ts';
import type { Jobs } from '#policy/judge.ts';
import { issuerScopes } from './issuer.ts';

/** What each background job may do: the policies of the system principals. A job that is not here may do nothing. */
export const jobScopes: Jobs = {
  [purgeJob.name]: purgeJob.scope,
  'seal.rewrap': { operations: ['seal.rewrap_values', 'seal.delete_unused_keys'], resources: ['seal/keys'] },
  'audit.write_checkpoint': { operations: ['audit.get_checkpoint'], resources: ['audit/checkpoint'] },
  'pki.publish_crls': { operations: ['pki.rebuild_crls'], resources: ['pki/authorities/*'] },
  'pki.renew_ocsp_signers': { operations: ['pki.renew_ocsp_signer'], resources: ['pki/authorities/*'] },
  ...leaseJobScopes,
  ...claimJobScopes,
  ...acmeClientJobScopes,
  ...acmeServerScopes,
  ...issuerScopes('acme'),
  'database.rotate_passwords': {
    operations: ['database.rotate_static_role', 'database.rotate_root'],
    resources: ['database/static-roles/*', 'database/connections/*'],
  },
  ...issuerScopes('database'),
  'database.finish_drains': {
    operations: ['database.delete_role', 'database.delete_connection'],
    resources: ['database/roles/*', 'database/connections/*'],
  },
  'system.serve_tls': {
    operations: [
      'pki.get_authority',
      'pki.create_authority',
      'pki.get_role',
      'pki.create_role',
      'pki.update_role',
      'pki.issue_certificate',
    ],
    resources: ['pki/authorities/chancery-tls', 'pki/authorities/chancery-tls-*', 'pki/roles/chancery-tls'],
  },
};
