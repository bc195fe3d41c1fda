import assert from 'node:assert/strict';
import test from 'node:test';
import { domainToASCII } from 'node:url';
import * as fc from 'fast-check';
import { isInternalName, parseDnsName } from '#pki/identifier/dns-name.ts';

const good: readonly (readonly [text: string, value: string])[] = [
  ['example.com', 'example.com'],
  ['EXAMPLE.Com', 'example.com'],
  ['a', 'a'],
  ['localhost', 'localhost'],
  ['a-b.c-d', 'a-b.c-d'],
  ['1password.com', '1password.com'],
  ['123.example', '123.example'],
  ['3com', '3com'],
  ['a.0xg', 'a.0xg'],
  ['a.b2', 'a.b2'],
  ['xn--mnchen-3ya.de', 'xn--mnchen-3ya.de'],
  ['XN--MNCHEN-3YA.DE', 'xn--mnchen-3ya.de'],
  ['*.example.com', '*.example.com'],
  ['*.Example.COM', '*.example.com'],
  ['*.xn--mnchen-3ya.de', '*.xn--mnchen-3ya.de'],
  [`${'a'.repeat(63)}.com`, `${'a'.repeat(63)}.com`],
  [`${'a.'.repeat(126)}b`, `${'a.'.repeat(126)}b`],
];

const bad: readonly string[] = [
  '',
  '.',
  '..',
  ' ',
  '.example.com',
  'example.com.',
  'example.com..',
  'example..com',
  '-a.example.com',
  'a-.example.com',
  'a_b.example.com',
  '_acme-challenge.example.com',
  `${'a'.repeat(64)}.com`,
  `${'a.'.repeat(127)}b`,
  `${'a.'.repeat(126)}bb`,
  'a b.example.com',
  ' example.com',
  'example.com ',
  'example.com\n',
  'example.com\r\n',
  'example.com\0',
  'example.com\0.evil.com',
  'example.com\t',
  '\u007fexample.com',
  'a.example.com,b.example.com',
  'a.example.com;b.example.com',
  'a.example.com b.example.com',
  'a.example.com|b.example.com',
  'dns:example.com',
  'example.com:443',
  'example.com/',
  'https://example.com',
  'user@example.com',
  'ex%61mple.com',
  'example%2ecom',
  'example.com%00',
  'a\\.example.com',
  '"example.com"',
  '(example.com)',
  'example.com#x',
  'example.com?x',
  '[::1]',
  '::1',
  // wildcards in odd places
  '*',
  '*.',
  '*.com',
  '*.localhost',
  '**.example.com',
  '*.*.example.com',
  'a.*.example.com',
  'a*.example.com',
  '*a.example.com',
  'a*b.example.com',
  'example.*',
  'example.com.*',
  '*.example.com.',
  '*..example.com',
  '.*.example.com',
  'xn--*.example.com',
  '\uff0a.example.com',
  '*.\u2024example.com',
  // names that software reads as IPv4 addresses
  '127.0.0.1',
  '1.2.3',
  '1',
  '0x7f.1',
  '0x7f000001',
  '0x',
  'a.0x',
  'example.1',
  '2130706433',
  '0177.0.0.1',
  '*.0.0.1',
  // U-labels, look-alikes, invisible characters, full-width and other dots
  'münchen.de',
  'еxample.com',
  'exаmple.com',
  'ｅxample.com',
  'example。com',
  'example．com',
  'example｡com',
  'exam\u00adple.com',
  'exam\u200bple.com',
  'exam\u200dple.com',
  '\u202eexample.com',
  'example.com\u2028',
  'example.\u0441om',
  '\u212aexample.com',
  'ⓔxample.com',
  'ﬁne.com',
  'ſ.example.com',
  '\ud800.example.com',
  '\u{1f4a9}.example.com',
  'e\u0301.example.com',
  // labels that only look like A-labels
  'xn--',
  'xn--.com',
  'xn--abc-.de',
  'xn--a.de',
  'xn--zzzz.de',
  // decodes, but to a label that is written in another way
  'xn---ygv.com',
  'xn--example-.com',
  'xn--99zzzzzz.com',
  'ab--cd.com',
  'r3---sn.example.com',
];

