import assert from 'node:assert/strict';
import test from 'node:test';
import * as fc from 'fast-check';
import { parseUri } from '#pki/identifier/uri.ts';
import { fillPattern, matchesUri, parseUriPattern } from '#pki/identifier/uri-pattern.ts';

const good: readonly (readonly [text: string, value: string])[] = [
  ['spiffe://example.org', 'spiffe://example.org'],
  ['spiffe://example.org/ns/default/sa/web', 'spiffe://example.org/ns/default/sa/web'],
  ['SPIFFE://example.org/Web_1.2-x', 'spiffe://example.org/Web_1.2-x'],
  ['spiffe://trust_domain/a', 'spiffe://trust_domain/a'],
  ['HTTPS://Example.ORG:8443/Path?Query=1', 'https://example.org:8443/Path?Query=1'],
  ['https://192.0.2.1/', 'https://192.0.2.1/'],
  ['https://[2001:DB8::0001]/', 'https://[2001:db8::1]/'],
  ['https://example.org/%C3%BC', 'https://example.org/%C3%BC'],
  ['urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6', 'urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6'],
  ['sip:alice@example.org', 'sip:alice@example.org'],
];

const bad: readonly string[] = [
  '',
  'example.org',
  '/path',
  '//example.org/a',
  '://example.org',
  '1http://example.org',
  'http:',
  'https:example.org',
  'https:/example.org',
  'file:///etc/passwd',
  'spiffe:/example.org/a',
  'spiffe:example.org',
  'https://',
  'https:///a',
  'https://user@example.org/',
  'https://user:secret@example.org/',
  'https://example.org@evil.org/',
  'https://example.org#fragment',
  'https://example.org/a b',
  'https://example.org/a\n',
  'https://example.org/\0',
  'https://example.org\\@evil.org',
  'https://example.org/a,b',
  'https://example.org/a;b',
  'https://example.org/*',
  'https://*.example.org/',
  'https://example.org/%',
  'https://example.org/%4',
  'https://example.org/%zz',
  'https://example.org/%41',
  'https://example.org/%c3%bc',
  'https://example.org/%2F',
  'https://example.org/%2f',
  'https://example.org/%00',
  'https://example.org/%5C',
  'https://example.org/%2A',
  'https://example.org/%0A',
  'https://example.org/a/../b',
  'https://example.org/..',
  'https://example.org/./a',
  'https://example.org/%2e%2e/a',
  'https://example.org//a',
  'https://example.org/[a]',
  'https://example.org:/',
  'https://example.org:065/',
  'https://example.org:65536/',
  'https://example.org:x/',
  'https://example.org./',
  'https://127.1/',
  'https://0x7f.1/',
  'https://010.0.0.1/',
  'https://[::1/',
  'https://::1/',
  'https://[fe80::1%25eth0]/',
  'https://[::ffff:192.0.2.1]/',
  'https://exämple.org/',
  'https://example.org/ü',
  'https://ｅxample.org/',
  `https://example.org/${'a'.repeat(2048)}`,
  // SPIFFE-ID §2
  'spiffe://',
  'spiffe:///a',
  'spiffe://Example.org/a',
  'spiffe://example.org/',
  'spiffe://example.org/a/',
  'spiffe://example.org//a',
  'spiffe://example.org/a/./b',
  'spiffe://example.org/a/../b',
  'spiffe://example.org/a?b',
  'spiffe://example.org/a#b',
  'spiffe://example.org:8080/a',
  'spiffe://user@example.org/a',
  'spiffe://example.org/a%20b',
  'spiffe://example.org/a,b',
  'spiffe://example.org/a~b',
  'spiffe://example.org/*',
  `spiffe://${'a'.repeat(256)}/x`,
];

test('absolute URIs are read with scheme and host in lower case', () => {
  for (const [text, value] of good) {
    const uri = parseUri(text);
    assert.equal(uri.kind === 'uri' && uri.value, value, `${text}: ${JSON.stringify(uri)}`);
  }
});

test('URIs with a second reading, relative ones and broken SPIFFE IDs are refused', () => {
  for (const text of bad) {
    const uri = parseUri(text);
    assert.ok(uri.kind === 'malformed', `${JSON.stringify(text)} was read as ${JSON.stringify(uri)}`);
    assert.match(uri.problem, /^[\x20-\x7e§]+$/);
    if (uri.suggestion !== undefined) {
      const again = parseUri(uri.suggestion);
      assert.equal(again.kind === 'uri' && again.value, uri.suggestion);
    }
  }
  const capital = parseUri('spiffe://Example.org/a');
  assert.equal(capital.kind === 'malformed' && capital.suggestion, 'spiffe://example.org/a');
  const encoded = parseUri('https://example.org/%7eme/%c3%bc');
  assert.equal(encoded.kind === 'malformed' && encoded.suggestion, 'https://example.org/~me/%C3%BC');
});

test('what is read is its own normal form and means the same to a URL parser', () => {
  const text = fc.oneof(
    fc.webUrl({ withQueryParameters: true }),
    fc.stringMatching(/^https:\/\/[a-z0-9.\-:@[\]\\]{1,16}\/[a-zA-Z0-9%/.?;,*-]{0,16}$/),
    fc.string({ unit: 'binary', maxLength: 20 }).map((tail) => `https://example.org${tail}`),
  );
  fc.assert(
    fc.property(text, (given) => {
      const uri = parseUri(given);
      if (uri.kind === 'malformed') return;
      assert.deepEqual(parseUri(uri.value), uri);
      const url = new URL(uri.value);
      assert.equal(url.hostname.replace(/^\[|\]$/g, ''), uri.host);
      assert.equal(url.username + url.password + url.hash, '');
      assert.equal(url.pathname, uri.path === '' ? '/' : uri.path);
    }),
    { numRuns: 500 },
  );
});

