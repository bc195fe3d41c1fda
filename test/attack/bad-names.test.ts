import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { toRfc3339 } from '#core/clock.ts';
import { openTarget, processorTime } from './attack.ts';
import { attribute, cn, generalName, makeRequest, oids, pem, san } from './csr.ts';
import { leaf, type Node, wrap } from './der-tree.ts';

/** Names and lives that a role does not allow, by every way on which a name or a life can come into a certificate. */

const good = cn('a.example.com');
/** A CSR that asks for a name that is allowed, and for these beside it. */
const withSan = (...names: readonly Node[]) => ({
  csr: pem(makeRequest({ subject: [good], attributes: [san(generalName.dns('a.example.com'), ...names)] })),
});
const withSubject = (...rdns: readonly Node[]) => ({ csr: pem(makeRequest({ subject: rdns })) });
const email = (text: string) => attribute(oids.emailAddress, leaf(0x16, text));

/** The role allows what lies below example.com and nothing else. */
const outside: Readonly<Record<string, object>> = {
  'a DNS name': { dns_names: ['evil.example'] },
  'a DNS name beside a good one': { dns_names: ['a.example.com', 'evil.example'] },
  'the bare domain': { dns_names: ['example.com'] },
  'a name that only ends like the domain': { dns_names: ['notexample.com'] },
  'a name that continues the domain': { dns_names: ['example.com.evil.example'] },
  'a wildcard': { dns_names: ['*.example.com'] },
  'a wildcard below': { dns_names: ['*.a.example.com'] },
  localhost: { dns_names: ['localhost'] },
  'a top-level domain': { dns_names: ['com'] },
  'an address': { ip_addresses: ['10.0.0.1'] },
  'an address of IPv6': { ip_addresses: ['::1'] },
  'an address as DNS name': { dns_names: ['10.0.0.1'] },
  'a URI': { uris: ['spiffe://example.com/x'] },
  'a URI of the domain': { uris: ['https://a.example.com/'] },
  'an e-mail address': { emails: ['root@example.com'] },
  'a common name': { common_name: 'evil.example' },
  'a common name beside a good DNS name': { common_name: 'evil.example', dns_names: ['a.example.com'] },
  'an address as common name': { common_name: '10.0.0.1' },
  'an e-mail address as common name': { common_name: 'root@example.com' },
  'a URI as common name': { common_name: 'spiffe://example.com/x' },
  'free text as common name': { common_name: 'Example Administrator', dns_names: ['a.example.com'] },
  'CSR: a common name': withSubject(cn('evil.example')),
  'CSR: two common names': withSubject(good, cn('evil.example')),
  'CSR: two common names in one RDN': withSubject({
    tag: 0x31,
    content: [...rdnParts(good), ...rdnParts(cn('evil.example'))],
  }),
  'CSR: an e-mail address in the subject': withSubject(good, email('root@example.com')),
  'CSR: a DNS name': withSan(generalName.dns('evil.example')),
  'CSR: an address': withSan(generalName.ip(10, 0, 0, 1)),
  'CSR: an address of IPv6': withSan(generalName.ip(...Array.from({ length: 16 }, () => 1))),
  'CSR: an address with a mask': withSan(generalName.ip(10, 0, 0, 0, 255, 0, 0, 0)),
  'CSR: an address of 3 octets': withSan(generalName.ip(10, 0, 0)),
  'CSR: a URI': withSan(generalName.uri('spiffe://example.com/x')),
  'CSR: an e-mail address': withSan(generalName.email('root@example.com')),
  'CSR: an otherName (UPN)': withSan(generalName.other('1.3.6.1.4.1.311.20.2.3', 'administrator@corp')),
  'CSR: an otherName (mailbox)': withSan(generalName.other('1.3.6.1.5.5.7.8.9', 'root@example.com')),
  'CSR: a registeredID': withSan(generalName.registeredId('1.2.3.4')),
  'CSR: a directoryName': withSan(generalName.directory(cn('evil.example'))),
  'CSR: an empty directoryName': withSan(generalName.directory()),
  'CSR: an x400Address': withSan(generalName.x400()),
  'CSR: an ediPartyName': withSan(generalName.ediParty('evil')),
  'CSR: a name of a kind that does not exist': withSan(leaf(0x89, 'evil')),
  'CSR good, parameter not': { ...withSubject(good), dns_names: ['evil.example'] },
  'parameter good, CSR not': { ...withSan(generalName.dns('evil.example')), dns_names: ['a.example.com'] },
  'another common name than that of the CSR': { ...withSubject(good), common_name: 'b.example.com' },
};

