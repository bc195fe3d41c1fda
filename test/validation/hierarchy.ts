import * as fc from 'fast-check';
import { type KeyType, sign, signatureAlgorithmOf } from '#engines/pki/x509/algorithm.ts';
import { assembleCertificate, encodeTbsCertificate } from '#engines/pki/x509/certificate.ts';
import { encodeExtension, encodeRawExtension } from '#engines/pki/x509/extension.ts';
import type { GeneralNameInput } from '#engines/pki/x509/general-name.ts';
import { type GeneratedKey, generateKeyPair } from '#engines/pki/x509/key.ts';
import type { NameConstraintsInput } from '#engines/pki/x509/name-extensions.ts';
import { encodeName } from '#engines/pki/x509/name.ts';
import { oids } from '#engines/pki/x509/oid.ts';
import { decodeSpki, keyIdentifierOf } from '#engines/pki/x509/spki.ts';

/** Random hierarchies: first as plain data, so that a disagreement can be read, then as certificates. */

export const at = Date.UTC(2026, 5, 1);
const day = 86_400_000;

const dnsNames = ['a.example.com', 'b.example.com', '*.example.com', 'example.com', 'example.org', 'x.a.example.com'];
const addresses = ['10.0.0.1', '10.1.2.3', '192.168.0.1'];
const mails = ['a@example.com', 'a@mail.example.com', 'b@example.org'];
const uris = ['https://a.example.com/x', 'spiffe://example.com/w', 'https://example.org/'];
const policies = ['1.3.6.1.4.1.99999.5.1', '1.3.6.1.4.1.99999.5.2', '1.3.6.1.4.1.99999.5.3'];

const often = <T>(usual: T, ...others: T[]) =>
  fc.oneof({ weight: 50, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(usual, ...others) });
const rarely = <T>(arbitrary: fc.Arbitrary<T>, weight = 1) =>
  fc.oneof({ weight: 40, arbitrary: fc.constant(undefined) }, { weight, arbitrary });

const names = fc.record({
  dns: fc.uniqueArray(fc.constantFrom(...dnsNames), { maxLength: 2 }),
  ip: fc.uniqueArray(fc.constantFrom(...addresses), { maxLength: 1 }),
  email: fc.oneof(
    { weight: 5, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.tuple(fc.constantFrom(...mails)) },
  ),
  uri: fc.oneof(
    { weight: 5, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.tuple(fc.constantFrom(...uris)) },
  ),
});

const subtree = fc.constantFrom(
  'dns:example.com',
  'dns:a.example.com',
  'dns:example.org',
  'dns:',
  'ip:10.0.0.0/8',
  'ip:10.0.0.0/16',
  'ip:0.0.0.0/0',
  'email:example.com',
  'email:.example.com',
  'email:a@example.com',
  'uri:a.example.com',
  'uri:.example.com',
  'directory:Acme',
  'directory:Other',
);

const policySpec = fc.record({
  policies: fc.uniqueArray(fc.constantFrom('any', '0', '1', '2'), { minLength: 0, maxLength: 3 }),
  mapping: rarely(fc.tuple(fc.constantFrom('0', '1', 'any'), fc.constantFrom('1', '2', 'any')), 3),
  explicit: rarely(fc.integer({ min: 0, max: 2 }), 4),
  inhibitMapping: rarely(fc.integer({ min: 0, max: 1 }), 2),
  inhibitAny: rarely(fc.integer({ min: 0, max: 1 }), 2),
});

const certificate = fc.record({
  validity: often('now', 'past', 'future'),
  authority: often('yes', 'no', 'unsaid'),
  pathLength: rarely(fc.integer({ min: 0, max: 2 }), 3),
  usage: often('sign', 'other', 'none'),
  purposes: often('none', 'server', 'client', 'any', 'server+client'),
  constraints: rarely(
    fc.record({
      permitted: fc.uniqueArray(subtree, { maxLength: 2 }),
      excluded: fc.uniqueArray(subtree, { maxLength: 1 }),
    }),
    2,
  ),
  unknownCritical: often(false, true),
  signer: often('issuer', 'stranger'),
  keyIdentifier: often('right', 'wrong', 'none'),
  policy: rarely(policySpec, 5),
  organization: often('Acme', 'Other'),
});
export type CertificateSpec = typeof certificate extends fc.Arbitrary<infer T> ? T : never;

