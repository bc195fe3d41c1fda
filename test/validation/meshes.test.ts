import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { oids } from '#engines/pki/x509/oid.ts';
import { at, type Certified, certify, codes, day, leafOf, type Subject, subject, validate } from './fixture.ts';

/** Random meshes of authorities that certify each other and themselves, beside a search that simply tries every path. */

interface Edge {
  readonly of: number;
  readonly by: number;
  readonly fault: 'none' | 'expired' | 'other_purpose';
  readonly pathLength: number | undefined;
  readonly isAnchor: boolean;
}

const people = 7;
/** Two of them have a namesake with another key. */
const nameOf = (person: number) => person % 5;

const edge: fc.Arbitrary<Edge> = fc.record({
  of: fc.nat(people - 1),
  by: fc.nat(people - 1),
  fault: fc.constantFrom('none', 'none', 'none', 'none', 'expired', 'other_purpose'),
  pathLength: fc.option(fc.nat(2), { nil: undefined, freq: 2 }),
  isAnchor: fc.constantFrom(true, false, false, false, false),
});

/** Whether there is a path from the key `wanted` up, in so many words of RFC 5280 §6.1. */
function hasPath(edges: readonly Edge[], wanted: number, path: readonly Edge[] = []): boolean {
  return edges.some((each) => {
    if (each.of !== wanted || path.includes(each) || each.fault !== 'none') return false;
    const below = path.filter(({ of, by }) => nameOf(of) !== nameOf(by)).length;
    if (each.pathLength !== undefined && below > each.pathLength) return false;
    return each.isAnchor || (path.length <= 8 && hasPath(edges, each.by, [...path, each]));
  });
}

function toCertificate({ of, by, fault, pathLength }: Edge, subjects: readonly Subject[]): Certified {
  return certify(subjects[of] ?? assert.fail(), subjects[by] ?? assert.fail(), {
    ...(pathLength === undefined ? {} : { pathLength }),
    ...(fault === 'expired' ? { notAfter: at - day } : {}),
    ...(fault === 'other_purpose' ? { purposes: [oids.clientAuth] } : {}),
  });
}

test('a path is found exactly where there is one', async () => {
  const subjects = await Promise.all(Array.from({ length: people }, (_, index) => subject(`CA ${nameOf(index)}`)));
  const leaves = await Promise.all(subjects.map((by) => leafOf(by)));
  let valid = 0;
  const mesh = fc.tuple(fc.array(edge, { minLength: 4, maxLength: 18 }), fc.nat(people - 1));
  const property = fc.asyncProperty(mesh, async ([edges, start]) => {
    const made = edges.map((each) => ({ isAnchor: each.isAnchor, certified: toCertificate(each, subjects) }));
    const anchors = made.filter(({ isAnchor }) => isAnchor).map(({ certified }) => certified);
    const between = made.filter(({ isAnchor }) => !isAnchor).map(({ certified }) => certified);
    const leaf = leaves[start] ?? assert.fail();
    const result = await validate({ leaf, between, anchors }, { purpose: 'server_auth' });
    assert.equal(result.valid, hasPath(edges, start), codes(result).join(' '));
    if (result.valid) valid += 1;
  });
  await fc.assert(property, { numRuns: 400, seed: 6 });
  assert.ok(valid > 50 && valid < 350, String(valid));
});
