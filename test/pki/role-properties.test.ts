import assert from 'node:assert/strict';
import { BlockList } from 'node:net';
import test from 'node:test';
import * as fc from 'fast-check';
import { decideProfile } from '#pki/role.ts';
import { compileRole } from '#pki/role-compile.ts';
import { type Role, roleSchema } from '#pki/role-schema.ts';
import type { CertificateProfile, IssuanceRequest } from '#pki/ruling.ts';
import { ask, csr, makeAuthority, namesOf, now } from './role-fixtures.ts';

/** A second, slow reading of a role, made without looking at the first. */
function covers(role: Role, name: string): boolean {
  const kind = name.slice(0, name.indexOf(':'));
  const value = name.slice(name.indexOf(':') + 1);
  if (kind === 'dns')
    return role.allowed_domains.some((domain) => coversDns(role, domain.split('.'), value.split('.')));
  if (kind === 'ip') return role.allowed_ip_ranges.some((range) => coversIp(range, value));
  if (kind === 'uri') return role.allowed_uris.some((pattern) => coversUri(pattern, value));
  return role.allowed_emails.some((entry) =>
    entry.startsWith('@') ? value.split('@')[1] === entry.slice(1) : value === entry,
  );
}

function coversDns(role: Role, domain: readonly string[], labels: readonly string[]): boolean {
  const extra = labels.length - domain.length;
  if (extra < 0 || labels.slice(extra).join('.') !== domain.join('.')) return false;
  if (labels[0] === '*') return role.allow_wildcards && (extra === 1 || role.allow_subdomains);
  return extra === 0 ? role.allow_bare_domains : role.allow_subdomains;
}

function coversIp(range: string, value: string): boolean {
  const [network = '', prefix = ''] = range.split('/');
  const family = network.includes(':') ? 'ipv6' : 'ipv4';
  if (family !== (value.includes(':') ? 'ipv6' : 'ipv4')) return false;
  const list = new BlockList();
  list.addSubnet(network, Number(prefix), family);
  return list.check(value, family);
}

function coversUri(pattern: string, value: string): boolean {
  const open = pattern.endsWith('/**');
  const literal = (open ? pattern.slice(0, -3) : pattern).replace(/[.+?]/g, '\\$&').replaceAll('*', '[^/]+');
  return new RegExp(`^${literal}${open ? '(?:/[^/]+)+' : ''}$`).test(value);
}

const label = fc.constantFrom('a', 'b', 'example', 'com', 'xn--mnchen-3ya');
const base = fc.constantFrom('example.com', 'a.example.com', 'b.net', 'com', 'localhost');
const deeper = fc
  .tuple(fc.array(label, { maxLength: 2 }), base)
  .map(([labels, domain]) => [...labels, domain].join('.'));
const dns = fc.oneof(base, deeper);
const wild = deeper.filter((name) => name.includes('.')).map((name) => `*.${name}`);
const ip = fc.constantFrom('10.0.0.1', '10.1.0.1', '10.1.255.255', '192.0.2.1', '2001:db8::1', '2001:db8:1::1', '::1');
const uri = fc
  .array(fc.constantFrom('a', 'b', 'web-1', 'ns'), { maxLength: 3 })
  .map((path) => ['spiffe://example.org', ...path].join('/'));
const email = fc.constantFrom('a@example.com', 'A@example.com', 'b@a.example.com', 'c@example.net');

const role = fc
  .record({
    allowed_domains: fc.array(dns, { maxLength: 4 }),
    allow_bare_domains: fc.boolean(),
    allow_subdomains: fc.boolean(),
    allow_wildcards: fc.boolean(),
    allowed_ip_ranges: fc.subarray(['10.0.0.0/8', '10.1.0.0/16', '192.0.2.1/32', '2001:db8::/33', '::/0']),
    allowed_uris: fc.subarray(['spiffe://example.org/*', 'spiffe://example.org/ns/**', 'spiffe://example.org/a/web-*']),
    allowed_emails: fc.subarray(['@example.com', 'a@example.com', 'c@example.net', '@example.net']),
  })
  .map((fields) => roleSchema.parse({ name: 'web', authority: 'issuing', ...fields }));

const names = fc.record({
  dns: fc.array(fc.oneof(dns, wild), { maxLength: 2 }),
  ip: fc.array(ip, { maxLength: 1 }),
  uri: fc.array(uri, { maxLength: 1 }),
  email: fc.array(email, { maxLength: 1 }),
});

