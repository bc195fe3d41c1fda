import assert from 'node:assert/strict';
import test from 'node:test';
import { decideProfile } from '#pki/role.ts';
import {
  ask,
  type Case,
  csr,
  day,
  decide,
  firstRule,
  makeAuthority,
  makeRole,
  namesOf,
  now,
  profileOf,
  refusalsOf,
  rulesOf,
  start,
} from './role-fixtures.ts';

const domain = { allowed_domains: ['example.com'], allow_subdomains: true };
const host = { dns: ['a.example.com'] };

test('the profile of a plain request is complete', () => {
  assert.deepEqual(profileOf({ role: domain, request: host }), {
    role: 'web',
    authority: 'issuing',
    keyType: 'ec-p256',
    subject: [],
    names: [{ kind: 'dns', value: 'a.example.com', wildcard: false }],
    namesCritical: true,
    notBefore: start - 60_000,
    notAfter: start + day,
    keyUsages: ['digital_signature'],
    extendedKeyUsages: ['1.3.6.1.5.5.7.3.1'],
    extendedKeyUsageCritical: false,
    policyOids: [],
    urls: { crl: true, ocsp: true, caIssuers: true },
    subjectKeyIdentifier: true,
  });
});

test('domains: bare, below and wildcard are three switches', () => {
  const names = [
    'example.com',
    'a.example.com',
    'a.b.example.com',
    '*.example.com',
    '*.a.example.com',
    'evil.com',
    'badexample.com',
  ];
  const allowed = (role: Record<string, unknown>) =>
    names.filter(
      (name) => decide({ role: { allowed_domains: ['example.com'], ...role }, request: { dns: [name] } }).allowed,
    );
  const [bare, one, two, wild, deep] = names;
  assert.deepEqual(allowed({}), [bare]);
  assert.deepEqual(allowed({ allow_bare_domains: false }), []);
  assert.deepEqual(allowed({ allow_subdomains: true }), [bare, one, two]);
  assert.deepEqual(allowed({ allow_subdomains: true, allow_bare_domains: false }), [one, two]);
  assert.deepEqual(allowed({ allow_wildcards: true }), [bare, wild]);
  assert.deepEqual(allowed({ allow_wildcards: true, allow_bare_domains: false }), [wild]);
  assert.deepEqual(allowed({ allow_wildcards: true, allow_subdomains: true }), [bare, one, two, wild, deep]);
});

test('a refused DNS name says which switch refuses it', () => {
  const rule = (name: string, role: Record<string, unknown> = {}) =>
    firstRule({ role: { allowed_domains: ['example.com'], ...role }, request: { dns: [name] } });
  assert.equal(rule('evil.com'), 'allowed_domains');
  assert.equal(rule('a.example.com'), 'allow_subdomains');
  assert.equal(rule('example.com', { allow_bare_domains: false }), 'allow_bare_domains');
  assert.equal(rule('*.example.com'), 'allow_wildcards');
  assert.equal(rule('*.a.example.com', { allow_wildcards: true }), 'allow_subdomains');
  assert.equal(rule('*.evil.com', { allow_wildcards: true, allow_subdomains: true }), 'allowed_domains');
  assert.equal(rule('localhost', { allow_subdomains: true }), 'allowed_domains');
  assert.equal(rule('com', { allow_subdomains: true }), 'allowed_domains');
});

test('localhost is allowed only where it is listed', () => {
  assert.equal(decide({ role: { allowed_domains: ['localhost'] }, request: { dns: ['localhost'] } }).allowed, true);
  assert.equal(
    firstRule({ role: { allowed_domains: ['localhost'] }, request: { dns: ['a.localhost'] } }),
    'allow_subdomains',
  );
  assert.equal(firstRule({ role: domain, request: { ip: ['127.0.0.1'] } }), 'allowed_ip_ranges');
  assert.equal(firstRule({ role: domain, request: { ip: ['::1'] } }), 'allowed_ip_ranges');
});

const mixed = {
  allowed_domains: ['example.com'],
  allow_subdomains: true,
  allowed_ip_ranges: ['10.0.0.0/8', '2001:db8::/32'],
  allowed_uris: ['spiffe://example.org/ns/*'],
  allowed_emails: ['@example.com', 'Bob@example.net'],
};

