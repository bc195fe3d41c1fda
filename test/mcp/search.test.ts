import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allOperations } from '#chancery/operations.ts';
import { offerOperations } from '#mcp/catalogue.ts';
import { searchOperations } from '#mcp/search.ts';
import { everydayWords } from '#mcp/texts/search-words.ts';

/** What an agent types, and the operation that it must see among the first three. */

const all = offerOperations(allOperations);

const questions: readonly (readonly [question: string, operation: string])[] = [
  ['TLS certificate', 'pki.issue_certificate'],
  ['get a TLS certificate for my web server', 'pki.issue_certificate'],
  ['new SSL cert', 'pki.issue_certificate'],
  ['sign a CSR', 'pki.issue_certificate'],
  ['client certificate for mTLS', 'pki.issue_certificate'],
  ['issue certificate', 'pki.issue_certificate'],
  ['would this certificate be allowed', 'pki.plan_certificate'],
  ['which certificate roles are there', 'pki.list_roles'],
  ['find certificates for a domain', 'pki.list_certificates'],
  ['show certificate by serial number', 'pki.get_certificate'],
  ['expiring soon', 'pki.list_expiring'],
  ['what expires in the next 30 days', 'pki.list_expiring'],
  ['certificates about to expire', 'pki.list_expiring'],
  ['cancel a certificate', 'pki.revoke_certificate'],
  ['revoke cert', 'pki.revoke_certificate'],
  ['revoke all certificates of a role', 'pki.revoke_certificates'],
  ['check certificate chain', 'pki.validate_certificate'],
  ['why is this certificate not trusted', 'pki.validate_certificate'],
  ['CA', 'pki.list_authorities'],
  ['list CAs', 'pki.list_authorities'],
  ['create a root CA', 'pki.create_authority'],
  ['new intermediate CA', 'pki.create_authority'],
  ['rotate CA', 'pki.rotate_authority'],
  ['renew the root certificate authority', 'pki.rotate_authority'],
  ['download CA certificate', 'pki.get_authority'],
  ['CRL', 'pki.get_crl_status'],
  ['revocation list status', 'pki.get_crl_status'],
  ['private key leaked', 'pki.report_key_compromise'],
  ['allow a new domain', 'pki.create_role'],
  ['db user', 'database.issue_credentials'],
  ['create a database user', 'database.issue_credentials'],
  ['temporary password', 'database.issue_credentials'],
  ['temporary database credentials', 'database.issue_credentials'],
  ['postgres login', 'database.issue_credentials'],
  ['get database password', 'database.issue_credentials'],
  ['run SQL', 'database.run_query'],
  ['select from a table', 'database.run_query'],
  ['query database', 'database.run_query'],
  ['add a postgres server', 'database.create_connection'],
  ['rotate the admin password of a database', 'database.rotate_root'],
  ['which databases can I access', 'database.list_roles'],
  ['kill lease', 'lease.revoke_lease'],
  ['cancel lease', 'lease.revoke_lease'],
  ['end database access', 'lease.revoke_lease'],
  ['extend lease', 'lease.renew_lease'],
  ['more time for my database user', 'lease.renew_lease'],
  ['active leases', 'lease.list_leases'],
  ['revoke all leases', 'lease.revoke_leases'],
  ['what am I allowed to do', 'auth.whoami'],
  ['who am I', 'auth.whoami'],
  ['why was I denied', 'policy.test_policy'],
  ['permission denied', 'policy.test_policy'],
  ['approve', 'policy.approve_request'],
  ['pending approvals', 'policy.list_approvals'],
  ['create user', 'auth.create_principal'],
  ['add a service account', 'auth.create_principal'],
  ['API key', 'auth.create_key'],
  ['limited token for a sub agent', 'auth.create_token'],
  ['grant permission', 'policy.put_policy'],
  ['audit log', 'audit.list_events'],
  ['who did this', 'audit.list_events'],
  ['was the log tampered with', 'audit.verify_log'],
  ['letsencrypt', 'acme.create_order'],
  ['certbot url', 'acme.get_directory'],
  ['eab', 'acme.create_external_account_key'],
  ['backup', 'system.create_backup'],
  ['server version', 'system.get_info'],
  ['pki.delete_role', 'pki.delete_role'],
  ['acme_get_order', 'acme.get_order'],
];

for (const [question, operation] of questions) {
  test(`"${question}" finds ${operation}`, () => {
    const found = searchOperations(all, question, 3).found.map(({ id }) => id);
    assert.ok(found.includes(operation), found.join(', '));
  });
}

test('short words are whole or nothing, and words that nothing has find nothing', () => {
  const ids = (query: string) => searchOperations(all, query, 50).found.map(({ id }) => id);
  assert.ok(!ids('CA').includes('acme.cancel_order'));
  assert.deepEqual(ids('xyzzy'), []);
  assert.deepEqual(ids('how do i the of'), []);
  assert.deepEqual(ids('!!!'), []);
});

test('a title counts more than a text, and what is done every day comes first', () => {
  const first = (query: string) => searchOperations(all, query, 1).found[0]?.id;
  assert.equal(first('issue a certificate'), 'pki.issue_certificate');
  assert.equal(first('revoke a lease'), 'lease.revoke_lease');
  assert.equal(first('rotate an authority'), 'pki.rotate_authority');
});

test('words are kept for operations that exist', () => {
  const ids = new Set(all.map(({ id }) => id));
  assert.deepEqual(
    Object.keys(everydayWords).filter((id) => !ids.has(id)),
    [],
  );
});