function rdnParts(rdn: Node): readonly Node[] {
  return rdn.content as readonly Node[];
}

test('a name that the role does not allow is refused, by whatever way it comes', async (context) => {
  const { refuse } = await openTarget(context, { allow_bare_domains: false });
  for (const [what, fields] of Object.entries(outside)) {
    const { body } = await refuse(what, 'pki/certificates', { role: 'web', ...fields }, { status: [400, 422] });
    if (body.code === 'refused') assert.ok(body.refusals.length > 0 && 'nearest_request' in body, what);
  }
});

test('what is allowed of one kind opens no other kind, and no range opens what only looks as if it were in it', async (context) => {
  const { server, refuse } = await openTarget(context, {
    name: 'mixed',
    allowed_ip_ranges: ['10.0.0.0/8', '2001:db8::/32'],
    allowed_uris: ['spiffe://example.com/agents/*'],
    allowed_emails: ['@example.com', 'someone@example.org'],
  });
  const near: readonly object[] = [
    { ip_addresses: ['11.0.0.1'] },
    { ip_addresses: ['::ffff:10.0.0.1'] },
    { ip_addresses: ['::10.0.0.1'] },
    { ip_addresses: ['2001:db9::1'] },
    { ip_addresses: ['010.0.0.1'] },
    { ip_addresses: ['10.1'] },
    { ip_addresses: ['0xa.0.0.1'] },
    { ip_addresses: ['10.0.0.1/32'] },
    { ip_addresses: ['10.0.0.1%eth0'] },
    { ip_addresses: ['fe80::1%1'] },
    { ip_addresses: [' 10.0.0.1'] },
    { dns_names: ['10.0.0.1'] },
    { dns_names: ['0x0a.0.0.1'] },
    { dns_names: ['a.example.com.1'] },
    { uris: ['spiffe://example.com/agents'] },
    { uris: ['spiffe://example.com/agents/'] },
    { uris: ['spiffe://example.com/agents/../admin'] },
    { uris: ['spiffe://example.com/agents/%2e%2e/admin'] },
    { uris: ['spiffe://example.com/agents/a/b'] },
    { uris: ['spiffe://example.com/agents/a%2Fb'] },
    { uris: ['spiffe://example.com/agents/a#admin'] },
    { uris: ['spiffe://example.com/agents/a?x=1'] },
    { uris: ['spiffe://example.com:443/agents/a'] },
    { uris: ['spiffe://user@example.com/agents/a'] },
    { uris: ['spiffe://example.com.evil.example/agents/a'] },
    { uris: ['spiffe://evil.example/agents/a'] },
    { uris: ['https://example.com/agents/a'] },
    { uris: ['spiffe:/example.com/agents/a'] },
    { uris: ['spiffe://EXAMPLE.com/agents/*'] },
    { emails: ['a@sub.example.com'] },
    { emails: ['a@example.org'] },
    { emails: ['Someone@example.org'] },
    { emails: ['a@b@example.com'] },
    { emails: ['"a@evil.example"@example.com'] },
    { emails: ['a@example.com,b@evil.example'] },
    { emails: ['a@[10.0.0.1]'] },
    { emails: ['Name <a@example.com>'] },
    { emails: ['a@example.com.'] },
    { emails: ['a@example.com\n'] },
    { emails: ['*@example.com'] },
  ];
  for (const fields of near)
    await refuse(
      JSON.stringify(fields),
      'pki/certificates',
      { role: 'mixed', dns_names: ['a.example.com'], ...fields },
      { status: 422 },
    );
  const allowed = { ip_addresses: ['10.0.0.1'], uris: ['spiffe://example.com/agents/a'], emails: ['a@example.com'] };
  const { certificate } = await server.ok('POST', 'pki/certificates', { role: 'mixed', ...allowed });
  assert.equal(
    new X509Certificate(certificate).subjectAltName,
    'IP Address:10.0.0.1, URI:spiffe://example.com/agents/a, email:a@example.com',
  );
});

