import type { BoundOperation } from '#core/operation.ts';
import { type Input, requiredInput } from './fields.ts';
import { address, authorityRequest, type Ids } from './world.ts';

/**
 * A request for every operation that the administrator of a tenant could make. What is not listed is made from the
 * schema: required fields by their names. A new operation for which that fails makes the tests ask for a sample here.
 */
let counter = 0;
/** A name that nothing has yet. */
export function freshName(): string {
  counter += 1;
  return `fresh-${counter.toString(36)}-${process.pid.toString(36)}`;
}

const csr = authorityRequest('Outside Authority');
const rules = [
  {
    effect: 'allow',
    operations: ['pki.get_*'],
    resources: ['pki/**'],
    conditions: {
      max_ttl: '1h',
      purpose_required: true,
      source_cidrs: ['10.0.0.0/8'],
      not_after: '2999-01-01T00:00:00Z',
    },
  },
];
const constraints = {
  permitted: {
    dns_names: ['example.com'],
    ip_ranges: ['10.0.0.0/8'],
    emails: ['example.com'],
    uris: ['example.com'],
    directory_names: [{ common_name: 'x', country: 'DE' }],
  },
};

const dnsSettings = { kind: 'webhook', url: 'https://dns.example.com/hook', secret: 'a secret of the webhook' };

