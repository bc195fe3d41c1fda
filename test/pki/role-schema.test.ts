import assert from 'node:assert/strict';
import test from 'node:test';
import * as fc from 'fast-check';
import { z } from 'zod';
import { changeRole, type Role, roleChanges, roleFields, roleSchema } from '#pki/role-schema.ts';
import { roleOutput, viewRole } from '#pki/role-view.ts';

const base = { name: 'web', authority: 'issuing' };

function problems(fields: Record<string, unknown>): string[] {
  const result = roleSchema.safeParse({ ...base, ...fields });
  return result.success ? [] : result.error.issues.map((issue) => `${issue.path.join('/')}: ${issue.message}`);
}

test('a role with nothing said has the safe defaults', () => {
  assert.deepEqual(roleSchema.parse(base), {
    ...base,
    description: '',
    allowed_domains: [],
    allow_bare_domains: true,
    allow_subdomains: false,
    allow_wildcards: false,
    allowed_ip_ranges: [],
    allowed_uris: [],
    allowed_emails: [],
    allowed_common_names: [],
    require_common_name: false,
    key_types: ['ec-p256'],
    require_csr: false,
    key_usages: ['digital_signature'],
    extended_key_usages: ['server_auth'],
    policy_oids: [],
    max_ttl: 30 * 86_400,
    not_before_backdate: 60,
    max_names: 100,
    short_lived: false,
    web_pki: false,
  });
});

test('the default life is a day, and less when the longest life is less', () => {
  assert.equal(viewRole(roleSchema.parse(base)).default_ttl, '1d');
  assert.equal(viewRole(roleSchema.parse({ ...base, max_ttl: '1h' })).default_ttl, '1h');
  assert.equal(viewRole(roleSchema.parse({ ...base, default_ttl: '2h', max_ttl: '4h' })).default_ttl, '2h');
});

test('entries of lists are brought into one spelling, once each', () => {
  const role = roleSchema.parse({
    ...base,
    allowed_domains: ['Example.COM', 'example.com', 'XN--mnchen-3ya.de', 'localhost'],
    allowed_ip_ranges: ['2001:DB8::/32', '10.0.0.7'],
    allowed_uris: ['SPIFFE://example.org/*', 'https://Example.org/**'],
    allowed_emails: ['@Example.com', 'Alice@EXAMPLE.com'],
    extended_key_usages: ['1.3.6.1.5.5.7.3.1', 'server_auth', '1.3.6.1.4.1.311.20.2.2'],
    key_types: ['rsa-2048', 'ec-p256', 'rsa-2048'],
  });
  assert.deepEqual(role.allowed_domains, ['example.com', 'xn--mnchen-3ya.de', 'localhost']);
  assert.deepEqual(role.allowed_ip_ranges, ['2001:db8::/32', '10.0.0.7/32']);
  assert.deepEqual(role.allowed_uris, ['spiffe://example.org/*', 'https://example.org/**']);
  assert.deepEqual(role.allowed_emails, ['@example.com', 'Alice@example.com']);
  assert.deepEqual(role.extended_key_usages, ['server_auth', '1.3.6.1.4.1.311.20.2.2']);
  assert.deepEqual(role.key_types, ['rsa-2048', 'ec-p256']);
});