/** Each bad name with how a CSR or parameter of its kind would carry it. */
const badNames: readonly (readonly [kind: 'dns' | 'ip' | 'uri' | 'email', text: string])[] = [
  ['dns', 'evil.com'],
  ['dns', 'example.com.evil.com'],
  ['dns', 'badexample.com'],
  ['dns', '*.example.com'],
  ['dns', '*'],
  ['dns', 'a.example.com\0.evil.com'],
  ['dns', 'a.example.com,evil.com'],
  ['dns', 'a.example.com;evil.com'],
  ['dns', 'a.example.com evil.com'],
  ['dns', 'a.example.com\nevil.com'],
  ['dns', 'a.example.com.'],
  ['dns', ' a.example.com'],
  ['dns', 'a.exаmple.com'],
  ['dns', 'a.ｅxample.com'],
  ['dns', 'a。example.com'],
  ['dns', 'a.example.com\u200b'],
  ['dns', '10.0.0.1'],
  ['dns', 'a_b.example.com'],
  ['dns', 'xn--a.example.com'],
  ['dns', ''],
  ['ip', '192.0.2.1'],
  ['ip', '::ffff:10.0.0.1'],
  ['ip', '010.0.0.1'],
  ['ip', '10.0.0.1/8'],
  ['ip', '10.1'],
  ['ip', '*'],
  ['ip', '10.0.0.*'],
  ['ip', '2001:db9::1'],
  ['ip', '2001:db8::1%eth0'],
  ['ip', 'a.example.com'],
  ['uri', 'spiffe://example.org'],
  ['uri', 'spiffe://example.org/ns/a/b'],
  ['uri', 'spiffe://example.org/ns/../ns'],
  ['uri', 'spiffe://example.org/ns/*'],
  ['uri', 'spiffe://Example.org/ns/a'],
  ['uri', 'spiffe://example.org/ns/a%2fb'],
  ['uri', 'spiffe://example.org/ns/a,b'],
  ['uri', 'spiffe://example.org:443/ns/a'],
  ['uri', 'spiffe://x@example.org/ns/a'],
  ['uri', 'https://example.org/ns/a'],
  ['email', 'a@evil.com'],
  ['email', 'a@sub.example.com'],
  ['email', 'bob@example.net'],
  ['email', 'a@evil.com,b@example.com'],
  ['email', '*@example.com'],
  ['email', '"a@evil.com"@example.com'],
  ['email', 'a@example.com\n'],
];

test('a bad name is refused by every route that a name can take', () => {
  const fine = { dns: ['ok.example.com'] };
  for (const [kind, text] of badNames) {
    const routes: readonly (readonly [route: string, given: Case['request']])[] = [
      ['parameter', { ...fine, [kind]: kind === 'dns' ? [...fine.dns, text] : [text] }],
      ['CSR', { ...fine, csr: csr({ [kind]: [text] }) }],
      ['common name', { ...fine, commonName: text }],
      ['common name of the CSR', { ...fine, csr: csr({ commonNames: [text] }) }],
      ['second common name of the CSR', { ...fine, csr: csr({ commonNames: ['ok.example.com', text] }) }],
      ['both', { ...fine, [kind]: [text], csr: csr({ [kind]: [text] }) }],
    ];
    for (const [route, request] of routes) {
      // An address among the DNS names is wrong there, but a common name says no kind.
      if (route.startsWith('common') && (text === '10.0.0.1' || text === 'a.example.com')) continue;
      if (route.startsWith('second') && text === 'a.example.com') continue;
      const ruling = decide({ role: mixed, request: request ?? {} });
      assert.equal(ruling.allowed, false, `${route}: ${JSON.stringify(text)}`);
    }
  }
});

