import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { encodeExtension, encodeRawExtension } from '#engines/pki/x509/extension.ts';
import type { GeneralNameInput } from '#engines/pki/x509/general-name.ts';
import type { NameConstraintsInput } from '#engines/pki/x509/name-extensions.ts';
import { encodeName } from '#engines/pki/x509/name.ts';
import { oids } from '#engines/pki/x509/oid.ts';
import { validateCertificate } from '#engines/pki/validation/validate.ts';
import { at, certify, codes, day, intermediate, leafOf, root, subject, validate } from './fixture.ts';

test('of two issuers with one name the path goes through the one whose key signed, whatever the order', async () => {
  const anchor = await root();
  const [right, wrong] = [await intermediate(anchor), await intermediate(anchor)];
  const leaf = await leafOf(right);
  for (const between of [
    [right, wrong],
    [wrong, right],
  ]) {
    const result = await validate({ leaf, between, anchors: [anchor] });
    assert.deepEqual([result.valid, result.path.length], [true, 3]);
  }
});

test('an expired cross-certificate is passed by when another way leads to a trust anchor', async () => {
  const [anchor, other, authority] = [await root('A'), await root('B'), await subject('CA')];
  const expired = certify(authority, other, { notAfter: at - 1000 });
  const leaf = await leafOf(authority);
  const chain = { leaf, between: [expired, certify(authority, anchor)], anchors: [other, anchor] };
  assert.equal((await validate(chain)).valid, true);
  const only = await validate({ ...chain, between: [expired] });
  assert.deepEqual([only.path.length, codes(only)], [3, ['expired@1']]);
});

test('an intermediate that is trusted as such ends the path', async () => {
  const authority = await intermediate(await root());
  const result = await validate({ leaf: await leafOf(authority), anchors: [authority] });
  assert.deepEqual(
    result.path.map((entry) => entry.role),
    ['leaf', 'trust_anchor'],
  );
});

test('authorities that certify each other end in a verdict, and cost no endless search', async () => {
  const people = await Promise.all(Array.from({ length: 12 }, (_, index) => subject(`CA ${index}`)));
  const mesh = people.flatMap((of) => people.filter((by) => by !== of).map((by) => certify(of, by)));
  const leaf = await leafOf(people[0] ?? (await subject('none')));
  const stranger = await root('stranger');
  const lost = await validate({ leaf, between: mesh, anchors: [stranger] });
  assert.equal(lost.valid, false);
  const anchor = await root();
  const bridge = certify(people[11] ?? stranger, anchor);
  const found = await validate({ leaf, between: [...mesh, bridge], anchors: [anchor] });
  assert.deepEqual([found.valid, found.path.length], [true, 4]);
});

test('a leaf cannot issue, and the reason names it', async () => {
  const anchor = await root();
  const pretender = await leafOf(anchor);
  const result = await validate({ leaf: await leafOf(pretender), between: [pretender], anchors: [anchor] });
  assert.deepEqual(codes(result), ['not_a_ca@1', 'key_usage@1']);
});

test('path lengths count authorities that are not self-issued', async () => {
  const anchor = await root('Root', { pathLength: 1 });
  const upper = await intermediate(anchor, 'Upper');
  const renewed = certify(await subject('Upper'), upper);
  const lower = await intermediate(renewed, 'Lower');
  const short = await validate({ leaf: await leafOf(renewed), between: [upper, renewed], anchors: [anchor] });
  assert.deepEqual([short.valid, short.path.length], [true, 4]);
  const long = await validate({ leaf: await leafOf(lower), between: [upper, renewed, lower], anchors: [anchor] });
  assert.deepEqual(codes(long), ['path_length@4']);
  const asked = { leaf: await leafOf(renewed), between: [upper, renewed], anchors: [anchor] };
  assert.equal((await validate(asked, { maxDepth: 1 })).valid, true);
  assert.deepEqual(codes(await validate(asked, { maxDepth: 0 })), ['path_depth@2', 'path_depth@3']);
});

test('a purpose that an authority does not have, no leaf below it has', async () => {
  const anchor = await root();
  const mail = await intermediate(anchor, 'Mail', { purposes: [oids.emailProtection] });
  const chain = { leaf: await leafOf(mail), between: [mail], anchors: [anchor] };
  assert.deepEqual(codes(await validate(chain, { purpose: 'server_auth' })), ['extended_key_usage@1']);
  assert.equal((await validate(chain)).valid, true);
});

test('a critical extension that nobody understands refuses, one that is not critical does not', async () => {
  const anchor = await root();
  const unknown = (critical: boolean) => encodeRawExtension('1.3.6.1.4.1.99999.1', critical, Buffer.from([5, 0]));
  const critical = await leafOf(anchor, { extensions: [unknown(true)] });
  assert.deepEqual(codes(await validate({ leaf: critical, anchors: [anchor] })), ['unknown_critical_extension@0']);
  const other = await leafOf(anchor, { extensions: [unknown(false)] });
  assert.equal((await validate({ leaf: other, anchors: [anchor] })).valid, true);
});