test('entries that would mean more or less than they say are refused, with the entry named', () => {
  const table: readonly (readonly [field: string, entry: unknown])[] = [
    ['allowed_domains', '*.example.com'],
    ['allowed_domains', '*'],
    ['allowed_domains', '.example.com'],
    ['allowed_domains', 'example.com.'],
    ['allowed_domains', 'münchen.de'],
    ['allowed_domains', 'a,b'],
    ['allowed_domains', 'example.com\n'],
    ['allowed_domains', '10.0.0.1'],
    ['allowed_domains', ''],
    ['allowed_ip_ranges', '10.0.0.1/8'],
    ['allowed_ip_ranges', '::ffff:0:0/96'],
    ['allowed_ip_ranges', '*'],
    ['allowed_uris', 'spiffe://*/a'],
    ['allowed_uris', '*'],
    ['allowed_emails', '@'],
    ['allowed_emails', '@*.example.com'],
    ['allowed_emails', '*@example.com'],
    ['allowed_emails', '@.example.com'],
    ['allowed_common_names', 'a,b'],
    ['allowed_common_names', 'a\0b'],
    ['allowed_common_names', 'a\u202eb'],
    ['allowed_common_names', ' a'],
    ['allowed_common_names', '*'],
    ['allowed_common_names', 'chy*'],
    ['allowed_common_names', 'chy_*_app'],
    ['allowed_common_names', 'chy_**'],
    ['allowed_common_names', 'a.example.*'],
    ['allowed_common_names', 'build agent *'],
    ['allowed_common_names', `${'x'.repeat(64)}*`],
    ['allowed_common_names', 'x'.repeat(65)],
    ['extended_key_usages', 'ocsp_signing'],
    ['extended_key_usages', '1.3.6.1.5.5.7.3.9'],
    ['extended_key_usages', '2.5.29.37.0'],
    ['extended_key_usages', 'any'],
    ['extended_key_usages', 'serverAuth'],
    ['extended_key_usages', '1.2.3.'],
    ['extended_key_usages', '3.1.2'],
    ['extended_key_usages', '1.40.2'],
    ['extended_key_usages', '1.2.03'],
    ['extended_key_usages', 'toString'],
    ['policy_oids', '2.5.29.32.0'],
    ['policy_oids', 'x'],
    ['key_types', 'rsa-1024'],
    ['key_usages', 'key_cert_sign'],
    ['key_usages', 'crl_sign'],
  ];
  for (const [field, entry] of table) {
    const [first] = problems({ [field]: [entry] });
    assert.ok(first?.startsWith(`${field}/0: `), `${field} ${JSON.stringify(entry)}: ${first}`);
  }
});

test('every entry that cannot be read is told, not only the first', () => {
  const found = problems({ allowed_domains: ['a.', 'ok.com', 'b_c'], allowed_ip_ranges: ['1'] });
  assert.deepEqual(
    found.map((text) => text.split(':')[0]),
    ['allowed_domains/0', 'allowed_domains/2', 'allowed_ip_ranges/0'],
  );
  assert.match(found[0] ?? '', /write a$/);
});

test('unknown fields, empty lists that must not be, and values out of bounds are refused', () => {
  const table: readonly Record<string, unknown>[] = [
    { allow_any_name: true },
    { allow_glob_domains: true },
    { key_types: [] },
    { key_usages: [] },
    { extended_key_usages: [] },
    { max_names: 0 },
    { max_names: 1001 },
    { max_names: 1.5 },
    { max_ttl: '11y' },
    { max_ttl: 0 },
    { max_ttl: '0s' },
    { default_ttl: 'a day' },
    { not_before_backdate: '25h' },
    { not_before_backdate: -1 },
    { country: 'de' },
    { organization: '' },
    { organization: 'a\nb' },
    { organization: 'x'.repeat(65) },
    { allowed_domains: 'example.com' },
    { allow_subdomains: 'true' },
    { name: 'Web' },
    { name: 'a/b' },
  ];
  for (const fields of table) assert.notDeepEqual(problems(fields), [], JSON.stringify(fields));
  assert.deepEqual(problems({ not_before_backdate: '0s' }), []);
  assert.deepEqual(problems({ not_before_backdate: 0 }), []);
});

test('fields that contradict each other are refused', () => {
  const table: readonly (readonly [fields: Record<string, unknown>, field: string])[] = [
    [{ default_ttl: '60d' }, 'default_ttl'],
    [{ default_ttl: '2h', max_ttl: '1h' }, 'default_ttl'],
    [{ extended_key_usages: ['time_stamping', 'code_signing'] }, 'extended_key_usages'],
    [{ key_usages: ['key_encipherment'] }, 'key_usages'],
    [{ key_usages: ['key_agreement'], key_types: ['ec-p256', 'ed25519'] }, 'key_usages'],
    [{ web_pki: true, extended_key_usages: ['client_auth'] }, 'extended_key_usages'],
    [{ web_pki: true, extended_key_usages: ['server_auth', 'client_auth'] }, 'extended_key_usages'],
    [{ web_pki: true, key_types: ['ed25519'] }, 'key_types'],
    [{ web_pki: true, max_ttl: '200d' }, 'max_ttl'],
    [{ web_pki: true, allowed_uris: ['spiffe://a/b'] }, 'allowed_uris'],
    [{ web_pki: true, allowed_emails: ['@a.com'] }, 'allowed_emails'],
    [{ web_pki: true, allowed_common_names: ['x'] }, 'allowed_common_names'],
    [{ web_pki: true, require_common_name: true }, 'require_common_name'],
    [{ web_pki: true, organization: 'x' }, 'organization'],
    [{ web_pki: true, allowed_domains: ['com'] }, 'allowed_domains'],
    [{ web_pki: true, key_usages: ['digital_signature', 'content_commitment'] }, 'key_usages'],
  ];
  for (const [fields, field] of table) {
    const found = problems(fields);
    assert.equal(found[0]?.split(':')[0], field, `${JSON.stringify(fields)}: ${found.join()}`);
  }
  assert.deepEqual(problems({ web_pki: true, max_ttl: '199d', allowed_domains: ['example.com'] }), []);
  assert.deepEqual(problems({ key_usages: ['key_encipherment'], key_types: ['rsa-2048'] }), []);
});