test('good names pass by every route, in one spelling, sorted and once', () => {
  const request = {
    dns: ['B.example.com', 'a.example.com', 'A.EXAMPLE.COM'],
    ip: ['2001:DB8:0::1', '10.0.0.1'],
    uri: ['SPIFFE://example.org/ns/a'],
    email: ['x@EXAMPLE.com'],
    commonName: 'C.example.com',
    csr: csr({
      dns: ['a.example.com', 'd.example.com'],
      ip: ['10.0.0.1'],
      commonNames: ['c.example.com'],
      email: ['Bob@example.net'],
    }),
  };
  const profile = profileOf({ role: mixed, request });
  assert.deepEqual(namesOf(profile), [
    'dns:a.example.com',
    'dns:b.example.com',
    'dns:c.example.com',
    'dns:d.example.com',
    'ip:10.0.0.1',
    'ip:2001:db8::1',
    'uri:spiffe://example.org/ns/a',
    'email:Bob@example.net',
    'email:x@example.com',
  ]);
  assert.deepEqual(profile.subject, [{ type: 'common_name', value: 'c.example.com' }]);
  assert.equal(profile.namesCritical, false);
});

test('two names of different kinds that are spelt alike both stay', () => {
  const role = { allowed_uris: ['abcd:*'], allowed_ip_ranges: ['::/0'] };
  assert.deepEqual(namesOf(profileOf({ role, request: { ip: ['abcd::1'], uri: ['abcd::1'] } })), [
    'ip:abcd::1',
    'uri:abcd::1',
  ]);
});

test('the same names in another order, case or source give the same profile', () => {
  const one = profileOf({
    role: mixed,
    request: { dns: ['a.example.com', 'b.example.com'], ip: ['10.0.0.1'], csr: csr() },
  });
  const two = profileOf({
    role: mixed,
    request: { dns: ['B.EXAMPLE.com'], csr: csr({ dns: ['a.example.com'], ip: ['10.0.0.1'] }) },
  });
  assert.deepEqual(one, two);
});

test('a common name is one of the names, whatever its kind, or one that the role lists exactly', () => {
  const role = { ...mixed, allowed_common_names: ['Build Agent', 'db'] };
  const cn = (commonName: string) => {
    const ruling = decide({ role, request: { dns: ['a.example.com'], commonName } });
    return ruling.allowed
      ? [ruling.profile.subject.at(-1)?.value, ...namesOf(ruling.profile).slice(1)]
      : ruling.refusals[0]?.rule;
  };
  assert.deepEqual(cn('A.example.com'), ['a.example.com']);
  assert.deepEqual(cn('b.example.com'), ['b.example.com', 'dns:b.example.com']);
  assert.deepEqual(cn('10.0.0.1'), ['10.0.0.1', 'ip:10.0.0.1']);
  assert.deepEqual(cn('2001:DB8::1'), ['2001:db8::1', 'ip:2001:db8::1']);
  assert.deepEqual(cn('x@example.com'), ['x@example.com', 'email:x@example.com']);
  assert.deepEqual(cn('spiffe://example.org/ns/a'), ['spiffe://example.org/ns/a', 'uri:spiffe://example.org/ns/a']);
  assert.deepEqual(cn('Build Agent'), ['Build Agent']);
  assert.deepEqual(cn('db'), ['db']);
  assert.equal(cn('build agent'), 'allowed_common_names');
  assert.equal(cn('Build Agent '), 'allowed_common_names');
  assert.equal(cn('DB'), 'allowed_domains');
  assert.equal(cn('Some Person'), 'allowed_common_names');
  assert.equal(cn('evil.com'), 'allowed_domains');
  assert.equal(cn(`${'a'.repeat(60)}.example.com`), 'common_name');
});

test('a common name that begins as the role lists is one word of letters, digits, _ and -, and nothing that is a host name', () => {
  const role = {
    ...mixed,
    extended_key_usages: ['client_auth'],
    allowed_common_names: ['chy_ab12c_*', 'host*', 'x'.repeat(63).concat('*')],
  };
  const cn = (commonName: string) => {
    const ruling = decide({ role, request: { commonName } });
    return ruling.allowed
      ? [ruling.profile.subject.at(-1)?.value, ...namesOf(ruling.profile)]
      : ruling.refusals[0]?.rule;
  };
  assert.deepEqual(cn('chy_ab12c_readonly_0123'), ['chy_ab12c_readonly_0123']);
  assert.deepEqual(cn('chy_ab12c_-'), ['chy_ab12c_-']);
  assert.deepEqual(cn('host7'), ['host7']);
  assert.deepEqual(cn('x'.repeat(64)), ['x'.repeat(64)]);
  assert.equal(cn('chy_ab12c_'), 'allowed_common_names');
  assert.equal(cn('chy_ab12c_*'), 'allowed_common_names');
  assert.equal(cn('chy_ab12d_x'), 'allowed_common_names');
  assert.equal(cn('CHY_ab12c_x'), 'allowed_common_names');
  assert.equal(cn('xchy_ab12c_x'), 'allowed_common_names');
  assert.equal(cn('chy_ab12c_a b'), 'allowed_common_names');
  assert.equal(cn('chy_ab12c_\u0430'), 'allowed_common_names');
  assert.equal(cn('chy_ab12c_x\n'), 'allowed_common_names');
  assert.equal(cn('hostile.evil.com'), 'allowed_domains');
  assert.equal(cn('host@evil.com'), 'allowed_emails');
  assert.equal(cn('host'), 'allowed_domains');
  assert.equal(cn(`chy_ab12c_${'x'.repeat(55)}`), 'allowed_common_names');
});