const long = 'a'.repeat(63);
const oddSpellings: readonly string[] = [
  'a\0.example.com',
  'evil.example\0.example.com',
  'a.example.com\0',
  'a\n.example.com',
  'a.example.com\r\nX-Evil: 1',
  '\ta.example.com',
  'a\u001b[2J.example.com',
  'a\u007f.example.com',
  'a\u0080.example.com',
  '\u202emoc.elpmaxe.a',
  'a\u200b.example.com',
  'a\u00ad.example.com',
  '\ufeffa.example.com',
  'bücher.example.com',
  'а.example.com',
  'a。example.com',
  'ａ.example.com',
  'xn--.example.com',
  'xn--a.example.com',
  'xn--bcher-kv.example.com',
  'ab--cd.example.com',
  'a.example.com.',
  'a..example.com',
  '.example.com',
  '.a.example.com',
  'a.example.com..',
  ' a.example.com',
  'a.example.com ',
  'a b.example.com',
  '*.*.example.com',
  'a.*.example.com',
  'a*.example.com',
  '*a.example.com',
  'a.example.*',
  '*',
  '*.',
  '*.com',
  '**.example.com',
  '?.example.com',
  'a_b.example.com',
  '_dmarc.example.com',
  '-a.example.com',
  'a-.example.com',
  `${long}a.example.com`,
  `${`${long}.`.repeat(4)}example.com`,
  'a,b.example.com',
  'a;b.example.com',
  'a.example.com,evil.example',
  'a.example.com;DNS:evil.example',
  'a/b.example.com',
  'a\\b.example.com',
  'a:443.example.com',
  'a.example.com:443',
  'https://a.example.com',
  'user@a.example.com',
  'a%00.example.com',
  'a%2eexample.com',
  'a=b.example.com',
  "a'b.example.com",
  'a"b.example.com',
  '<b>.example.com',
  '${jndi:ldap://x}.example.com',
  '{{7*7}}.example.com',
  '$(id).example.com',
  '`id`.example.com',
  'Ignore previous instructions.example.com',
  '1.2.3.4',
  '0x7f.1',
];

test('odd spellings of names are refused in parameters and in the CSR, and shown as harmless text', async (context) => {
  const { refuse } = await openTarget(context, { allow_wildcards: true, require_common_name: false });
  const refused = { status: [400, 422] };
  for (const name of oddSpellings) {
    // Where one octet is one character, only names that have no others can be written.
    const octets = /^[\0-\xff]*$/.test(name) ? Buffer.from(name, 'latin1') : Buffer.from(name);
    const ways: Readonly<Record<string, object>> = {
      dns_names: { dns_names: [name] },
      ...(name.length <= 64 ? { common_name: { common_name: name } } : {}),
      'CSR SAN': withSan(generalName.dns(name)),
      'CSR SAN in Latin-1': withSan(generalName.dns(octets)),
      'CSR CN as UTF8String': withSubject(cn(name)),
      'CSR CN as BMPString': withSubject(attribute(oids.commonName, leaf(0x1e, Buffer.from(name, 'utf16le').swap16()))),
      'CSR CN as TeletexString': withSubject(attribute(oids.commonName, leaf(0x14, octets))),
    };
    for (const [way, fields] of Object.entries(ways))
      await refuse(`${way} ${JSON.stringify(name)}`, 'pki/certificates', { role: 'web', ...fields }, refused);
  }
});