const request = fc
  .record({
    parameters: names,
    commonName: fc.option(fc.oneof(dns, wild, ip, email), { nil: undefined, freq: 1 }),
    asked: fc.option(fc.tuple(names, fc.array(dns, { maxLength: 1 })), { nil: undefined, freq: 1 }),
  })
  .map(({ parameters, commonName, asked }) =>
    ask({ ...parameters, commonName, csr: asked && csr({ ...asked[0], commonNames: asked[1] }) }),
  );

/** Everything that the request asks for, with its kind. */
function askedNames(given: IssuanceRequest): string[] {
  const sources = given.csr === undefined ? [given] : [given, given.csr];
  const commonNames = [given.commonName, ...(given.csr?.commonNames ?? [])].filter((text) => text !== undefined);
  const kind = (text: string) => (text.includes('@') ? 'email' : /^[\d.]+$|:/.test(text) ? 'ip' : 'dns');
  return [
    ...sources.flatMap((from) =>
      (['dns', 'ip', 'uri', 'email'] as const).flatMap((key) => from[key].map((text) => `${key}:${text}`)),
    ),
    ...commonNames.map((text) => `${kind(text)}:${text}`),
  ];
}

function decide(from: Role, given: IssuanceRequest): CertificateProfile | undefined {
  const ruling = decideProfile(compileRole(from), given, makeAuthority(), {}, now);
  return ruling.allowed ? ruling.profile : undefined;
}

test('a request passes exactly when a second reading of the role covers each of its names', () => {
  let passed = 0;
  fc.assert(
    fc.property(role, request, (from, given) => {
      const asked = askedNames(given);
      const profile = decide(from, given);
      const host = asked.some((name) => !name.startsWith('email:'));
      const commonNames = new Set(
        [given.commonName, ...(given.csr?.commonNames ?? [])].filter((text) => text !== undefined),
      );
      const expected = host && commonNames.size <= 1 && asked.every((name) => covers(from, name));
      assert.equal(profile !== undefined, expected);
      if (profile === undefined) return;
      passed++;
      assert.deepEqual(namesOf(profile).toSorted(), [...new Set(asked)].toSorted());
    }),
    { numRuns: 4000 },
  );
  assert.ok(passed > 100, `only ${passed} requests passed, so the property said little`);
});

/** Other spellings, some of which other software would take for the same name or for another one. */
const spellings: readonly ((name: string) => string)[] = [
  (name) => name.toUpperCase(),
  (name) => `${name}.`,
  (name) => ` ${name}`,
  (name) => `${name} `,
  (name) => `${name}\n`,
  (name) => `${name}\0`,
  (name) => `${name}\0.evil.com`,
  (name) => `${name},evil.com`,
  (name) => `evil.com,${name}`,
  (name) => `${name};evil.com`,
  (name) => `evil.com#.${name}`,
  (name) => `evil.com/.${name}`,
  (name) => `evil.com\\.${name}`,
  (name) => `evil.com?.${name}`,
  (name) => `evil.com@${name}`,
  (name) => `${name}%00`,
  (name) => `%2e${name}`,
  (name) => `\u200b${name}`,
  (name) => `${name}\u00ad`,
  (name) => `\u202e${name}`,
  (name) => name.replace('.', '\u3002'),
  (name) => name.replace('.', '..'),
  (name) => name.replace('a', '\u0430'),
  (name) => name.replace('e', '\u0435'),
  (name) => name.replace('o', '\uff4f'),
  (name) => name.replace('c', '\u217d'),
  (name) => name.normalize('NFD').replace('a', 'a\u0301'),
  (name) => `*.${name}`,
  (name) => `**.${name}`,
  (name) => `*${name}`,
  (name) => `x*.${name}`,
  (name) => `dns:${name}`,
  (name) => `https://${name}`,
  (name) => `[${name}]`,
  (name) => `${name}/0`,
  (name) => `${name}%eth0`,
  (name) => `::ffff:${name}`,
  (name) => `0${name}`,
];