test('two common names are refused, the same one twice is not', () => {
  const two = { commonName: 'a.example.com', csr: csr({ commonNames: ['b.example.com'] }) };
  assert.deepEqual(rulesOf({ role: domain, request: two }), ['common_name /csr']);
  assert.deepEqual(
    rulesOf({ role: domain, request: { csr: csr({ commonNames: ['a.example.com', 'b.example.com'] }) } }),
    ['common_name /csr'],
  );
  const same = { commonName: 'A.example.com', csr: csr({ commonNames: ['a.example.com', 'a.EXAMPLE.com'] }) };
  assert.deepEqual(profileOf({ role: domain, request: same }).subject, [
    { type: 'common_name', value: 'a.example.com' },
  ]);
});

test('require_common_name wants one asked for, from either source', () => {
  const role = { ...domain, require_common_name: true };
  assert.deepEqual(rulesOf({ role, request: host }), ['require_common_name /common_name']);
  assert.equal(decide({ role, request: { commonName: 'a.example.com' } }).allowed, true);
  assert.equal(decide({ role, request: { csr: csr({ commonNames: ['a.example.com'] }) } }).allowed, true);
});

test('kinds of names that are never issued are refused, not dropped', () => {
  const request = { ...host, csr: csr({ unsupported: ['otherName 1.3.6.1.4.1.311.20.2.3', 'registeredID 1.2.3'] }) };
  assert.deepEqual(rulesOf({ role: domain, request }), ['name_kinds /csr', 'name_kinds /csr']);
});

test('a certificate needs a name, and one for servers a name of a host', () => {
  const client = { ...mixed, extended_key_usages: ['client_auth'], allowed_common_names: ['agent'] };
  assert.deepEqual(rulesOf({ role: domain }), ['names /dns_names']);
  assert.deepEqual(rulesOf({ role: mixed, request: { email: ['x@example.com'] } }), ['names /dns_names']);
  assert.deepEqual(rulesOf({ role: { ...mixed, allowed_common_names: ['agent'] }, request: { commonName: 'agent' } }), [
    'names /dns_names',
  ]);
  assert.deepEqual(rulesOf({ role: { ...client, organization: 'Example' } }), ['names /dns_names']);
  assert.equal(decide({ role: client, request: { commonName: 'agent' } }).allowed, true);
  assert.equal(decide({ role: client, request: { email: ['x@example.com'] } }).allowed, true);
  assert.equal(decide({ role: mixed, request: { uri: ['spiffe://example.org/ns/a'] } }).allowed, true);
});

test('the number of names is bounded, counting each name once', () => {
  const role = { ...domain, max_names: 2 };
  assert.equal(
    decide({ role, request: { dns: ['a.example.com', 'A.example.com'], commonName: 'b.example.com' } }).allowed,
    true,
  );
  assert.deepEqual(
    rulesOf({ role, request: { dns: ['a.example.com', 'b.example.com'], csr: csr({ dns: ['c.example.com'] }) } }),
    ['max_names '],
  );
  const flood = Array.from({ length: 203 }, (_, index) => `x${index}.evil.com`);
  assert.deepEqual(rulesOf({ role: domain, request: { dns: flood } }), ['max_names ']);
  assert.deepEqual(rulesOf({ role: domain, request: { csr: csr({ commonNames: flood }) } }), ['max_names ']);
  const twice = { dns: flood.slice(0, 100), csr: csr({ dns: flood.slice(0, 100) }) };
  assert.equal(
    decide({ role: { allowed_domains: ['evil.com'], allow_subdomains: true }, request: twice }).allowed,
    true,
  );
});

