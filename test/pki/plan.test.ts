import assert from 'node:assert/strict';
import test from 'node:test';
import * as fc from 'fast-check';
import { planCertificateInput, planCertificateOutput } from '#pki/certificate-schema.ts';
import { nearestFields, type Plan, planIssuance, refusalError } from '#pki/plan.ts';
import { decideProfile } from '#pki/role.ts';
import { compileRole } from '#pki/role-compile.ts';
import { countAsked, mostNames } from '#pki/role-names.ts';
import { roleSchema } from '#pki/role-schema.ts';
import type { IssuanceRequest } from '#pki/ruling.ts';
import { ask, type Case, csr, day, makeAuthority, makeRole, namesOf, now, start } from './role-fixtures.ts';

function plan({ role, request, authority, limits }: Case): Plan {
  return planIssuance(makeRole(role), ask(request), makeAuthority(authority), limits ?? {}, now);
}

/** The fields of the nearest request, and the advice. */
function nearest(given: Case): [fields: Readonly<Record<string, unknown>> | null, advice: string] {
  const found = plan(given);
  assert.ok(!found.allowed, JSON.stringify(found));
  const { role: _, ...fields } =
    found.nearest === null ? { role: '' } : nearestFields(makeRole(given.role), found.nearest, undefined);
  return [found.nearest === null ? null : fields, found.advice];
}

const domain = { allowed_domains: ['example.com'], allow_subdomains: true };

test('a request that passes needs no other', () => {
  const found = plan({ role: domain, request: { dns: ['a.example.com'] } });
  assert.ok(found.allowed);
  assert.equal(found.profile.names[0]?.value, 'a.example.com');
  assert.equal(found.advice, 'The request would pass as it is.');
});

test('refused names are left out while others remain', () => {
  assert.deepEqual(
    nearest({ role: domain, request: { dns: ['a.example.com', 'evil.com', '*.example.com'], ip: ['10.0.0.1'] } }),
    [{ dns_names: ['a.example.com'] }, 'Leave out "evil.com"; leave out "*.example.com"; leave out "10.0.0.1".'],
  );
});

test('misspelt names are respelt', () => {
  const role = { ...domain, allowed_domains: ['example.com', 'xn--mnchen-3ya.de'], allowed_ip_ranges: ['10.0.0.0/8'] };
  const request = { dns: ['a.example.com.', 'münchen.de', '10.0.0.9'], ip: ['::ffff:10.0.0.1'] };
  assert.deepEqual(nearest({ role, request }), [
    { dns_names: ['a.example.com', 'xn--mnchen-3ya.de'], ip_addresses: ['10.0.0.9', '10.0.0.1'] },
    'Write "a.example.com." as a.example.com; write "m\\u{fc}nchen.de" as xn--mnchen-3ya.de; write "10.0.0.9" as 10.0.0.9 among the ip_addresses; write "::ffff:10.0.0.1" as 10.0.0.1.',
  ]);
});

test('when no name remains, the nearest one that the role allows is named', () => {
  const names = (role: Record<string, unknown>, request: Partial<IssuanceRequest>) => nearest({ role, request })[0];
  assert.deepEqual(names(domain, { dns: ['web.evil.com'] }), { dns_names: ['web.example.com'] });
  assert.deepEqual(names(domain, { dns: ['*.evil.com'] }), { dns_names: ['evil.example.com'] });
  assert.deepEqual(names({ allowed_domains: ['example.com'] }, { dns: ['a.example.com'] }), {
    dns_names: ['example.com'],
  });
  assert.deepEqual(names(domain, {}), { dns_names: ['host.example.com'] });
  assert.deepEqual(
    names({ allowed_domains: ['example.com'], allow_wildcards: true, allow_bare_domains: false }, { dns: ['x.org'] }),
    {
      dns_names: ['*.example.com'],
    },
  );
  assert.deepEqual(names({ allowed_ip_ranges: ['10.0.0.7'] }, { ip: ['10.0.0.8'] }), { ip_addresses: ['10.0.0.7'] });
  assert.deepEqual(
    names({ allowed_uris: ['spiffe://example.org/ns/dev/sa/*'] }, { uri: ['spiffe://example.org/ns/prod/sa/web'] }),
    { uris: ['spiffe://example.org/ns/dev/sa/web'] },
  );
  const mail = { allowed_emails: ['@example.com'], extended_key_usages: ['email_protection'] };
  assert.deepEqual(names(mail, { email: ['bob@example.org'] }), { emails: ['bob@example.com'] });
  const tool = { allowed_common_names: ['Build Agent'], extended_key_usages: ['code_signing'] };
  assert.deepEqual(names(tool, { commonName: 'Other' }), { common_name: 'Build Agent' });
  assert.equal(names({}, { dns: ['a.example.com'] }), null);
});