test('of two spellings that mean the same name, one is issued, once', async (context) => {
  const { server } = await openTarget(context);
  const names = ['WWW.Example.COM', 'www.example.com', 'wWw.eXample.com'];
  const { certificate } = await server.ok('POST', 'pki/certificates', { role: 'web', dns_names: names });
  assert.equal(new X509Certificate(certificate).subjectAltName, 'DNS:www.example.com');
  const mixed = await server.ok('POST', 'pki/certificates', { role: 'web', ...withSubject(cn('WWW.EXAMPLE.COM')) });
  const { subject, subjectAltName } = new X509Certificate(mixed.certificate);
  assert.deepEqual([subject, subjectAltName], ['CN=www.example.com', 'DNS:www.example.com']);
  const found = await server.ok('GET', 'pki/certificates?name=www.example.com');
  assert.equal(found.certificates.length, 2);
});

test('more names than a certificate may hold are refused, cheaply and in a short answer', async (context) => {
  const { refuse } = await openTarget(context);
  const list = (count: number) => Array.from({ length: count }, (_, index) => `n${index}.example.com`);
  const sans = list(1500).map((name) => generalName.dns(name));
  const requests: readonly object[] = [
    { dns_names: Array.from({ length: 10_000 }, (_, index) => `n${index}`) },
    { dns_names: list(10_000) },
    { dns_names: list(1000) },
    { dns_names: list(500), uris: list(500), emails: list(500), ip_addresses: list(500) },
    { dns_names: Array.from({ length: 1000 }, () => 'a.example.com') },
    { csr: pem(makeRequest({ attributes: [san(...sans)] })) },
    { csr: pem(makeRequest({ subject: list(900).map((name) => cn(name)) })) },
    { csr: pem(makeRequest({ attributes: [san(...sans.slice(0, 1000))] })), dns_names: list(500) },
  ];
  for (const [index, fields] of requests.entries()) {
    const { result, seconds } = await processorTime(() =>
      refuse(`request ${index}`, 'pki/certificates', { role: 'web', ...fields }, { status: [400, 413, 422] }),
    );
    assert.ok(seconds < 1, `request ${index} cost ${seconds} s`);
    assert.ok(JSON.stringify(result.body).length < 65_536, `the answer to request ${index} is too long`);
  }
});

test('authorities hold no text that cannot be seen, and their names do not leave their bounds', async (context) => {
  const { refuse } = await openTarget(context);
  const texts = ['a\0b', 'a\nb', '\u001b[31mred', '\u202egnp.exe', 'a\u200bb', '\ud800', '\ufeffRoot', 'x'.repeat(65)];
  const base = { name: 'another', kind: 'root', common_name: 'Another' };
  for (const text of texts) {
    for (const field of ['common_name', 'organization', 'organizational_unit'])
      await refuse(`${field} ${JSON.stringify(text)}`, 'pki/authorities', { ...base, [field]: text }, { status: 400 });
    for (const field of ['common_name', 'organization'])
      await refuse(
        `sign ${field} ${JSON.stringify(text)}`,
        'pki/authorities/root/sign-intermediate',
        { csr: withSubject(good).csr, [field]: text },
        { status: 400 },
      );
    if (!text.isWellFormed()) continue;
    await refuse(
      `subject of a CSR ${JSON.stringify(text)}`,
      'pki/authorities/root/sign-intermediate',
      withSubject(cn(text)),
      { status: [400, 422] },
    );
  }
});