const someRole = fc.record(
  {
    allowed_domains: fc.array(fc.constantFrom('Example.com', 'a.example.com', 'localhost', 'example.NET'), {
      maxLength: 3,
    }),
    allow_subdomains: fc.boolean(),
    allow_wildcards: fc.boolean(),
    allowed_ip_ranges: fc.array(fc.constantFrom('10.0.0.0/8', '2001:DB8::/32', '192.0.2.1'), { maxLength: 2 }),
    allowed_uris: fc.array(fc.constantFrom('spiffe://a/*', 'HTTPS://B.c/**'), { maxLength: 2 }),
    allowed_emails: fc.array(fc.constantFrom('@A.b', 'C@D.e'), { maxLength: 2 }),
    max_ttl: fc.constantFrom('1h', '7d', 90, '30d'),
    not_before_backdate: fc.constantFrom(0, '0s', '5m'),
    organization: fc.constantFrom('Example, Inc.', 'Ü'),
  },
  { requiredKeys: [] },
);

test('parsing a parsed or a shown role changes nothing, also through JSON', () => {
  fc.assert(
    fc.property(someRole, (fields) => {
      const role = roleSchema.parse({ ...base, ...fields });
      assert.deepEqual(roleSchema.parse(JSON.parse(JSON.stringify(role))), role);
      const view = roleOutput.parse(viewRole(role));
      const { default_ttl: _, ...again } = roleSchema.parse(view);
      const { default_ttl: __, ...before } = role;
      assert.deepEqual(again, before);
    }),
  );
});

test('a change is laid over the role, null removes, and the whole is checked again', () => {
  const role: Role = roleSchema.parse({
    ...base,
    allowed_domains: ['example.com'],
    organization: 'Example',
    default_ttl: '2h',
  });
  const change = (fields: Record<string, unknown>) => changeRole(role, roleChanges.parse({ name: 'web', ...fields }));
  assert.deepEqual(change({}), role);
  assert.deepEqual(change({ allow_subdomains: true }), { ...role, allow_subdomains: true });
  assert.deepEqual(change({ allowed_domains: ['Example.NET'] }).allowed_domains, ['example.net']);
  assert.equal('organization' in change({ organization: null }), false);
  assert.equal(change({ max_ttl: '3h' }).max_ttl, 10_800);
  assert.throws(() => change({ max_ttl: '1h' }), /longer than max_ttl/);
  assert.throws(() => change({ description: null }));
});

test('every field of a role is described, in the schema and in what generators read', () => {
  const schema = z.toJSONSchema(roleSchema, { io: 'input' });
  for (const [field, property] of Object.entries(schema.properties ?? {})) {
    assert.ok(typeof property === 'object' && (property.description ?? '') !== '', field);
  }
  for (const [field, type] of Object.entries(roleFields)) assert.ok((type.description ?? '') !== '', field);
  assert.deepEqual(schema.required, ['name', 'authority']);
  const shown = z.toJSONSchema(roleOutput);
  assert.deepEqual(Object.keys(shown.properties ?? {}).toSorted(), Object.keys(roleFields).toSorted());
  for (const [field, type] of Object.entries(roleChanges.shape)) assert.ok((type.description ?? '') !== '', field);
});

test('a role whose key usages serve none of its purposes is refused when it is made', () => {
  const role = { name: 'web', authority: 'issuing', key_types: ['rsa-2048'], extended_key_usages: ['client_auth'] };
  const refused = roleSchema.safeParse({ ...role, key_usages: ['digital_signature', 'key_encipherment'] });
  assert.match(JSON.stringify(refused.error?.issues), /key_encipherment serves none of the extended_key_usages/);
  assert.ok(roleSchema.safeParse({ ...role, key_usages: ['digital_signature'] }).success);
  const both = { ...role, extended_key_usages: ['client_auth', 'server_auth'] };
  assert.ok(roleSchema.safeParse({ ...both, key_usages: ['digital_signature', 'key_encipherment'] }).success);
});