test('a signature that was changed is told with the certificate that carries it', async () => {
  const anchor = await root();
  const authority = await intermediate(anchor);
  const broken = Buffer.from(authority.der);
  broken[broken.length - 1] = (broken.at(-1) ?? 0) ^ 1;
  const between = [{ ...authority, der: broken }];
  assert.deepEqual(codes(await validate({ leaf: await leafOf(authority), between, anchors: [anchor] })), [
    'signature_invalid@1',
  ]);
});

const dns = (value: string): GeneralNameInput => ({ kind: 'dns', value });
const email = (value: string): GeneralNameInput => ({ kind: 'email', value });
const uri = (value: string): GeneralNameInput => ({ kind: 'uri', value });
const ip = (...bytes: number[]): GeneralNameInput => ({ kind: 'ip', bytes: Uint8Array.from(bytes) });
const range = (bytes: number[], prefix: number) => ({ kind: 'range' as const, bytes: Uint8Array.from(bytes), prefix });
const directory = (value: string) => {
  const der = encodeName([
    { type: 'organization', value: 'Acme' },
    { type: 'common_name', value },
  ]);
  return { kind: 'directory' as const, name: { der } };
};
const acme = { kind: 'directory' as const, name: { der: encodeName([{ type: 'organization', value: 'ACME' }]) } };

const constraintCases: readonly [NameConstraintsInput, GeneralNameInput, boolean][] = [
  [{ permitted: [dns('example.com')] as never }, dns('a.b.example.com'), true],
  [{ permitted: [dns('example.com')] as never }, dns('example.com'), true],
  [{ permitted: [dns('example.com')] as never }, dns('notexample.com'), false],
  [{ permitted: [dns('example.com')] as never }, dns('*.example.com'), true],
  [{ permitted: [dns('foo.example.com')] as never }, dns('*.example.com'), false],
  [{ excluded: [dns('foo.example.com')] as never }, dns('*.example.com'), false],
  [{ excluded: [dns('a.foo.example.com')] as never }, dns('*.example.com'), true],
  [{ excluded: [dns('example.com')] as never }, dns('A.EXAMPLE.COM'), false],
  [{ excluded: [dns('')] as never }, dns('any.example'), false],
  [{ permitted: [dns('example.com')] as never }, ip(10, 0, 0, 1), true],
  [{ permitted: [range([10, 0, 0, 0], 8)] }, ip(10, 255, 0, 1), true],
  [{ permitted: [range([10, 0, 0, 0], 8)] }, ip(11, 0, 0, 1), false],
  [{ permitted: [range([10, 0, 0, 0], 9)] }, ip(10, 128, 0, 1), false],
  [{ permitted: [range([10, 0, 0, 0], 8)] }, ip(...Array.from({ length: 16 }, () => 0)), false],
  [{ excluded: [range([0, 0, 0, 0], 0)] }, ip(1, 2, 3, 4), false],
  [{ permitted: [email('example.com')] as never }, email('a@EXAMPLE.com'), true],
  [{ permitted: [email('example.com')] as never }, email('a@b.example.com'), false],
  [{ permitted: [email('.example.com')] as never }, email('a@b.example.com'), true],
  [{ permitted: [email('A@example.com')] as never }, email('a@example.com'), false],
  [{ permitted: [email('example.com')] as never }, email('not a mailbox'), false],
  [{ permitted: [uri('example.com')] as never }, uri('https://example.com/x'), true],
  [{ permitted: [uri('example.com')] as never }, uri('https://a.example.com/x'), false],
  [{ permitted: [uri('.example.com')] as never }, uri('https://a.example.com/x'), true],
  [{ excluded: [uri('example.com')] as never }, uri('urn:uuid:1234'), false],
  [{ permitted: [acme, directory('leaf')] }, directory('x'), false],
];

test('name constraints of every kind allow what lies within and refuse what may lie without', async () => {
  const anchor = await root();
  for (const [constraints, name, allowed] of constraintCases) {
    const extensions = [encodeExtension('name_constraints', constraints)];
    const authority = await intermediate(anchor, 'CA', { extensions });
    const leaf = await leafOf(authority, { names: [name] });
    const result = await validate({ leaf, between: [authority], anchors: [anchor] });
    assert.equal(
      result.valid,
      allowed,
      `${JSON.stringify(constraints)} ${JSON.stringify(name)} ${codes(result).join(' ')}`,
    );
  }
});

test('constraints on a directory name bind the subject, and a trust anchor may hold them', async () => {
  const within = { name: encodeName([{ type: 'organization', value: 'Acme' }]) };
  const extensions = [encodeExtension('name_constraints', { permitted: [acme] })];
  const anchor = await root('Root', { extensions });
  const leaf = await leafOf(anchor);
  assert.deepEqual(codes(await validate({ leaf, anchors: [anchor] })), ['name_not_permitted@0']);
  const fitting = certify({ ...(await subject('x')), ...within }, anchor, { ca: false });
  assert.equal((await validate({ leaf: fitting, anchors: [anchor] })).valid, true);
});

