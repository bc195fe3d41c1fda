/** On every list: who asks wants to know first who it is. */
export const always = 'auth.whoami';

/** What agents do every day, in the order in which they do it. The rest is behind search, describe and run. */
export const everyday: readonly string[] = [
  'pki.list_roles',
  'pki.plan_certificate',
  'pki.issue_certificate',
  'pki.get_certificate',
  'pki.list_certificates',
  'pki.list_expiring',
  'pki.revoke_certificate',
  'pki.validate_certificate',
  'pki.list_authorities',
  'database.list_roles',
  'database.issue_credentials',
  'database.run_query',
  'lease.list_leases',
  'lease.renew_lease',
  'lease.revoke_lease',
  'policy.test_policy',
];
