import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createIssuanceGuard } from '#engines/pki/validation/issuance-guard.ts';
import { decodeCertificate } from '#engines/pki/x509/certificate.ts';
import { encodeExtension } from '#engines/pki/x509/extension.ts';
import type { GeneralNameInput } from '#engines/pki/x509/general-name.ts';
import { at, type Certified, certify, codes, day, intermediate, leafOf, root, subject, validate } from './fixture.ts';

/** What a verdict is worth when a limit was met: never "valid", and it says that more work might say otherwise. */

/** Last name first, so that every name is compared with half of them. */
const names = (count: number): readonly GeneralNameInput[] =>
  Array.from({ length: count }, (_, index) => ({ kind: 'dns', value: `h${index}.example.com` }));
const only = (permitted: readonly GeneralNameInput[]) =>
  encodeExtension('name_constraints', { permitted: permitted.toReversed() as never });

test('a chain without a trust anchor stays invalid when its names take all the work there is', async () => {
  const many = names(700);
  const authority = await intermediate(await root('Stranger'), 'CA', { extensions: [only(many)] });
  const leaf = await leafOf(authority, { names: many });
  const result = await validate({ leaf, between: [authority], anchors: [await root()] });
  assert.deepEqual([result.valid, codes(result)], [false, ['work_limit@-']]);
});

test('what is issued is not sound only because comparing its names takes too much work', async () => {
  const many = names(700);
  const anchor = await root('Root', { extensions: [only(many)] });
  const guard = createIssuanceGuard([anchor.der]);
  const leaf = await leafOf(anchor, { names: [...many, { kind: 'dns', value: 'a.example.org' }] });
  assert.deepEqual(
    guard.check(decodeCertificate(leaf.der), 'leaf').map(({ code }) => code),
    ['work_limit'],
  );
});

const policy = (oid: string) => encodeExtension('certificate_policies', [{ oid }]);
const explicit = encodeExtension('policy_constraints', { requireExplicitPolicy: 0 });

test('the one way up that is allowed is found behind many that policies forbid, and giving up is said', async () => {
  const authority = await subject('CA');
  const leaf = await leafOf(authority, { extensions: [policy('1.3.6.1.4.1.99999.5.1')] });
  const roots = await Promise.all(Array.from({ length: 40 }, (_, index) => root(`Root ${index}`)));
  const wrong = [policy('1.3.6.1.4.1.99999.5.2'), explicit];
  const cross = (by: Certified, index: number, good: number) =>
    certify(authority, by, { extensions: index === good ? [] : wrong, notAfter: at + (60 - index) * day });
  const judge = async (count: number, good: number) => {
    const anchors = roots.slice(0, count);
    const between = anchors.map((by, index) => cross(by, index, good));
    return validate({ leaf, between, anchors });
  };
  const found = await judge(20, 19);
  assert.deepEqual([found.valid, found.rejectedPaths.length], [true, 8]);
  assert.deepEqual(codes(await judge(20, -1)), ['policy@0']);
  assert.deepEqual(codes(await judge(40, 39)), ['policy@0', 'work_limit@-']);
});

test('a path that is too long is shown, and says that its length is why', async () => {
  const anchor = await root();
  const selfIssued = [await intermediate(anchor)];
  for (let index = 0; index < 12; index++)
    selfIssued.push(certify(await subject('CA'), selfIssued.at(-1) ?? assert.fail()));
  const judge = async (between: readonly Certified[]) => {
    const leaf = await leafOf(between.at(-1) ?? assert.fail());
    return validate({ leaf, between, anchors: [anchor] });
  };
  assert.deepEqual(codes(await judge(selfIssued.slice(0, 10))), []);
  const result = await judge(selfIssued);
  assert.deepEqual([codes(result), result.path.length], [['path_depth@11'], 12]);
  const others = [await intermediate(anchor)];
  for (let index = 0; index < 10; index++)
    others.push(certify(await subject(`Level ${index}`), others.at(-1) ?? assert.fail()));
  assert.deepEqual(codes(await judge(others.slice(0, 10))), []);
  assert.deepEqual(codes(await judge(others)), ['path_depth@11']);
});

test('a certificate that is given many times makes one path', async () => {
  const anchor = await root();
  const authority = await intermediate(anchor);
  const between = Array.from({ length: 100 }, () => authority);
  const name = { kind: 'dns', value: 'b.example.com' } as const;
  const result = await validate({ leaf: await leafOf(authority), between, anchors: [anchor, anchor] }, { name });
  assert.deepEqual([codes(result), result.rejectedPaths.length], [['name_mismatch@0'], 0]);
  assert.equal(result.work.nodes, 2);
});