test('thousands of names under thousands of constraints end in a verdict within the limits', async () => {
  const many = Array.from({ length: 1500 }, (_, index) => dns(`n${index}.example`));
  const permitted = many.toReversed() as never;
  const extensions = [encodeExtension('name_constraints', { permitted, excluded: [dns('elsewhere')] as never })];
  const anchor = await root('Root', { extensions });
  const leaf = await leafOf(anchor, { names: many });
  const result = await validate({ leaf, anchors: [anchor] });
  assert.deepEqual([result.valid, codes(result)], [false, ['work_limit@-']]);
});

const policy = '1.3.6.1.4.1.99999.5.1';
const otherPolicy = '1.3.6.1.4.1.99999.5.2';
const policies = (...list: string[]) =>
  encodeExtension(
    'certificate_policies',
    list.map((oid) => ({ oid })),
  );
const explicit = encodeExtension('policy_constraints', { requireExplicitPolicy: 0 });

test('a required policy must be asserted along the whole path', async () => {
  const anchor = await root();
  const authority = await intermediate(anchor, 'CA', { extensions: [policies(policy), explicit] });
  const chain = (leaf: Awaited<ReturnType<typeof leafOf>>) => ({ leaf, between: [authority], anchors: [anchor] });
  const same = chain(await leafOf(authority, { extensions: [policies(policy)] }));
  assert.equal((await validate(same)).valid, true);
  assert.equal((await validate(same, { policies: { initialSet: [policy] } })).valid, true);
  assert.deepEqual(codes(await validate(same, { policies: { initialSet: [otherPolicy] } })), ['policy@0']);
  assert.deepEqual(codes(await validate(chain(await leafOf(authority)))), ['policy@0']);
  const other = chain(await leafOf(authority, { extensions: [policies(otherPolicy)] }));
  assert.deepEqual(codes(await validate(other)), ['policy@0']);
});

test('policies are mapped unless that is inhibited, and anyPolicy stands for all until it is', async () => {
  const anchor = await root();
  const mappings = encodeExtension('policy_mappings', [
    { issuerDomainPolicy: policy, subjectDomainPolicy: otherPolicy },
  ]);
  const authority = await intermediate(anchor, 'CA', { extensions: [policies(policy), mappings, explicit] });
  const leaf = await leafOf(authority, { extensions: [policies(otherPolicy)] });
  const chain = { leaf, between: [authority], anchors: [anchor] };
  assert.equal((await validate(chain, { policies: { initialSet: [policy] } })).valid, true);
  assert.deepEqual(codes(await validate(chain, { policies: { initialSet: [otherPolicy] } })), ['policy@0']);
  assert.deepEqual(codes(await validate(chain, { policies: { inhibitMapping: true } })), ['policy@0']);
  const wide = await intermediate(anchor, 'CA', { extensions: [policies(oids.anyPolicy), explicit] });
  const below = await leafOf(wide, { extensions: [policies(policy)] });
  const any = { leaf: below, between: [wide], anchors: [anchor] };
  assert.equal((await validate(any, { policies: { initialSet: [policy] } })).valid, true);
  assert.deepEqual(codes(await validate(any, { policies: { inhibitAny: true } })), ['policy@0']);
});

test('both ends of the validity belong to it, counted in seconds', async () => {
  const anchor = await root('Root', { notBefore: at - 90 * day, notAfter: at + 90 * day });
  const leaf = await leafOf(anchor);
  const verdicts = [-10 * day - 1, -10 * day, 10 * day, 10 * day + 999, 10 * day + 1000].map(async (offset) => {
    const result = await validate({ leaf, anchors: [anchor] }, { at: at + offset });
    return codes(result);
  });
  assert.deepEqual(await Promise.all(verdicts), [['not_yet_valid@0'], [], [], [], ['expired@0']]);
});

test('no damage to leaf or intermediate makes the validator throw or accept', async () => {
  const anchor = await root();
  const authority = await intermediate(anchor);
  const leaf = await leafOf(authority);
  const ders = [leaf.der, authority.der] as const;
  const damage = fc.record({
    which: fc.integer({ min: 0, max: 1 }),
    place: fc.nat(),
    octet: fc.integer({ min: 1, max: 255 }),
  });
  const property = fc.asyncProperty(damage, async ({ which, place, octet }) => {
    const copies = ders.map((der) => Buffer.from(der));
    const damaged = copies[which] ?? Buffer.alloc(0);
    const offset = place % damaged.length;
    damaged[offset] = (damaged[offset] ?? 0) ^ octet;
    const result = await validateCertificate({
      leaf: copies[0] ?? Buffer.alloc(0),
      intermediates: copies.slice(1),
      anchors: [anchor.der],
      at,
      profile: 'rfc5280',
      checkRevocation: 'none',
    });
    assert.equal(result.valid, false);
    assert.ok(result.reasons.length > 0);
  });
  await fc.assert(property, { numRuns: 400 });
});