test('all refusals are told, each with its place', () => {
  const request = {
    dns: ['ok.example.com', 'evil.com', 'a_b'],
    ip: ['192.0.2.1'],
    uri: ['spiffe://evil.org/x'],
    email: ['a@evil.com'],
    commonName: 'Some Person',
    ttl: 90 * 86_400,
    csr: csr({ dns: ['other.evil.com'], keyType: 'rsa-2048', keyLabel: 'rsa-2048', weakness: 'has the exponent 3' }),
  };
  assert.deepEqual(rulesOf({ role: mixed, request, authority: { active: false }, limits: { maxTtl: 3600 } }), [
    'authority_state /role',
    'key_strength /csr',
    'key_types /csr',
    'allowed_domains /dns_names/1',
    'name_syntax /dns_names/2',
    'allowed_ip_ranges /ip_addresses/0',
    'allowed_uris /uris/0',
    'allowed_emails /emails/0',
    'allowed_domains /csr',
    'allowed_common_names /common_name',
    'max_ttl /ttl',
    'policy_max_ttl /ttl',
  ]);
});

test('no text of a refusal repeats control characters or look-alikes of the request', () => {
  const request = {
    dns: ['a\0.example.com', 'exаmple.com', '\u202eevil', 'x'.repeat(2000)],
    uri: ['spiffe://a/\u001b[31m'],
    commonName: '\u0007bell',
    csr: csr({ unsupported: ['otherName \u001b]0;x'], keyLabel: 'odd\nkey', keyType: null }),
  };
  for (const refusal of refusalsOf({ role: mixed, request })) {
    for (const text of Object.values(refusal) as string[]) assert.match(text, /^[\x20-\x7e§]*$/);
    assert.ok(refusal.message.length < 1000);
  }
});

test('keys: only the listed types, by either way, and never a weak one', () => {
  const role = { ...domain, key_types: ['ec-p384', 'rsa-2048'], key_usages: ['digital_signature', 'key_encipherment'] };
  assert.equal(profileOf({ role, request: host }).keyType, 'ec-p384');
  assert.deepEqual(profileOf({ role, request: host }).keyUsages, ['digital_signature']);
  const rsa = profileOf({ role, request: { ...host, keyType: 'rsa-2048' } });
  assert.deepEqual([rsa.keyType, ...rsa.keyUsages], ['rsa-2048', 'digital_signature', 'key_encipherment']);
  const own = csr({ keyType: 'rsa-2048', keyLabel: 'rsa-2048' });
  assert.equal(profileOf({ role, request: { ...host, csr: own } }).keyType, 'rsa-2048');
  assert.equal(profileOf({ role, request: { ...host, csr: own, keyType: 'rsa-2048' } }).keyType, 'rsa-2048');
  assert.deepEqual(rulesOf({ role, request: { ...host, keyType: 'ec-p256' } }), ['key_types /key_type']);
  assert.deepEqual(rulesOf({ role, request: { ...host, csr: csr() } }), ['key_types /csr']);
  assert.deepEqual(rulesOf({ role, request: { ...host, csr: csr({ keyType: null, keyLabel: 'RSA 1024' }) } }), [
    'key_types /csr',
  ]);
  assert.deepEqual(rulesOf({ role, request: { ...host, csr: own, keyType: 'ec-p384' } }), ['key_types /key_type']);
  const weak = { ...own, weakness: 'shares a factor with another key' };
  assert.deepEqual(rulesOf({ role, request: { ...host, csr: weak } }), ['key_strength /csr']);
  assert.deepEqual(rulesOf({ role: { ...domain, require_csr: true }, request: host }), ['require_csr /csr']);
  assert.equal(decide({ role: { ...domain, require_csr: true }, request: { ...host, csr: csr() } }).allowed, true);
});