test('a star stands for a part of one segment, and /** at the end for at least one segment', () => {
  const table: readonly (readonly [pattern: string, uri: string, matches: boolean])[] = [
    ['spiffe://example.org/ns/*/sa/*', 'spiffe://example.org/ns/a/sa/b', true],
    ['spiffe://example.org/ns/*/sa/*', 'spiffe://example.org/ns/a/sa/b/c', false],
    ['spiffe://example.org/ns/*/sa/*', 'spiffe://example.org/ns/a/x/sa/b', false],
    ['spiffe://example.org/ns/*/sa/*', 'spiffe://example.org/ns/a/sa', false],
    ['spiffe://example.org/ns/*/sa/*', 'spiffe://example.com/ns/a/sa/b', false],
    ['spiffe://example.org/ns/*/sa/*', 'spiffe://example.org/NS/a/sa/b', false],
    ['spiffe://example.org/ns/*/sa/*', 'https://example.org/ns/a/sa/b', false],
    ['spiffe://example.org/web-*', 'spiffe://example.org/web-1', true],
    ['spiffe://example.org/web-*', 'spiffe://example.org/web-', false],
    ['spiffe://example.org/web-*', 'spiffe://example.org/web', false],
    ['spiffe://example.org/*-web', 'spiffe://example.org/a-web', true],
    ['spiffe://example.org/a*a', 'spiffe://example.org/aa', false],
    ['spiffe://example.org/a*a', 'spiffe://example.org/aba', true],
    ['spiffe://example.org/**', 'spiffe://example.org', false],
    ['spiffe://example.org/**', 'spiffe://example.org/a', true],
    ['spiffe://example.org/**', 'spiffe://example.org/a/b/c', true],
    ['spiffe://example.org/a/**', 'spiffe://example.org/a', false],
    ['spiffe://example.org/a/**', 'spiffe://example.org/ab/c', false],
    ['spiffe://example.org', 'spiffe://example.org', true],
    ['spiffe://example.org', 'spiffe://example.org/a', false],
    ['https://example.org/*', 'https://example.org/a', true],
    ['https://example.org/*', 'https://example.org:8443/a', false],
    ['https://example.org/*', 'https://example.org/a?b=c', false],
    ['https://example.org/*', 'https://example.org/', false],
    ['https://Example.org/a', 'https://example.org/a', true],
    ['https://example.org/**', 'https://example.org/a/', false],
    ['urn:uuid:*', 'urn:uuid:1-2', true],
    ['urn:uuid:*', 'urn:isbn:1', false],
  ];
  for (const [text, given, matches] of table) {
    const [pattern, uri] = [parseUriPattern(text), parseUri(given)];
    assert.ok(pattern.kind === 'pattern' && uri.kind === 'uri', `${text} ${given}`);
    assert.equal(matchesUri(pattern, uri), matches, `${text} ${given}`);
  }
});

test('a pattern is refused when it is no URI or has stars where they would widen the peer', () => {
  const texts = [
    '*',
    '**',
    '',
    'spiffe://*',
    'spiffe://*/a',
    'spiffe://*.example.org/a',
    '*://example.org/a',
    'https://example.org:*/',
    'https://example.org/?*',
    'https://example.org/a?b/**',
    'spiffe://example.org/**/a',
    'spiffe://example.org/a**',
    'spiffe://example.org/a*b*c',
    'spiffe://Example.org/*',
    'spiffe://example.org/*/',
    'spiffe://example.org/x-any-x/*',
    'https://user@example.org/*',
    'https://example.org/%*',
  ];
  for (const text of texts) assert.equal(parseUriPattern(text).kind, 'malformed', text);
});

const segment = fc.constantFrom('a', 'b', 'ab', 'web-1', 'ns', '*', 'a*', '*b', 'w*1');
const path = fc.array(segment, { maxLength: 4 });

test('matching agrees with a regular expression made from the pattern', () => {
  const uriPath = fc.array(fc.constantFrom('a', 'b', 'ab', 'aab', 'web-1', 'ns', 'w1'), { maxLength: 5 });
  fc.assert(
    fc.property(path, fc.boolean(), uriPath, (segments, open, given) => {
      const text = `spiffe://x${segments.map((part) => `/${part}`).join('')}${open ? '/**' : ''}`;
      const pattern = parseUriPattern(text);
      const uri = parseUri(`spiffe://x${given.map((part) => `/${part}`).join('')}`);
      assert.ok(pattern.kind === 'pattern' && uri.kind === 'uri');
      const closed = (open ? text.slice(0, -3) : text).replaceAll('*', '[^/]+');
      const expression = new RegExp(`^${closed}${open ? '(/[^/]+)+' : ''}$`);
      assert.equal(matchesUri(pattern, uri), expression.test(uri.value), `${text} ${uri.value}`);
    }),
    { numRuns: 1000 },
  );
});

test('a filled pattern is a URI that the pattern matches', () => {
  fc.assert(
    fc.property(path, fc.boolean(), path, (segments, open, given) => {
      const pattern = parseUriPattern(`spiffe://x${segments.map((part) => `/${part}`).join('')}${open ? '/**' : ''}`);
      const asked = parseUri(`spiffe://y${given.map((part) => `/${part.replaceAll('*', 'z')}`).join('')}`);
      assert.ok(pattern.kind === 'pattern' && asked.kind === 'uri');
      for (const near of [asked, undefined]) {
        const uri = parseUri(fillPattern(pattern, near));
        assert.ok(uri.kind === 'uri' && matchesUri(pattern, uri));
      }
    }),
    { numRuns: 500 },
  );
});