test('a common name that cannot stay is left out, moved among the names, or given where one is required', () => {
  const names = (request: Partial<IssuanceRequest>, role: Record<string, unknown> = domain) =>
    nearest({ role, request });
  assert.deepEqual(names({ dns: ['a.example.com'], commonName: 'Some Person' }), [
    { dns_names: ['a.example.com'] },
    'Leave out the common name "Some Person".',
  ]);
  const long = `${'a'.repeat(60)}.example.com`;
  assert.deepEqual(names({ commonName: long })[0], { dns_names: [long] });
  assert.deepEqual(names({ dns: ['a.example.com'] }, { ...domain, require_common_name: true }), [
    { common_name: 'a.example.com' },
    'Ask for the common name "a.example.com".',
  ]);
});

test('where the role lists beginnings of common names only, one that begins so is proposed', () => {
  const role = { extended_key_usages: ['client_auth'], allowed_common_names: ['chy_ab12c_*'] };
  assert.deepEqual(nearest({ role, request: { commonName: 'other' } }), [
    { common_name: 'chy_ab12c_name' },
    'Leave out the common name "other"; ask for the common name "chy_ab12c_name".',
  ]);
});

test('the life is cut to what is allowed, as a duration or as a moment, whichever bounds it', () => {
  const host = { dns: ['a.example.com'] };
  const life = (given: Case) => nearest({ role: domain, ...given, request: { ...host, ...given.request } });
  assert.deepEqual(life({ request: { ttl: 90 * 86_400 } }), [
    { dns_names: host.dns, ttl: '30d' },
    'Ask for a ttl of at most 30d.',
  ]);
  assert.deepEqual(life({ request: { ttl: 86_400 }, limits: { maxTtl: 3600 } })[0], { dns_names: host.dns, ttl: '1h' });
  assert.deepEqual(life({ request: { notAfter: start + 90 * day } })[0], { dns_names: host.dns, ttl: '30d' });
  assert.deepEqual(life({ request: { ttl: 86_400 }, authority: { notAfter: start + 600_000 } }), [
    { dns_names: host.dns, not_after: '2026-11-21T10:10:00Z' },
    'Ask for a not_after of at most 2026-11-21T10:10:00Z.',
  ]);
  assert.deepEqual(life({ request: { notAfter: now - day } })[0], { dns_names: host.dns });
  assert.deepEqual(life({ request: { ttl: 60, notAfter: now + day } })[0], { dns_names: host.dns, ttl: '1m' });
});

