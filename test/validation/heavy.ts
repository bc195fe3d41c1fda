import type { ValidationRequest } from '#engines/pki/validation/validate.ts';
import { encodeExtension } from '#engines/pki/x509/extension.ts';
import type { GeneralNameInput } from '#engines/pki/x509/general-name.ts';
import { at, type Certified, certify, crlOf, leafOf, root, subject } from './fixture.ts';

/** Requests that are small and ask for much work: each has its bound. */

interface Heavy {
  readonly what: string;
  readonly request: ValidationRequest;
}

function requestOf(
  leaf: Certified,
  intermediates: readonly Certified[],
  anchors: readonly Certified[],
): ValidationRequest {
  return {
    leaf: leaf.der,
    intermediates: intermediates.map(({ der }) => der),
    anchors: anchors.map(({ der }) => der),
    at,
    profile: 'rfc5280',
    checkRevocation: 'hard',
  };
}

export async function heavyRequests(): Promise<Heavy[]> {
  return [await mesh(), await namesakes(), await policyTree(), await manyNames(), await manyPoints()];
}

/** Fourteen authorities that all certify each other: 14! paths, none of them to the anchor. */
async function mesh(): Promise<Heavy> {
  const people = await Promise.all(Array.from({ length: 14 }, (_, index) => subject(`CA ${index}`)));
  const certificates = people.flatMap((of) => people.filter((by) => by !== of).map((by) => certify(of, by)));
  const anchor = certify(people[13] ?? (await subject('x')), await subject('Above'), { pathLength: 0 });
  const leaf = await leafOf(people[0] ?? anchor);
  return { what: 'a mesh', request: requestOf(leaf, certificates, [anchor]) };
}

/** Two hundred authorities of one name and another key each: the signature of each must be tried. */
async function namesakes(): Promise<Heavy> {
  const anchor = await root('Root');
  const signer = await subject('CA');
  const others = await Promise.all(
    Array.from({ length: 199 }, async () => certify({ ...signer, key: (await subject('CA')).key }, anchor)),
  );
  return { what: 'namesakes', request: requestOf(await leafOf(signer), others, [anchor]) };
}

/** CVE-2023-0464: every policy mapped to every other, level by level, makes a tree that doubles at each. */
async function policyTree(): Promise<Heavy> {
  const policies = Array.from({ length: 40 }, (_, index) => `1.3.6.1.4.1.99999.7.${index}`);
  const extensions = [
    encodeExtension(
      'certificate_policies',
      policies.map((oid) => ({ oid })),
    ),
    encodeExtension(
      'policy_mappings',
      policies.flatMap((from) => policies.map((to) => ({ issuerDomainPolicy: from, subjectDomainPolicy: to }))),
    ),
    encodeExtension('policy_constraints', { requireExplicitPolicy: 0 }),
  ];
  const anchor = await root('Root');
  const chain = [anchor];
  for (let level = 0; level < 9; level++)
    chain.push(certify(await subject(`Level ${level}`), chain.at(-1) as Certified, { extensions }));
  const leaf = await leafOf(chain.at(-1) as Certified, {
    extensions: [encodeExtension('certificate_policies', [{ oid: '1.3.6.1.4.1.99999.8' }])],
  });
  return { what: 'a tree of policies', request: requestOf(leaf, chain.slice(1), [anchor]) };
}

/** CVE-2018-16875 and its like: thousands of names under thousands of constraints. */
async function manyNames(): Promise<Heavy> {
  const many: GeneralNameInput[] = Array.from({ length: 2500 }, (_, index) => ({
    kind: 'dns',
    value: `n${index}.example`,
  }));
  const anchor = await root('Root', {
    extensions: [encodeExtension('name_constraints', { permitted: many.toReversed() as never })],
  });
  return { what: 'names', request: requestOf(await leafOf(anchor, { names: many }), [], [anchor]) };
}

/** Thousands of distribution points, and fifty CRLs that each name thousands as well. */
async function manyPoints(): Promise<Heavy> {
  const anchor = await root('Root');
  const uris = (prefix: string): GeneralNameInput[] =>
    Array.from({ length: 3000 }, (_, index) => ({ kind: 'uri', value: `http://${prefix}.example/${index}` }));
  const points = uris('a').map((name) => ({ fullName: [name] }));
  const leaf = await leafOf(anchor, { extensions: [encodeExtension('crl_distribution_points', points)] });
  const crl = crlOf(anchor, { issuingDistributionPoint: { fullName: uris('b') } });
  const request = requestOf(leaf, [], [anchor]);
  return { what: 'distribution points', request: { ...request, crls: Array.from({ length: 50 }, () => crl) } };
}