const hierarchy = fc.record({
  root: certificate,
  /** From below the root to above the leaf. */
  middle: fc.array(certificate, { maxLength: 3 }),
  leaf: certificate,
  names,
  /** An intermediate that carries the name of the one above it. */
  selfIssued: rarely(fc.nat({ max: 2 })),
  /** Which certificate is trusted instead of the root, counted from below the root. */
  trusted: rarely(fc.nat({ max: 2 })),
  /** A certificate of another root, not trusted, for one of the intermediates. */
  crossed: rarely(fc.record({ which: fc.nat({ max: 2 }), spec: certificate })),
  /** Another authority of the same name with another key, first in the list. */
  namesake: often(false, true),
  /** The leaf has a commonName that looks like a host. */
  commonName: often('leaf', 'a.example.com'),
});
export type Hierarchy = typeof hierarchy extends fc.Arbitrary<infer T> ? T : never;

export function sampleHierarchies(count: number, seed: number): Hierarchy[] {
  return fc.sample(hierarchy, { numRuns: count, seed });
}

export interface Made {
  readonly leaf: Buffer;
  readonly intermediates: readonly Buffer[];
  readonly anchors: readonly Buffer[];
}

interface Party {
  readonly name: Buffer;
  readonly key: GeneratedKey;
}

const keyType: KeyType = 'ec-p256';

/** Makes hierarchies with names of their own each, so that many can be handed to one process without mixing. */
export async function createMaker(): Promise<(hierarchy: Hierarchy, tag: string) => Made> {
  const keys = await Promise.all(Array.from({ length: 8 }, () => generateKeyPair(keyType)));
  const keyAt = (index: number) => keys[index] as GeneratedKey;
  const identifiers = new Map(keys.map((key) => [key, keyIdentifierOf(decodeSpki(key.spki))]));
  const stranger = keyAt(7);
  let serial = 0x1000;

  const party = (tag: string, commonName: string, organization: string, index: number): Party => ({
    name: encodeName([
      { type: 'organization', value: organization },
      { type: 'organizational_unit', value: tag },
      { type: 'common_name', value: commonName },
    ]),
    key: keyAt(index),
  });

  const certify = (
    of: Party,
    by: Party,
    spec: CertificateSpec,
    isLeaf: boolean,
    altNames: GeneralNameInput[],
  ): Buffer => {
    serial += 1;
    const [from, to] = { now: [-10, 10], past: [-10, -1], future: [1, 10] }[spec.validity] as [number, number];
    const signatureAlgorithm = signatureAlgorithmOf(keyType);
    const tbs = encodeTbsCertificate({
      serialNumber: serial.toString(16).padStart(6, '0'),
      signatureAlgorithm,
      issuer: by.name,
      notBefore: at + from * day,
      notAfter: at + to * day,
      subject: of.name,
      spki: of.key.spki,
      extensions: extensionsOf(spec, isLeaf, altNames, identifiers.get(of.key), identifierOf(spec, by)),
    });
    const key = spec.signer === 'issuer' ? by.key : stranger;
    return assembleCertificate(tbs, signatureAlgorithm, sign(key.privateKey, keyType, tbs));
  };
  const identifierOf = ({ keyIdentifier }: CertificateSpec, by: Party) =>
    keyIdentifier === 'none' ? undefined : identifiers.get(keyIdentifier === 'right' ? by.key : stranger);

  return (given, tag) => {
    const root = party(tag, 'Root', given.root.organization, 0);
    const parties = [root];
    const ders = [certify(root, root, { ...given.root, signer: 'issuer' }, false, [])];
    for (const [index, spec] of given.middle.entries()) {
      const above = parties.at(-1) as Party;
      const fresh = party(tag, `CA ${index}`, spec.organization, index + 1);
      const own = given.selfIssued === index ? { ...fresh, name: above.name } : fresh;
      parties.push(own);
      ders.push(certify(own, above, spec, false, []));
    }
    const issuer = parties.at(-1) as Party;
    const extra: Buffer[] = [];
    const crossed = given.crossed && parties[given.crossed.which + 1];
    if (given.crossed && crossed)
      extra.push(certify(crossed, party(tag, 'Elsewhere', 'Acme', 6), given.crossed.spec, false, []));
    if (given.namesake) extra.push(certify({ ...issuer, key: keyAt(5) }, root, { ...sound }, false, []));
    const leaf = party(tag, given.commonName, given.leaf.organization, 4);
    const trusted = given.trusted === undefined ? 0 : Math.min(given.trusted + 1, ders.length - 1);
    return {
      leaf: certify(leaf, issuer, given.leaf, true, altNamesOf(given.names)),
      intermediates: [...extra, ...ders.filter((_, index) => index !== trusted && index !== 0)],
      anchors: [ders[trusted] as Buffer],
    };
  };
}

const sound: CertificateSpec = {
  validity: 'now',
  authority: 'yes',
  pathLength: undefined,
  usage: 'sign',
  purposes: 'none',
  constraints: undefined,
  unknownCritical: false,
  signer: 'issuer',
  keyIdentifier: 'right',
  policy: undefined,
  organization: 'Acme',
};