test('the key type is changed, and a CSR is asked for again only when it is at fault', () => {
  const host = { dns: ['a.example.com'] };
  assert.deepEqual(nearest({ role: domain, request: { ...host, keyType: 'rsa-2048' } }), [
    { dns_names: host.dns, key_type: 'ec-p256' },
    'Ask for the key type ec-p256.',
  ]);
  const stays = plan({ role: domain, request: { dns: ['evil.com'], csr: csr({ dns: ['a.example.com'] }) } });
  assert.ok(!stays.allowed && stays.nearest !== null);
  assert.equal(stays.nearest.needsNewCsr, false);
  assert.deepEqual(nearestFields(makeRole(domain), stays.nearest, 'PEM'), {
    role: 'web',
    dns_names: ['a.example.com'],
    csr: 'PEM',
  });
  const faults = [
    csr({ dns: ['evil.com'] }),
    csr({ keyType: 'rsa-2048' }),
    csr({ weakness: 'is blocked' }),
    csr({ unsupported: ['x400'] }),
    csr({ commonNames: ['evil.com'] }),
  ];
  for (const fault of faults) {
    const found = plan({ role: domain, request: { ...host, csr: fault } });
    assert.ok(!found.allowed && found.nearest !== null);
    assert.equal(found.nearest.needsNewCsr, true);
    assert.match(found.advice, /CSR/);
    assert.deepEqual(nearestFields(makeRole(domain), found.nearest, 'PEM'), { role: 'web', dns_names: host.dns });
  }
  const required = plan({ role: { ...domain, require_csr: true }, request: host });
  assert.ok(!required.allowed && required.nearest !== null);
  assert.equal(required.advice, 'Send a CSR with a new ec-p256 key.');
});

test('too many names are split', () => {
  const dns = ['a.example.com', 'b.example.com', 'c.example.com'];
  assert.deepEqual(nearest({ role: { ...domain, max_names: 2 }, request: { dns } }), [
    { dns_names: dns.slice(0, 2) },
    'Split the names over certificates of at most 2.',
  ]);
  const flood = Array.from({ length: 5000 }, (_, index) => `x${index}.example.com`);
  const [fields] = nearest({ role: domain, request: { dns: flood } });
  assert.deepEqual(fields?.['dns_names'], flood.slice(0, 100));
});

test('where nothing that the requester could change would do, the advice says who could', () => {
  const host = { dns: ['a.example.com'] };
  const advice =
    'No change of the request would do: use another role, or have an operator look at authority_state of role web.';
  assert.deepEqual(nearest({ role: domain, request: host, authority: { active: false } }), [null, advice]);
  assert.equal(nearest({ role: domain, request: host, authority: { notAfter: now - 1 } })[0], null);
  assert.equal(nearest({ role: domain, request: host, limits: { notAfter: now - 1 } })[0], null);
  const client = { extendedKeyUsages: ['1.3.6.1.5.5.7.3.2'] };
  assert.equal(nearest({ role: domain, request: host, authority: client })[0], null);
  const elsewhere = { nameConstraints: [{ permitted: { dns: ['example.net'] } }] };
  assert.equal(nearest({ role: domain, request: host, authority: elsewhere })[0], null);
});

test('the error tells every finding, the advice and the nearest request, and fits the schema of the answer', () => {
  const role = makeRole(domain);
  const found = plan({ role: domain, request: { dns: ['a.example.com', 'evil.com'], ttl: 90 * 86_400 } });
  assert.ok(!found.allowed);
  const error = refusalError(role, found, undefined);
  assert.equal(error.code, 'refused');
  assert.equal(
    error.message,
    'DNS name "evil.com" is not covered by allowed_domains of role web; role web allows example.com and names below it. There is one more finding.',
  );
  assert.deepEqual(
    error.details.map(({ at }) => at),
    ['/dns_names/1', '/ttl'],
  );
  assert.deepEqual(error.members['nearest_request'], { role: 'web', dns_names: ['a.example.com'], ttl: '30d' });
  const answer = {
    allowed: false,
    refusals: error.members['refusals'],
    nearest_request: error.members['nearest_request'],
    advice: error.hint,
    certificate: null,
    adjustments: [],
  };
  assert.deepEqual(planCertificateOutput.parse(JSON.parse(JSON.stringify(answer))), answer);
});