const samples: Readonly<Record<string, (ids: Ids) => Input>> = {
  'auth.create_token': () => ({
    operations: ['pki.get_*'],
    resources: ['pki/**'],
    ttl: '1m',
    purpose: 'p',
    description: 'd',
  }),
  'auth.list_tokens': (ids) => ({ principal: ids.principal }),
  'auth.revoke_token': (ids) => ({ id: ids.token, principal: ids.principal }),
  'auth.create_principal': (ids) => ({ name: freshName(), kind: 'agent', policies: [ids.policy], description: 'd' }),
  'auth.update_principal': (ids) => ({ name: ids.principal, policies: [ids.policy], description: 'd' }),
  'auth.create_key': (ids) => ({ principal: ids.principal, description: 'd', ttl: '1h' }),
  'auth.create_namespace': () => ({ name: freshName(), description: 'd' }),
  'auth.get_namespace': () => ({ name: 'root' }),
  'auth.delete_namespace': () => ({ name: freshName() }),
  'auth.purge_expired': () => ({ older_than: '365d' }),
  'policy.create_policy': () => ({ name: freshName(), description: 'd', rules }),
  'policy.put_policy': (ids) => ({ name: ids.policy, description: 'd', rules }),
  'policy.test_policy': (ids) => ({
    principal: ids.principal,
    operation: 'pki.get_role',
    resource: `pki/roles/${ids.role}`,
    ttl: '1h',
    purpose: 'p',
    source_address: '10.0.0.1',
  }),
  'pki.create_authority': (ids) => ({
    name: freshName(),
    kind: 'intermediate',
    parent: ids.root,
    common_name: 'Another Authority',
    organization: 'O',
    country: 'DE',
    ttl: '30d',
    name_constraints: constraints,
  }),
  'pki.import_authority': () => ({ name: freshName(), certificate: pem, chain: pem, private_key: pem }),
  'pki.sign_intermediate': (ids) => ({ name: ids.root, csr, common_name: 'Outside', ttl: '1d' }),
  'pki.cross_sign_authority': (ids) => ({ name: ids.root, authority: ids.authority, ttl: '1d' }),
  'pki.rotate_authority': (ids) => ({ name: ids.authority, ttl: '30d', cross_sign: false }),
  'pki.create_role': (ids) => ({
    name: freshName(),
    authority: ids.authority,
    allowed_domains: ['example.org'],
    description: 'd',
  }),
  'pki.list_roles': (ids) => ({ authority: ids.authority }),
  'pki.update_role': (ids) => ({ name: ids.role, authority: ids.authority, description: 'd' }),
  'pki.issue_certificate': (ids) => ({ role: ids.role, dns_names: ['a.example.com'], ttl: '1h', purpose: 'p' }),
  'pki.plan_certificate': (ids) => ({ role: ids.role, dns_names: ['a.example.com'], ttl: '1h', purpose: 'p' }),
  'pki.list_certificates': (ids) => ({
    authority: ids.authority,
    role: ids.role,
    principal: 'admin',
    name: ids.certificateName,
    key_sha256: ids.spki,
  }),
  'pki.revoke_certificate': (ids) => ({
    serial_number: ids.serial,
    reason: 'certificate_hold',
    expected: { role: ids.role },
  }),
  'pki.revoke_certificates': (ids) => ({
    serial_numbers: [ids.serial],
    authority: ids.authority,
    role: ids.role,
    dry_run: true,
  }),
  'pki.report_key_compromise': () => ({ spki_sha256: 'ab'.repeat(32) }),
  'database.create_connection': () => ({
    name: freshName(),
    engine: 'postgresql',
    host: '127.0.0.1',
    port: address.port,
    username: 'chancery',
    password: 'p',
    description: 'd',
    verify: false,
  }),
  'database.update_connection': (ids) => ({ name: ids.connection, description: 'd' }),
  'database.admin_setup': () => ({ engine: 'postgresql', username: 'chancery', member_of: ['app_reader'] }),
  'database.create_role': (ids) => ({
    name: freshName(),
    connection: ids.connection,
    member_of: ['app_reader'],
    description: 'd',
    probe: false,
  }),
  'database.list_roles': (ids) => ({ connection: ids.connection }),
  'database.update_role': (ids) => ({
    name: ids.databaseRole,
    connection: ids.connection,
    description: 'd',
    probe: false,
  }),
  'database.issue_credentials': (ids) => ({ role: ids.databaseRole, ttl: '10m', purpose: 'p' }),
  'database.plan_credentials': (ids) => ({ role: ids.databaseRole, ttl: '10m', purpose: 'p' }),
  'database.run_query': (ids) => ({ role: ids.databaseRole, sql: 'SELECT 1', parameters: ['a'], purpose: 'p' }),
  'database.create_static_role': (ids) => ({
    name: freshName(),
    connection: ids.connection,
    username: freshName(),
    description: 'd',
  }),
  'database.list_static_roles': (ids) => ({ connection: ids.connection }),
  'database.update_static_role': (ids) => ({ name: ids.staticRole, description: 'd' }),
  'acme.create_account': () => ({
    name: freshName(),
    directory: 'https://127.0.0.1:1/directory',
    contacts: ['mailto:ops@example.com'],
    allowed_names: ['a.example.com'],
    agree_terms_of_service: true,
    external_account: { key_id: 'k', hmac_key: 'AAAAAAAAAAAAAAAA' },
  }),
  'acme.update_account': (ids) => ({ name: ids.acmeAccount, re_register: true }),
  'acme.create_order': (ids) => ({ account: ids.acmeAccount, identifiers: ['a.example.com'], challenge: 'http-01' }),
  'acme.list_orders': (ids) => ({ account: ids.acmeAccount }),
  'acme.list_certificates': (ids) => ({ name: 'a.example.com', account: ids.acmeAccount }),
  'acme.update_certificate': (ids) => ({ id: ids.acmeCertificate, renew: false }),
  'acme.create_dns_provider': () => ({ name: freshName(), settings: dnsSettings }),
  'acme.update_dns_provider': (ids) => ({ name: ids.dnsProvider, settings: dnsSettings }),
  'acme.configure_directory': (ids) => ({
    role: ids.role,
    terms_of_service: 'https://example.com/terms',
    website: 'https://example.com/',
    caa_identities: ['example.com'],
    profiles: { brief: { description: 'd', role: ids.role } },
  }),
  'acme.create_external_account_key': (ids) => ({
    role: ids.role,
    allowed_identifiers: ['a.example.com'],
    description: 'd',
  }),
  'acme.list_external_account_keys': (ids) => ({ role: ids.role }),
  'acme.list_subscribers': (ids) => ({ role: ids.role, principal: ids.principal }),
  'lease.list_leases': (ids) => ({
    role: `database/roles/${ids.databaseRole}`,
    target: `database/connections/${ids.connection}`,
    principal: 'admin',
    subject: ids.username,
  }),
  'lease.renew_lease': (ids) => ({ lease_id: ids.lease, increment: '10m' }),
  'lease.revoke_leases': (ids) => ({ role: `database/probes/${ids.databaseRole}`, principal: 'admin' }),
  'lease.end_lease': (ids) => ({ lease_id: ids.lease, claim: 'ab'.repeat(16) }),
  'lease.apply_brake': () => ({ reason: 'r' }),
  'lease.forget_leases': (ids) => ({ target: `database/connections/${ids.connection}`, reason: 'r' }),
  'lease.release_brake': () => ({ reason: 'r' }),
  'claim.redeem_claim': () => ({ handle: `chc_${'0'.repeat(26)}_${'A'.repeat(43)}` }),
  'claim.get_claim': () => ({ claim_id: `clm_${'0'.repeat(26)}` }),
  'claim.cancel_claim': () => ({ claim_id: `clm_${'0'.repeat(26)}` }),
  'audit.list_events': (ids) => ({
    principal: ids.principal,
    resource: 'pki',
    operation: 'pki.*',
    request_id: ids.requestId,
  }),
  'audit.get_event': (ids) => ({ id: ids.event }),
};