test('time: the default is cut to what is allowed and says so, what is asked beyond is refused', () => {
  const end = (given: Case) =>
    (profileOf({ role: domain, ...given, request: { ...host, ...given.request } }).notAfter - start) / 1000;
  const rules = (given: Case) => rulesOf({ role: domain, ...given, request: { ...host, ...given.request } });
  assert.equal(end({ request: { ttl: 1 } }), 1);
  assert.equal(end({ request: { ttl: 30 * 86_400 } }), 30 * 86_400);
  assert.deepEqual(rules({ request: { ttl: 30 * 86_400 + 1 } }), ['max_ttl /ttl']);
  assert.equal(end({ request: { notAfter: start + 3_600_000 } }), 3600);
  assert.equal(end({ request: { notAfter: start + 3_600_999 } }), 3600);
  assert.deepEqual(rules({ request: { notAfter: start + 31 * day } }), ['max_ttl /not_after']);
  assert.deepEqual(rules({ request: { notAfter: start + 999 } }), ['not_after /not_after']);
  assert.deepEqual(rules({ request: { notAfter: now - 5000 } }), ['not_after /not_after']);
  assert.deepEqual(rules({ request: { notAfter: Number.NaN } }), ['not_after /not_after']);
  assert.deepEqual(rules({ request: { ttl: 60, notAfter: start + 60_000 } }), ['not_after /not_after']);
  // the policy
  assert.equal(end({ limits: { maxTtl: 3600 } }), 3600);
  assert.equal(end({ limits: { notAfter: start + 7_200_500 } }), 7200);
  assert.deepEqual(rules({ limits: { maxTtl: 3600 }, request: { ttl: 3601 } }), ['policy_max_ttl /ttl']);
  assert.deepEqual(rules({ limits: { notAfter: start + 7_200_500 }, request: { ttl: 7201 } }), [
    'policy_not_after /ttl',
  ]);
  assert.deepEqual(rules({ limits: { notAfter: now - 1000 } }), ['policy_not_after /ttl']);
  // the authority
  assert.equal(end({ authority: { notAfter: start + 600_000 } }), 600);
  assert.deepEqual(rules({ authority: { notAfter: start + 600_000 }, request: { ttl: 601 } }), [
    'authority_not_after /ttl',
  ]);
  assert.deepEqual(rules({ authority: { notAfter: now - 1 } }), ['authority_not_after /ttl']);
  // every bound that is passed is told
  const all = {
    limits: { maxTtl: 60, notAfter: start + 1000 },
    authority: { notAfter: start + 5000 },
    request: { ttl: 90 * 86_400 },
  };
  assert.deepEqual(rules(all), [
    'max_ttl /ttl',
    'authority_not_after /ttl',
    'policy_max_ttl /ttl',
    'policy_not_after /ttl',
  ]);
  const cut = decide({ role: domain, request: host, limits: { maxTtl: 3600 } });
  assert.ok(cut.allowed);
  assert.deepEqual(cut.adjustments, [
    {
      rule: 'policy_max_ttl',
      at: '/ttl',
      message:
        'The certificate ends at 2026-11-21T11:00:00Z instead of after 1d, because of policy_max_ttl 1h of the policy.',
    },
  ]);
});

test('validity begins a little earlier, but not before the authority, and never later than now', () => {
  const begin = (given: Case) => (profileOf({ role: domain, ...given, request: host }).notBefore - start) / 1000;
  assert.equal(begin({}), -60);
  assert.equal(begin({ role: { ...domain, not_before_backdate: 0 } }), 0);
  assert.equal(begin({ authority: { notBefore: start - 5000 } }), -5);
  assert.equal(begin({ authority: { notBefore: start } }), 0);
  assert.equal(begin({ authority: { notBefore: start + 500 } }), 0);
  assert.deepEqual(rulesOf({ role: domain, request: host, authority: { notBefore: now + 1000 } }), [
    'authority_state /role',
  ]);
});

test('an authority that cannot sign, or whose chain leaves another usage, refuses', () => {
  assert.deepEqual(rulesOf({ role: domain, request: host, authority: { active: false } }), ['authority_state /role']);
  const clientOnly = { extendedKeyUsages: ['1.3.6.1.5.5.7.3.2'] };
  assert.deepEqual(rulesOf({ role: domain, request: host, authority: clientOnly }), [
    'authority_extended_key_usages /role',
  ]);
  const both = { extendedKeyUsages: ['1.3.6.1.5.5.7.3.2', '1.3.6.1.5.5.7.3.1'] };
  assert.equal(decide({ role: domain, request: host, authority: both }).allowed, true);
});

