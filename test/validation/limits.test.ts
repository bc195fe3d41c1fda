import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createIssuanceGuard } from '#engines/pki/validation/issuance-guard.ts';
import { decodeCertificate } from '#engines/pki/x509/certificate.ts';
import { encodeExtension } from '#engines/pki/x509/extension.ts';
import type { GeneralNameInput } from '#engines/pki/x509/general-name.ts';
import { codes, intermediate, leafOf, root, validate } from './fixture.ts';

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
