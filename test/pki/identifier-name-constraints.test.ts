import assert from 'node:assert/strict';
import test from 'node:test';
import * as fc from 'fast-check';
import { type IdentifierKind, parseIdentifier } from '#pki/identifier/identifier.ts';
import {
  type ChainConstraints,
  compileNameConstraints,
  constraintAgainst,
  constraintAgainstSubject,
} from '#pki/identifier/name-constraints.ts';

function against(chain: readonly ChainConstraints[], kind: IdentifierKind, text: string): string | undefined {
  const constraints = compileNameConstraints(chain);
  const name = parseIdentifier(kind, text);
  assert.ok(constraints !== null && name.kind !== 'malformed', text);
  return constraintAgainst(constraints, name);
}

type Case = readonly [kind: IdentifierKind, constraint: string, name: string, permitted: boolean, excluded: boolean];

/** For each name: whether it passes when the constraint is permitted, and whether it is refused when it is excluded. */
const cases: readonly Case[] = [
  ['dns', 'example.com', 'example.com', true, true],
  ['dns', 'example.com', 'a.b.example.com', true, true],
  ['dns', 'EXAMPLE.com', 'a.example.com', true, true],
  ['dns', 'example.com', 'badexample.com', false, false],
  ['dns', 'example.com', 'com', false, false],
  ['dns', 'example.com', 'example.com.evil.net', false, false],
  ['dns', '.example.com', 'example.com', false, false],
  ['dns', '.example.com', 'a.example.com', true, true],
  ['dns', '', 'anything.net', true, true],
  ['dns', 'example.com', '*.example.com', true, true],
  ['dns', 'example.com', '*.a.example.com', true, true],
  ['dns', '.example.com', '*.example.com', true, true],
  // the wildcard stands for the excluded host, but also for others
  ['dns', 'a.example.com', '*.example.com', false, true],
  ['dns', 'b.a.example.com', '*.example.com', false, false],
  ['dns', '.a.example.com', '*.example.com', false, false],
  ['dns', 'a.example.com', '*.b.example.com', false, false],
  // constraints that cannot be read permit nothing and exclude everything
  ['dns', '*.example.com', 'a.example.com', false, true],
  ['dns', 'exämple.com', 'a.example.com', false, true],
  ['dns', 'example.com.', 'a.example.com', false, true],
  ['ip', '10.0.0.0/8', '10.255.0.1', true, true],
  ['ip', '10.0.0.0/8', '11.0.0.1', false, false],
  ['ip', '0.0.0.0/0', '2001:db8::1', false, false],
  ['ip', '2001:db8::/32', '2001:db8:ffff::1', true, true],
  ['ip', '10.0.0.1/8', '10.0.0.1', false, true],
  ['uri', 'example.org', 'spiffe://example.org/a', true, true],
  ['uri', 'example.org', 'https://a.example.org/', false, false],
  ['uri', '.example.org', 'https://a.example.org:8443/', true, true],
  ['uri', '.example.org', 'https://example.org/', false, false],
  ['uri', 'example.org', 'urn:uuid:1', false, true],
  ['uri', 'example.org', 'https://192.0.2.1/', false, true],
  ['uri', '', 'https://example.org/', false, true],
  ['email', 'example.com', 'a@example.com', true, true],
  ['email', 'example.com', 'a@mail.example.com', false, false],
  ['email', '.example.com', 'a@mail.example.com', true, true],
  ['email', '.example.com', 'a@example.com', false, false],
  ['email', 'a@example.com', 'a@example.com', true, true],
  ['email', 'a@EXAMPLE.com', 'a@example.com', true, true],
  ['email', 'A@example.com', 'a@example.com', false, true],
  ['email', 'b@example.com', 'a@example.com', false, false],
  ['email', '', 'a@example.com', false, true],
];