test('what the chain of the authority forbids is refused, whichever way the name comes', () => {
  const authority = {
    nameConstraints: [
      { permitted: { dns: ['a.example.com'], ip: ['10.1.0.0/16'] }, excluded: { dns: ['x.a.example.com'] } },
    ],
  };
  const role = { ...mixed, allow_wildcards: true };
  const rules = (request: Case['request']) => rulesOf({ role, authority, request: request ?? {} });
  assert.deepEqual(rules({ dns: ['b.example.com'] }), ['name_constraints /dns_names/0']);
  assert.deepEqual(rules({ dns: ['x.a.example.com'] }), ['name_constraints /dns_names/0']);
  assert.deepEqual(rules({ dns: ['*.a.example.com'] }), ['name_constraints /dns_names/0']);
  assert.deepEqual(rules({ ip: ['10.2.0.1'] }), ['name_constraints /ip_addresses/0']);
  assert.deepEqual(rules({ dns: ['a.example.com'], commonName: 'b.example.com' }), ['name_constraints /common_name']);
  assert.deepEqual(rules({ dns: ['a.example.com'], csr: csr({ dns: ['b.example.com'] }) }), ['name_constraints /csr']);
  assert.equal(decide({ role, authority, request: { dns: ['y.a.example.com'], ip: ['10.1.2.3'] } }).allowed, true);
  // old software takes a common name for a host name
  const listed = { ...role, allowed_common_names: ['b.example.com', 'agent'] };
  assert.deepEqual(
    rulesOf({ role: listed, authority, request: { dns: ['a.example.com'], commonName: 'b.example.com' } }),
    ['name_constraints /common_name'],
  );
  assert.equal(
    decide({ role: listed, authority, request: { dns: ['a.example.com'], commonName: 'agent' } }).allowed,
    true,
  );
  const directory = { nameConstraints: [{ permitted: { directory: [[{ type: 'organization', value: 'Example' }]] } }] };
  assert.deepEqual(rulesOf({ role: { ...domain, organization: 'Other' }, authority: directory, request: host }), [
    'name_constraints /role',
  ]);
  assert.equal(
    decide({ role: { ...domain, organization: 'Example' }, authority: directory, request: host }).allowed,
    true,
  );
});

test('the subject is what the role fixes, in order, and the common name', () => {
  const role = {
    ...domain,
    organization: 'Example',
    country: 'DE',
    organizational_unit: 'Ops',
    locality: 'Berlin',
    province: 'BE',
  };
  const { subject, namesCritical } = profileOf({ role, request: { commonName: 'a.example.com' } });
  assert.deepEqual(
    subject.map(({ type, value }) => `${type}=${value}`),
    [
      'country=DE',
      'province=BE',
      'locality=Berlin',
      'organization=Example',
      'organizational_unit=Ops',
      'common_name=a.example.com',
    ],
  );
  assert.equal(namesCritical, false);
});

test('short-lived certificates carry no addresses, up to seven days counting both ends', () => {
  const urls = (ttl: number, role: Record<string, unknown> = {}) =>
    profileOf({ role: { ...domain, short_lived: true, not_before_backdate: 0, ...role }, request: { ...host, ttl } })
      .urls;
  const none = { crl: false, ocsp: false, caIssuers: false };
  const all = { crl: true, ocsp: true, caIssuers: true };
  assert.deepEqual(urls(7 * 86_400 - 1), none);
  assert.deepEqual(urls(7 * 86_400), none);
  assert.deepEqual(urls(7 * 86_400, { not_before_backdate: '60s' }), none);
  assert.deepEqual(urls(7 * 86_400 + 1), all);
  assert.deepEqual(urls(3600, { short_lived: false }), all);
  assert.deepEqual(urls(3600, { web_pki: true }), { crl: false, ocsp: false, caIssuers: true });
});