test('an error stays small however much is refused', () => {
  const dns = Array.from({ length: 1000 }, (_, index) => `${index}.${'x'.repeat(60)}.evil.com`);
  const role = { ...domain, max_names: 1000 };
  const found = plan({ role, request: { dns } });
  assert.ok(!found.allowed);
  assert.equal(found.refusals.length, 1000);
  const error = refusalError(makeRole(role), found, undefined);
  assert.ok(JSON.stringify({ ...error.members, details: error.details, hint: error.hint }).length < 64_000);
});

test('a CSR with more names than the role allows is asked for again, one beside too many parameters is not', () => {
  const flood = Array.from({ length: 500 }, (_, index) => `x${index}.example.com`);
  const again = plan({ role: domain, request: { csr: csr({ dns: flood }) } });
  assert.ok(!again.allowed && again.nearest !== null);
  assert.equal(again.nearest.needsNewCsr, true);
  assert.equal(again.nearest.request.dns.length, 100);
  const stays = plan({ role: domain, request: { dns: flood, csr: csr({ dns: ['x0.example.com'] }) } });
  assert.ok(!stays.allowed && stays.nearest !== null);
  assert.equal(stays.nearest.needsNewCsr, false);
});

const text = fc.constantFrom(
  'example.com',
  'a.example.com',
  'B.example.com',
  'a.b.example.com',
  '*.example.com',
  '*.a.example.com',
  'example.net',
  'evil.com',
  'a.example.com.',
  'münchen.de',
  'a_b',
  'localhost',
  '10.0.0.1',
  '192.0.2.1',
  '::ffff:10.0.0.2',
  'spiffe://example.org/ns/a',
  'spiffe://Example.org/ns/b',
  'spiffe://example.org/other',
  'x@example.com',
  'x@evil.com',
  'Some Person',
  'Build Agent',
  'chy_ab12c_x7',
  'chy_ab12c_',
  `${'a'.repeat(60)}.example.com`,
  '',
  'a\0b',
);
const texts = fc.array(text, { maxLength: 2 });
const keyType = fc.constantFrom('ec-p256', 'ec-p384', 'rsa-2048', 'ed25519');
const nameLists = { dns: texts, ip: texts, uri: texts, email: texts };

const request = fc
  .record(
    {
      ...nameLists,
      commonName: text,
      ttl: fc.constantFrom(1, 60, 3600, 86_400, 40 * 86_400),
      notAfter: fc.constantFrom(now - day, now, now + 1500, now + day, now + 40 * day),
      keyType,
      csr: fc
        .record(
          {
            ...nameLists,
            commonNames: texts,
            keyType: fc.option(keyType, { nil: null }),
            unsupported: fc.constantFrom([], ['otherName 1.2.3']),
            weakness: fc.constantFrom(undefined, undefined, undefined, 'is blocked'),
          },
          { requiredKeys: [] },
        )
        .map((fields) => csr(fields)),
    },
    { requiredKeys: [] },
  )
  .map((fields) => ask(fields));

const role = fc
  .record(
    {
      allowed_domains: fc.subarray(['example.com', 'a.example.com', 'example.net', 'localhost', 'xn--mnchen-3ya.de']),
      allow_bare_domains: fc.boolean(),
      allow_subdomains: fc.boolean(),
      allow_wildcards: fc.boolean(),
      allowed_ip_ranges: fc.subarray(['10.0.0.0/8', '192.0.2.1/32']),
      allowed_uris: fc.subarray(['spiffe://example.org/ns/*', 'spiffe://example.org/exact']),
      allowed_emails: fc.subarray(['@example.com', 'only@example.net']),
      allowed_common_names: fc.subarray(['chy_ab12c_*', 'Build Agent', 'Some Person']),
      extended_key_usages: fc.constantFrom(['server_auth'], ['client_auth'], ['server_auth', 'client_auth']),
      key_types: fc.constantFrom(['ec-p256'], ['ec-p384', 'rsa-2048'], ['ed25519']),
      require_common_name: fc.boolean(),
      require_csr: fc.boolean(),
      max_names: fc.constantFrom(1, 2, 100),
      max_ttl: fc.constantFrom('1h', '30d'),
      short_lived: fc.boolean(),
    },
    { requiredKeys: [] },
  )
  .map((fields) => roleSchema.parse({ name: 'web', authority: 'issuing', ...fields }));