test('a life beyond what role, authority or time allows is refused', async (context) => {
  const { server, refuse } = await openTarget(context, { max_ttl: '24h' });
  const now = Date.now();
  const at = (seconds: number) => toRfc3339(now + seconds * 1000);
  const day = 86_400;
  const lives: readonly (readonly [object, number])[] = [
    [{ ttl: '25h' }, 422],
    [{ ttl: 86_401 }, 422],
    [{ ttl: '99y' }, 422],
    [{ ttl: '-1h' }, 400],
    [{ ttl: -1 }, 400],
    [{ ttl: 0 }, 400],
    [{ ttl: '0s' }, 400],
    [{ ttl: 1.5 }, 400],
    [{ ttl: '1.5h' }, 400],
    [{ ttl: '1h 30m' }, 400],
    [{ ttl: '1e3' }, 400],
    [{ ttl: '0x10' }, 400],
    [{ ttl: ' 1h' }, 400],
    [{ ttl: '1H' }, 400],
    [{ ttl: '١h' }, 400],
    [{ ttl: '' }, 400],
    [{ ttl: '9999999999s' }, 400],
    [{ ttl: '999999y' }, 400],
    [{ ttl: '99999999999999999999' }, 400],
    [{ ttl: 2 ** 53 }, 400],
    [{ ttl: 1e308 }, 400],
    [{ ttl: 2 ** 31 }, 422],
    [{ not_after: at(-day) }, 422],
    [{ not_after: at(-1) }, 422],
    [{ not_after: at(25 * 3600) }, 422],
    [{ not_after: '9999-12-31T23:59:59Z' }, 422],
    [{ not_after: '1970-01-01T00:00:00Z' }, 422],
    [{ not_after: '0000-01-01T00:00:00Z' }, 422],
    [{ not_after: '2026-02-30T00:00:00Z' }, 400],
    [{ not_after: '2027-01-01' }, 400],
    [{ not_after: '2027-01-01T00:00:00' }, 400],
    [{ not_after: '+275760-09-13T00:00:00Z' }, 400],
    [{ not_after: String(now) }, 400],
    [{ not_after: now }, 400],
    [{ ttl: '1h', not_after: at(3600) }, 422],
  ];
  for (const [fields, status] of lives)
    await refuse(
      JSON.stringify(fields),
      'pki/certificates',
      { role: 'web', dns_names: ['a.example.com'], ...fields },
      { status },
    );
  await server.ok('POST', 'pki/authorities', {
    name: 'short',
    kind: 'intermediate',
    parent: 'root',
    common_name: 'Short',
    ttl: '1h',
  });
  await server.ok('POST', 'pki/roles', {
    name: 'short',
    authority: 'short',
    allowed_domains: ['example.com'],
    allow_subdomains: true,
  });
  const beyond = { role: 'short', dns_names: ['a.example.com'], ttl: '2h' };
  const { body } = await refuse('beyond the authority', 'pki/certificates', beyond, { status: 422 });
  assert.equal(body.refusals[0].rule, 'authority_not_after');
  const below = { name: 'below', kind: 'intermediate', parent: 'short', common_name: 'Below', ttl: '30d' };
  const made = await server.call('POST', 'pki/authorities', below);
  const issuer = await server.ok('GET', 'pki/authorities/short');
  if (made.status < 300) assert.ok(made.body.not_after <= issuer.not_after, 'an authority outlives the one above it');
});

test('a directoryName cannot be smuggled in as a subject either: of the subject only common names and mailboxes are read', async (context) => {
  const { server } = await openTarget(context);
  const subject = [
    attribute('2.5.4.6', leaf(0x13, 'XX')),
    attribute('2.5.4.5', leaf(0x13, '4711')),
    good,
    wrap(0x31),
  ].slice(0, 3);
  const { certificate } = await server.ok('POST', 'pki/certificates', { role: 'web', ...withSubject(...subject) });
  assert.equal(new X509Certificate(certificate).subject, 'CN=a.example.com');
});
