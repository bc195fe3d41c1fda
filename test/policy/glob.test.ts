import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { compileGlob, type GlobKind, globFault, isNormalResource } from '#policy/glob.ts';

function check(kind: GlobKind, glob: string, cases: Readonly<Record<string, boolean>>): void {
  const matches = compileGlob(kind, glob);
  for (const [text, expected] of Object.entries(cases)) assert.equal(matches(text), expected, `${glob} on ${text}`);
}

describe('globs over resources', () => {
  test('a star stays inside its segment and may stand for nothing', () => {
    check('resource', 'pki/roles/web-*', {
      'pki/roles/web-': true,
      'pki/roles/web-a': true,
      'pki/roles/web': false,
      'pki/roles/web-a/b': false,
      'pki/roles/xweb-a': false,
      'pki/roles/*': false,
    });
    check('resource', 'pki/*/web', { 'pki/roles/web': true, 'pki/web': false, 'pki/a/b/web': false });
    check('resource', 'a*b*a', { aba: true, abba: true, aa: false, ab: false, 'ab/a': false });
  });

  test('two stars stand for one or more segments', () => {
    check('resource', '**', { a: true, 'a/b/c': true });
    check('resource', 'pki/**', { pki: false, 'pki/a': true, 'pki/a/b': true, pkia: false, 'pkia/b': false });
    check('resource', '**/web', { 'a/web': true, 'a/b/web': true, web: false, 'a/web/c': false });
    check('resource', 'a/**/z', { 'a/b/z': true, 'a/b/c/z': true, 'a/z': false, 'a/z/z': true, 'a/z/z/y': false });
    check('resource', '**/b/**/b', { 'a/b/b/b': true, 'a/b/c/b': true, 'a/b/b': false, 'b/a/b/c/b': true });
  });

  test('a list, written *, is matched only by globs that match every name there', () => {
    check('resource', 'pki/roles/*', { 'pki/roles/*': true });
    check('resource', 'pki/**', { 'pki/roles/*': true });
    check('resource', 'pki/roles/*-web', { 'pki/roles/*': false });
  });

  test('case is never folded', () =>
    check('resource', 'pki/roles/web', { 'pki/roles/Web': false, 'PKI/roles/web': false }));
});

describe('globs over operations', () => {
  test('a star, alone or doubled, means every operation, and inside a part it stays there', () => {
    for (const all of ['*', '**']) check('operation', all, { 'pki.issue_certificate': true, 'auth.whoami': true });
    check('operation', 'pki.*', { 'pki.issue_certificate': true, 'acme.issue_certificate': false });
    check('operation', 'pki.issue_*', { 'pki.issue_certificate': true, 'pki.get_role': false });
    check('operation', '*.get_*', { 'pki.get_role': true, 'acme.get_order': true, 'pki.forget_role': false });
    check('operation', 'pki.get_role', { 'pki.get_role': true, pkixget_role: false, 'pki.get_roles': false });
  });
});

test('globs that have a second spelling, or can match nothing, are not taken', () => {
  const faults: Readonly<Record<GlobKind, readonly string[]>> = {
    resource: [
      '',
      '/a',
      'a/',
      'a.',
      'a/-b',
      'a//b',
      'a/../b',
      '..',
      '.',
      'a/./b',
      'A/b',
      'a%2fb',
      'a b',
      'a\u0000',
      'a/**b',
      '***',
      '*',
      'é',
      'a\\b',
      'x'.repeat(257),
      'a/'.repeat(16) + 'a',
    ],
    operation: [
      '',
      'pki',
      'pki.',
      '.issue',
      'pki..issue',
      'pki.issue.now',
      'Pki.issue',
      'pki.iss**',
      'pki.issue-x',
      'pki/issue',
      '*.*.*',
    ],
  };
  for (const kind of ['resource', 'operation'] as const) {
    for (const glob of faults[kind]) {
      assert.equal(typeof globFault(kind, glob), 'string', `${kind} ${JSON.stringify(glob)}`);
      assert.throws(() => compileGlob(kind, glob), TypeError);
    }
  }
  for (const glob of ['**', 'a', 'a/**', 'a.b/c-d/e_f', '*/a', 'a/*/**'])
    assert.equal(globFault('resource', glob), undefined);
  for (const glob of ['*', '**', 'pki.*', '*.get_*', 'pki.**']) assert.equal(globFault('operation', glob), undefined);
});

test('only the one spelling of a resource is normal', () => {
  for (const resource of ['a', 'pki/roles/web', 'pki/roles/*', '*', 'a.b/c-d/e_f', '0/1', 'tokens/tok_01abc'])
    assert.ok(isNormalResource(resource), resource);
  const odd = [
    '',
    '/',
    'a/',
    '/a',
    'a//b',
    '.',
    '..',
    'a/..',
    '../a',
    'a/./b',
    'a..b',
    'A',
    'pki/Roles',
    'a%2fb',
    'a%',
    'a b',
    ' a',
    'a ',
    'a\n',
    'a\u0000b',
    'a\u007f',
    'é',
    'ａ',
    'a\u2215b',
    'a\u2044b',
    'a\\b',
    'a*',
    '**',
    '*a',
    'a/**',
    '-a',
    '_a',
    '.a',
    'a.',
    'a-',
    'a_/b',
    'a;b',
    'a?b',
    'a#b',
    'a:b',
    'a\u200bb',
    '\u0430',
    'x'.repeat(513),
    'a/'.repeat(16) + 'a',
  ];
  for (const resource of odd) assert.ok(!isNormalResource(resource), JSON.stringify(resource));
});

test('a glob full of stars is as quick as any other', () => {
  // A matcher that backtracks would not end within the life of this test (2^60 steps); this one is linear.
  const matches = compileGlob('resource', `${'**/a*a*a*/'.repeat(7)}b`);
  assert.equal(matches(`${'aaaaaaaaaaaaaaa/'.repeat(30)}c`), false);
});