function altNamesOf({ dns, ip, email, uri }: Hierarchy['names']): GeneralNameInput[] {
  return [
    ...dns.map((value) => ({ kind: 'dns' as const, value })),
    ...ip.map((value) => ({ kind: 'ip' as const, bytes: octets(value) })),
    ...email.map((value) => ({ kind: 'email' as const, value })),
    ...uri.map((value) => ({ kind: 'uri' as const, value })),
  ];
}

function octets(address: string): Uint8Array {
  return Uint8Array.from(address.split('.').map(Number));
}

const purposeOids = { server: oids.serverAuth, client: oids.clientAuth, any: oids.anyExtendedKeyUsage };

function extensionsOf(
  spec: CertificateSpec,
  isLeaf: boolean,
  altNames: GeneralNameInput[],
  own: Uint8Array | undefined,
  issuer: Uint8Array | undefined,
): Buffer[] {
  const { policy, constraints } = spec;
  const isAuthority = spec.authority === 'yes' && !isLeaf;
  const extensions: (Buffer | undefined)[] = [
    own && encodeExtension('subject_key_identifier', own),
    issuer && encodeExtension('authority_key_identifier', { keyIdentifier: issuer }),
    spec.authority === 'unsaid' || isLeaf
      ? undefined
      : encodeExtension('basic_constraints', isAuthority ? { ca: true, pathLength: spec.pathLength } : { ca: false }),
    usageOf(spec, isLeaf),
    purposesOf(spec),
    altNames.length === 0 ? undefined : encodeExtension('subject_alt_name', altNames),
    constraints && constraintsOf(constraints, isLeaf),
    spec.unknownCritical ? encodeRawExtension('1.3.6.1.4.1.99999.1', true, Buffer.from([5, 0])) : undefined,
    ...(policy === undefined ? [] : policiesOf(policy, isLeaf)),
  ];
  return extensions.filter((extension) => extension !== undefined);
}

function usageOf({ usage }: CertificateSpec, isLeaf: boolean): Buffer | undefined {
  if (usage === 'none') return undefined;
  if (isLeaf) return encodeExtension('key_usage', usage === 'sign' ? ['digital_signature'] : ['key_agreement']);
  return encodeExtension('key_usage', usage === 'sign' ? ['key_cert_sign', 'crl_sign'] : ['digital_signature']);
}

function purposesOf({ purposes }: CertificateSpec): Buffer | undefined {
  if (purposes === 'none') return undefined;
  const list = purposes.split('+').map((name) => purposeOids[name as keyof typeof purposeOids]);
  return encodeExtension('extended_key_usage', list);
}

function constraintsOf(
  { permitted, excluded }: NonNullable<CertificateSpec['constraints']>,
  isLeaf: boolean,
): Buffer | undefined {
  if (isLeaf || permitted.length + excluded.length === 0) return undefined;
  const given = {
    ...(permitted.length > 0 ? { permitted: permitted.map(subtreeOf) } : {}),
    ...(excluded.length > 0 ? { excluded: excluded.map(subtreeOf) } : {}),
  };
  return encodeExtension('name_constraints', given as unknown as NameConstraintsInput);
}

function subtreeOf(text: string): unknown {
  const colon = text.indexOf(':');
  const [kind, value] = [text.slice(0, colon), text.slice(colon + 1)];
  if (kind === 'directory') return { kind, name: { der: encodeName([{ type: 'organization', value }]) } };
  if (kind !== 'ip') return { kind, value };
  const [address = '', prefix] = value.split('/');
  return { kind: 'range', bytes: octets(address), prefix: Number(prefix) };
}

function policyOid(name: string): string {
  return name === 'any' ? oids.anyPolicy : (policies[Number(name)] as string);
}

function policiesOf(policy: NonNullable<CertificateSpec['policy']>, isLeaf: boolean): (Buffer | undefined)[] {
  const { mapping, explicit, inhibitMapping, inhibitAny } = policy;
  const constrained = explicit !== undefined || inhibitMapping !== undefined;
  const list = policy.policies.map((name) => ({ oid: policyOid(name) }));
  return [
    list.length === 0 ? undefined : encodeExtension('certificate_policies', list),
    mapping === undefined || isLeaf
      ? undefined
      : encodeExtension('policy_mappings', [
          { issuerDomainPolicy: policyOid(mapping[0]), subjectDomainPolicy: policyOid(mapping[1]) },
        ]),
    constrained
      ? encodeExtension('policy_constraints', { requireExplicitPolicy: explicit, inhibitPolicyMapping: inhibitMapping })
      : undefined,
    inhibitAny === undefined || isLeaf ? undefined : encodeExtension('inhibit_any_policy', inhibitAny),
  ];
}