const limits = fc.record(
  { maxTtl: fc.constantFrom(30, 7200), notAfter: fc.constantFrom(now - 1, now + 90_000) },
  { requiredKeys: [] },
);
const facts = fc.record(
  {
    notAfter: fc.constantFrom(now - 1, now + 45_000, now + 1000 * day),
    nameConstraints: fc.constantFrom(
      [],
      [{ permitted: { dns: ['a.example.com'] } }],
      [{ excluded: { dns: ['a.example.com'] } }],
    ),
  },
  { requiredKeys: [] },
);

test('the nearest request, when there is one, passes, keeps every name that was right, and fits the operation', () => {
  let found = 0;
  fc.assert(
    fc.property(role, request, limits, facts, (from, given, grant, about) => {
      const compiled = compileRole(from);
      const authority = makeAuthority(about);
      const result = planIssuance(compiled, given, authority, grant, now);
      if (result.allowed || result.nearest === null) return;
      found++;
      const ruling = decideProfile(compiled, result.nearest.request, authority, grant, now);
      assert.ok(ruling.allowed);
      const issued = namesOf(ruling.profile);
      const right = (['dns', 'ip', 'uri', 'email'] as const).flatMap((kind) =>
        [...given[kind], ...(given.csr?.[kind] ?? [])].flatMap((name) => {
          const alone = decideProfile(
            compileRole({
              ...from,
              require_common_name: false,
              require_csr: false,
              extended_key_usages: ['client_auth'],
            }),
            ask({ [kind]: [name] }),
            authority,
            grant,
            now,
          );
          return alone.allowed ? namesOf(alone.profile) : [];
        }),
      );
      // What is asked beyond this bound is not read, so the nearest request cannot keep it.
      const readWhole = countAsked(given) <= mostNames(compiled);
      if (readWhole && issued.length < from.max_names) for (const name of right) assert.ok(issued.includes(name), name);
      planCertificateInput.parse(nearestFields(compiled, result.nearest, 'P'.repeat(64)));
      if (result.nearest.request.csr === undefined) {
        const again = planCertificateInput.parse(nearestFields(compiled, result.nearest, undefined));
        const asked = ask({
          commonName: again.common_name,
          dns: again.dns_names ?? [],
          ip: again.ip_addresses ?? [],
          uri: again.uris ?? [],
          email: again.emails ?? [],
          ttl: again.ttl,
          notAfter: again.not_after === undefined ? undefined : Date.parse(again.not_after),
          keyType: again.key_type,
        });
        const second = decideProfile(compiled, asked, authority, grant, now);
        assert.ok(second.allowed);
        assert.deepEqual(second.profile, ruling.profile);
      }
      assert.match(result.advice, /^[\x20-\x7e]+\.$/);
    }),
    { numRuns: 4000 },
  );
  assert.ok(found > 500, `only ${found} had a nearest request`);
});

test('there is a nearest request whenever the role allows a name of a host and the authority lives', () => {
  fc.assert(
    fc.property(role, request, (from, given) => {
      const { allowed_domains: domains, allow_bare_domains, allow_subdomains, allow_wildcards } = from;
      const wildcards = allow_wildcards && domains.some((one) => one.includes('.'));
      const names = domains.length > 0 && (allow_bare_domains || allow_subdomains || wildcards);
      if (!names && from.allowed_uris.length === 0) return;
      const result = planIssuance(compileRole(from), given, makeAuthority(), {}, now);
      assert.ok(result.allowed || result.nearest !== null, JSON.stringify(result));
    }),
    { numRuns: 4000 },
  );
});