/** Well-formed PEM around something that is no certificate and no key. */
const pem = `-----BEGIN CERTIFICATE-----\n${Buffer.alloc(60, 0x30).toString('base64')}\n-----END CERTIFICATE-----\n`;

type Described = Pick<BoundOperation, 'id' | 'input' | 'http'>;

/** Throws when the sample does not fit the schema of the operation: then it needs an entry above. */
export function sampleFor(operation: Described, ids: Ids): Input {
  const input = samples[operation.id]?.(ids) ?? requiredInput(operation, (field) => byName(operation, field, ids));
  const parsed = operation.input.safeParse(input);
  if (parsed.success) return input;
  throw new Error(`${operation.id} needs a sample in test/attack/samples.ts: ${parsed.error.message}`);
}

/** What a required field of this name means, by the path of the operation. */
function byName({ http }: Described, field: string, ids: Ids): unknown {
  const { path } = http;
  if (field === 'name') return ids[collections.find(([prefix]) => path.startsWith(prefix))?.[1] ?? 'policy'];
  if (field === 'id') return ids[idsBelow.find(([part]) => path.includes(part))?.[1] ?? 'token'];
  if (field === 'serial_number') return ids.serial;
  if (field === 'lease_id') return ids.lease;
  if (field === 'key_id') return ids.externalAccountKey;
  if (field === 'account_id') return ids.subscriber;
  if (field === 'spki_sha256') return ids.blockedKey;
  return ids[field as keyof Ids];
}

const collections: readonly (readonly [string, keyof Ids])[] = [
  ['/pki/authorities', 'authority'],
  ['/pki/roles', 'role'],
  ['/database/connections', 'connection'],
  ['/database/roles', 'databaseRole'],
  ['/database/static-roles', 'staticRole'],
  ['/acme/accounts', 'acmeAccount'],
  ['/acme/dns-providers', 'dnsProvider'],
  ['/principals', 'principal'],
  ['/policies', 'policy'],
];
const idsBelow: readonly (readonly [string, keyof Ids])[] = [
  ['/keys/', 'key'],
  ['/tokens/', 'token'],
  ['/approvals/', 'approval'],
  ['/audit/', 'event'],
  ['/acme/orders/', 'acmeOrder'],
  ['/acme/certificates/', 'acmeCertificate'],
];