test('well-formed DNS names are read into lower case', () => {
  for (const [text, value] of good) {
    const name = parseDnsName(text);
    assert.equal(name.kind, 'dns', `${text}: ${JSON.stringify(name)}`);
    assert.equal(name.kind === 'dns' && name.value, value);
    assert.equal(name.kind === 'dns' && name.wildcard, value.startsWith('*.'));
  }
});

test('everything that is no DNS name in its one spelling is refused with a reason that shows nothing of it unescaped', () => {
  for (const text of bad) {
    const name = parseDnsName(text);
    assert.ok(name.kind === 'malformed', `${JSON.stringify(text)} was read as ${JSON.stringify(name)}`);
    assert.match(name.problem, /^[\x20-\x7e§]+$/);
    if (name.suggestion !== undefined) assert.equal(parseDnsName(name.suggestion).kind, 'dns');
  }
});

test('a refused spelling comes with the one that was probably meant', () => {
  const meant: readonly (readonly [text: string, suggestion: string | undefined])[] = [
    ['example.com.', 'example.com'],
    ['Example.COM.', 'example.com'],
    ['münchen.de', 'xn--mnchen-3ya.de'],
    ['MÜNCHEN.de.', 'xn--mnchen-3ya.de'],
    ['*.münchen.de', '*.xn--mnchen-3ya.de'],
    ['ｅxample.com', 'example.com'],
    ['еxample.com', 'xn--xample-2of.com'],
    ['example.com..', undefined],
    ['127.0.0.1', undefined],
    ['１２７.0.0.1', undefined],
    ['ü b.de', undefined],
    ['ü_b.de', undefined],
  ];
  for (const [text, suggestion] of meant) {
    const name = parseDnsName(text);
    assert.ok(name.kind === 'malformed');
    assert.equal(name.suggestion, suggestion, text);
  }
});

const label = fc.stringMatching(/^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,8}[a-zA-Z0-9])?$/);
const anyName = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join('.')),
  fc
    .tuple(
      fc.constantFrom('*.', 'xn--', '.', '_', '\0', 'ü', ''),
      fc.array(label, { maxLength: 4 }),
      fc.constantFrom('.', '', '\n', '。'),
    )
    .map(([head, labels, tail]) => head + labels.join('.') + tail),
);

test('whatever is read is its own normal form, survives IDNA unchanged and is plain LDH', () => {
  fc.assert(
    fc.property(anyName, (text) => {
      const name = parseDnsName(text);
      if (name.kind === 'malformed') return;
      assert.equal(name.value, text.toLowerCase());
      assert.deepEqual(parseDnsName(name.value), name);
      const host = name.wildcard ? name.value.slice(2) : name.value;
      assert.match(host, /^(?=.{1,253}$)(?!.*\.$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.|$))+$/);
      assert.equal(domainToASCII(host), host);
    }),
    { numRuns: 2000 },
  );
});

test('a suggestion is always a well-formed name and never holds what was invisible', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 30 }), (text) => {
      const name = parseDnsName(text);
      if (name.kind === 'malformed' && name.suggestion !== undefined) {
        assert.deepEqual(parseDnsName(name.suggestion).kind, 'dns');
      }
    }),
    { numRuns: 1000 },
  );
});

test('names that the public DNS cannot hold are known as internal', () => {
  const internal = ['localhost', 'db', 'a.local', 'a.internal', 'x.test', 'a.b.home.arpa', 'x.onion', 'a.example'];
  const open = ['example.com', 'local.com', 'notlocal.net', 'home.example.org', 'arpa.net', 'x.mylocal.de'];
  const check = (text: string) => {
    const name = parseDnsName(text);
    assert.ok(name.kind === 'dns');
    return isInternalName(name);
  };
  assert.deepEqual(
    internal.filter((text) => !check(text)),
    [],
  );
  assert.deepEqual(
    open.filter((text) => check(text)),
    [],
  );
});