test('another spelling never passes for more than the name itself, by any route', () => {
  const kinds = ['dns', 'ip', 'uri', 'email'] as const;
  const text = fc.oneof(dns, wild, ip, uri, email);
  fc.assert(
    fc.property(role, text, fc.constantFrom(...kinds), fc.nat(spellings.length - 1), (from, name, kind, index) => {
      const variant = spellings[index]?.(name) ?? name;
      const routes = [
        ask({ [kind]: [variant] }),
        ask({ commonName: variant }),
        ask({ csr: csr({ [kind]: [variant] }) }),
        ask({ csr: csr({ commonNames: [variant] }) }),
      ];
      for (const given of routes) {
        const profile = decide(from, given);
        if (profile === undefined) continue;
        for (const issued of namesOf(profile)) {
          assert.ok(covers(from, issued), issued);
          assert.match(issued, /^(?:dns|ip|uri|email):[a-zA-Z0-9*.:/@_-]+$/);
          assert.ok(
            variant.toLowerCase() === issued.slice(issued.indexOf(':') + 1).toLowerCase() || variant.includes(':'),
            issued,
          );
        }
      }
    }),
    { numRuns: 6000 },
  );
});

test('a request with one refused name yields no certificate at all', () => {
  fc.assert(
    fc.property(role, request, fc.oneof(dns, wild), fc.boolean(), (from, given, extra, inCsr) => {
      if (covers(from, `dns:${extra}`)) return;
      const { csr: own = csr(), ...parameters } = given;
      const more = inCsr
        ? { ...parameters, csr: { ...own, dns: [...own.dns, extra] } }
        : { ...given, dns: [...given.dns, extra] };
      assert.equal(decide(from, more), undefined);
    }),
    { numRuns: 1000 },
  );
});

test('a narrower chain only takes away', () => {
  const constraint = fc.record({
    permitted: fc.array(dns, { maxLength: 2 }),
    excluded: fc.array(dns, { maxLength: 2 }),
  });
  fc.assert(
    fc.property(role, request, constraint, (from, given, { permitted, excluded }) => {
      const authority = makeAuthority({
        nameConstraints: [{ permitted: { dns: permitted }, excluded: { dns: excluded } }],
      });
      const ruling = decideProfile(compileRole(from), given, authority, {}, now);
      if (!ruling.allowed) return;
      assert.deepEqual(ruling.profile, decide(from, given));
      for (const { kind, value } of ruling.profile.names) {
        if (kind !== 'dns') continue;
        const below = (domain: string) => value === domain || value.endsWith(`.${domain}`);
        assert.ok(permitted.length === 0 || permitted.some(below));
        assert.ok(!excluded.some(below));
      }
    }),
    { numRuns: 2000 },
  );
});

test('validity is always whole seconds, contains now, and keeps within every bound', () => {
  const moment = fc.integer({ min: -500_000, max: 9_000_000 }).map((offset) => now + offset);
  const seconds = fc.integer({ min: 1, max: 6000 });
  const facts = fc.record({
    life: fc.oneof(
      fc.constant({}),
      seconds.map((ttl) => ({ ttl })),
      moment.map((notAfter) => ({ notAfter })),
    ),
    limits: fc.record({ maxTtl: seconds, notAfter: moment }, { requiredKeys: [] }),
    authorityEnd: moment,
    roleTtl: seconds,
    backdate: fc.integer({ min: 0, max: 600 }),
  });
  let passed = 0;
  fc.assert(
    fc.property(facts, ({ life, limits, authorityEnd, roleTtl, backdate }) => {
      const { ttl, notAfter }: { ttl?: number; notAfter?: number } = life;
      const from = roleSchema.parse({
        name: 'web',
        authority: 'issuing',
        allowed_domains: ['a.com'],
        max_ttl: roleTtl,
        not_before_backdate: backdate,
      });
      const authority = makeAuthority({ notBefore: now - 300_000, notAfter: authorityEnd });
      const given = ask({ dns: ['a.com'], ...life });
      const ruling = decideProfile(compileRole(from), given, authority, limits, now);
      if (!ruling.allowed) return;
      passed++;
      const { profile } = ruling;
      assert.equal(profile.notBefore % 1000, 0);
      assert.equal(profile.notAfter % 1000, 0);
      assert.ok(profile.notBefore <= now && profile.notAfter > now - 1000);
      assert.ok(profile.notAfter > profile.notBefore);
      assert.ok(profile.notAfter <= authorityEnd);
      assert.ok(profile.notAfter <= (limits.notAfter ?? Infinity));
      assert.ok(profile.notAfter - now <= Math.min(roleTtl, limits.maxTtl ?? roleTtl) * 1000);
      if (ttl !== undefined) assert.equal(profile.notAfter, Math.floor(now / 1000) * 1000 + ttl * 1000);
      if (notAfter !== undefined) assert.equal(profile.notAfter, Math.floor(notAfter / 1000) * 1000);
    }),
    { numRuns: 3000 },
  );
  assert.ok(passed > 200, `only ${passed} passed`);
});