test('each kind of constraint permits and excludes what RFC 5280 says, the stricter reading where it is silent', () => {
  for (const [kind, constraint, name, permitted, excluded] of cases) {
    const passes = against([{ permitted: { [kind]: [constraint] } }], kind, name) === undefined;
    assert.equal(passes, permitted, `permitted ${constraint}: ${name}`);
    const refused = against([{ excluded: { [kind]: [constraint] } }], kind, name) !== undefined;
    assert.equal(refused, excluded, `excluded ${constraint}: ${name}`);
  }
});

test('a constraint of one kind says nothing about another', () => {
  const chain = [{ permitted: { dns: ['example.com'] }, excluded: { dns: [''] } }];
  assert.equal(against(chain, 'ip', '192.0.2.1'), undefined);
  assert.equal(against(chain, 'uri', 'urn:a'), undefined);
  assert.equal(against(chain, 'email', 'a@b.c'), undefined);
});

test('every certificate of the chain must permit, and exclusion beats permission', () => {
  const chain: ChainConstraints[] = [
    { permitted: { dns: ['example.com', 'example.net'] } },
    { permitted: { dns: ['example.net', 'example.org'] }, excluded: { dns: ['secret.example.net'] } },
  ];
  assert.equal(against(chain, 'dns', 'a.example.net'), undefined);
  assert.equal(against(chain, 'dns', 'a.example.com'), 'is outside the permitted DNS names example.net, example.org');
  assert.equal(against(chain, 'dns', 'a.example.org'), 'is outside the permitted DNS names example.com, example.net');
  assert.equal(against(chain, 'dns', 'x.secret.example.net'), 'is within the excluded DNS names secret.example.net');
});

test('a chain without constraints compiles to nothing', () => {
  assert.equal(compileNameConstraints([]), null);
  assert.equal(compileNameConstraints([{}, { permitted: {}, excluded: { dns: [] } }]), null);
});

test('directory names constrain the subject from its outermost attribute on, and never an empty subject', () => {
  const country = { type: 'country', value: 'DE' };
  const subject = [country, { type: 'organization', value: 'Example  GmbH' }, { type: 'common_name', value: 'a' }];
  const check = (side: ChainConstraints, of = subject) => {
    const constraints = compileNameConstraints([side]);
    assert.ok(constraints !== null);
    return constraintAgainstSubject(constraints, of);
  };
  const own = [country, { type: 'organization', value: 'EXAMPLE gmbh' }];
  const other = [country, { type: 'organization', value: 'Other' }];
  assert.equal(check({ permitted: { directory: [other, own] } }), undefined);
  assert.equal(check({ permitted: { directory: [other] } }), 'is outside the permitted directory names');
  assert.equal(
    check({ permitted: { directory: [[{ type: 'organization', value: 'Example GmbH' }]] } }),
    'is outside the permitted directory names',
  );
  assert.equal(check({ excluded: { directory: [[country]] } }), 'is within the excluded directory names');
  assert.equal(check({ excluded: { directory: [other] } }), undefined);
  assert.equal(check({ permitted: { directory: [other] } }, []), undefined);
});

test('a wildcard passes only if every name that it stands for passes', () => {
  const name = fc
    .array(fc.constantFrom('a', 'b', 'com'), { minLength: 2, maxLength: 3 })
    .map((labels) => labels.join('.'));
  const constraint = fc.tuple(fc.constantFrom('', '.'), name).map(([dot, rest]) => dot + rest);
  const side = fc.array(constraint, { maxLength: 2 });
  fc.assert(
    fc.property(name, side, side, (base, permitted, excluded) => {
      const chain = [{ permitted: { dns: permitted }, excluded: { dns: excluded } }];
      if (compileNameConstraints(chain) === null) return;
      const passes = against(chain, 'dns', `*.${base}`) === undefined;
      const each = ['a', 'b', 'com', 'other'].every((label) => against(chain, 'dns', `${label}.${base}`) === undefined);
      if (passes) assert.ok(each, base);
      if (each) assert.ok(passes, base);
    }),
    { numRuns: 3000 },
  );
});