test('a life of seven days is cut to seven days with notBefore and its last second, and that is told', () => {
  const week = 7 * 86_400;
  const role = { ...domain, short_lived: true, max_ttl: '30d', default_ttl: '7d' };
  const asked = [{}, { ttl: week }, { ttl: week - 60 }, { notAfter: start + week * 1000 }];
  for (const request of asked) {
    const ruling = decide({ role, request: { ...host, ...request } });
    assert.ok(ruling.allowed);
    const { notBefore, notAfter } = ruling.profile;
    assert.deepEqual(
      [notBefore, notAfter + 1000],
      [start - 60_000, start - 60_000 + week * 1000],
      JSON.stringify(request),
    );
    const [adjustment, ...others] = ruling.adjustments;
    assert.deepEqual([adjustment?.rule, others.length], ['short_lived', 0]);
    assert.match(adjustment?.message ?? '', /7d/);
  }
  for (const ttl of [week - 61, week + 1]) {
    const ruling = decide({ role, request: { ...host, ttl } });
    assert.ok(ruling.allowed);
    assert.equal(ruling.profile.notAfter, start + ttl * 1000);
    assert.deepEqual(ruling.adjustments, []);
  }
  const longRole = decide({ role: { ...role, short_lived: false }, request: { ...host, ttl: week } });
  assert.ok(longRole.allowed && longRole.profile.notAfter === start + week * 1000);
});

test('web_pki follows the Baseline Requirements', () => {
  const role = {
    ...domain,
    web_pki: true,
    max_ttl: '199d',
    policy_oids: ['1.3.6.1.4.1.99999.1'],
    allowed_domains: ['example.com', 'a.internal', 'x.test'],
    allowed_ip_ranges: ['0.0.0.0/0', '::/0'],
  };
  const ruling = decide({ role, request: { commonName: 'a.example.com', ip: ['8.8.8.8'] } });
  assert.ok(ruling.allowed);
  assert.deepEqual(ruling.profile.subject, []);
  assert.deepEqual(ruling.profile.policyOids, ['2.23.140.1.2.1', '1.3.6.1.4.1.99999.1']);
  assert.equal(ruling.profile.subjectKeyIdentifier, false);
  assert.deepEqual(namesOf(ruling.profile), ['dns:a.example.com', 'ip:8.8.8.8']);
  assert.deepEqual(
    ruling.adjustments.map(({ rule, at }) => `${rule} ${at}`),
    ['web_pki /common_name'],
  );
  for (const dns of ['a.internal', 'b.x.test'])
    assert.deepEqual(rulesOf({ role, request: { dns: [dns] } }), ['web_pki /dns_names/0']);
  for (const ip of ['10.0.0.1', '127.0.0.1', '::1', '2001:db8::1']) {
    assert.deepEqual(rulesOf({ role, request: { dns: ['a.example.com'], ip: [ip] } }), ['web_pki /ip_addresses/0']);
  }
});

test('web_pki cuts the life as the Baseline Requirements do, by the day of issuance', () => {
  const role = makeRole({ ...domain, web_pki: true, max_ttl: '199d', default_ttl: '199d' });
  const days = (at: number) => {
    const authority = makeAuthority({ notBefore: 0, notAfter: Date.UTC(2040, 0, 1) });
    const ruling = decideProfile(role, ask({ dns: ['a.example.com'] }), authority, {}, at);
    assert.ok(ruling.allowed);
    const { notBefore, notAfter } = ruling.profile;
    return (notAfter - notBefore + 1000) / day;
  };
  assert.ok(days(now) < 200);
  assert.equal(days(Date.UTC(2027, 2, 16)), 100);
  assert.equal(days(Date.UTC(2029, 2, 16)), 47);
  const asked = ask({ dns: ['a.example.com'], ttl: 101 * 86_400 });
  const refused = decideProfile(role, asked, makeAuthority(), {}, Date.UTC(2027, 2, 16));
  assert.ok(!refused.allowed);
  assert.equal(refused.refusals[0]?.rule, 'web_pki');
});

test('time stamping certificates have that usage alone and critical', () => {
  const role = { allowed_common_names: ['TSA 1'], extended_key_usages: ['time_stamping'] };
  const profile = profileOf({ role, request: { commonName: 'TSA 1' } });
  assert.deepEqual(profile.extendedKeyUsages, ['1.3.6.1.5.5.7.3.8']);
  assert.equal(profile.extendedKeyUsageCritical, true);
});
