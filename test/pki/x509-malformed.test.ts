import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { AppError } from '#core/errors.ts';
import { DerError } from '#pki/asn1/der-error.ts';
import * as write from '#pki/asn1/writer.ts';
import { reasonFlags } from '#pki/x509/access-extensions.ts';
import { describeSignatureAlgorithm, sign, signatureAlgorithmOf } from '#pki/x509/algorithm.ts';
import { assembleCertificate, decodeCertificate, encodeTbsCertificate } from '#pki/x509/certificate.ts';
import { encodeExtension, extensionKindOf, extensionValue } from '#pki/x509/extension.ts';
import { formatGeneralName } from '#pki/x509/general-name.ts';
import { generateKeyPair } from '#pki/x509/key.ts';
import { encodeName, formatName, nameKey } from '#pki/x509/name.ts';
import { oids } from '#pki/x509/oid.ts';
import { decodeRequest, encodeRequest } from '#pki/x509/request.ts';
import { decodeSpki, importPublicKey } from '#pki/x509/spki.ts';
import { type DerTree, definiteLength, elementsOf, encodeTree, parseTree, type WriteLength } from './asn1-tree.ts';

/** Everything that can be asked of a certificate from outside. */
function readEverything(der: Uint8Array): void {
  const certificate = decodeCertificate(der);
  for (const name of [certificate.subject, certificate.issuer]) {
    formatName(name);
    nameKey(name);
  }
  for (const dotted of certificate.extensions.keys()) {
    const kind = extensionKindOf(dotted);
    if (kind !== undefined) extensionValue(certificate.extensions, kind);
  }
  extensionValue(certificate.extensions, 'subject_alt_name')?.forEach(formatGeneralName);
  importPublicKey(decodeSpki(certificate.spki));
  if (describeSignatureAlgorithm(certificate.signatureAlgorithm) === undefined) throw unknownAlgorithm;
  if (!certificate.tbsSignature.der.equals(certificate.signatureAlgorithm.der)) throw unknownAlgorithm;
}

const unknownAlgorithm = new AppError('refused', 'The signature algorithm is not known.');

/** How reading ends: anything but these three fails the test. */
function outcome(read: (der: Uint8Array) => unknown, der: Uint8Array): 'read' | 'malformed' | 'refused' {
  try {
    read(der);
    return 'read';
  } catch (error) {
    if (error instanceof DerError) {
      assert.ok(error.offset >= 0 && error.offset <= der.length);
      return 'malformed';
    }
    if (error instanceof AppError) return 'refused';
    throw error;
  }
}

let certificate: Buffer;
let request: Buffer;
before(async () => {
  const { privateKey, spki } = await generateKeyPair('ec-p256');
  const subject = encodeName([
    { type: 'country', value: 'DE' },
    { type: 'organization', value: 'Größe' },
    { type: 'email_address', value: 'a@b.example' },
    { type: 'common_name', value: 'a.example' },
  ]);
  const uri = { kind: 'uri', value: 'http://a.example/x' } as const;
  const names = [
    { kind: 'dns', value: 'a.example' },
    uri,
    { kind: 'email', value: 'a@b.example' },
    { kind: 'ip', bytes: Buffer.alloc(16, 1) },
    { kind: 'directory', name: { der: subject } },
    { kind: 'registered_id', value: '1.2.3' },
    { kind: 'upn', value: 'ü@b.example' },
  ] as const;
  const range = { kind: 'range', bytes: Buffer.of(10, 0, 0, 0), prefix: 8 } as const;
  const signatureAlgorithm = signatureAlgorithmOf('ec-p256');
  const tbs = encodeTbsCertificate({
    serialNumber: '7f'.repeat(20),
    signatureAlgorithm,
    issuer: subject,
    notBefore: Date.UTC(2026, 0, 1),
    notAfter: Date.UTC(2051, 0, 1),
    subject,
    spki,
    extensions: [
      encodeExtension('basic_constraints', { ca: true, pathLength: 300 }),
      encodeExtension('key_usage', ['key_cert_sign', 'decipher_only']),
      encodeExtension('extended_key_usage', [oids.serverAuth, oids.clientAuth]),
      encodeExtension('subject_key_identifier', Buffer.alloc(20, 1)),
      encodeExtension('authority_key_identifier', {
        keyIdentifier: Buffer.alloc(20, 2),
        authorityCertIssuer: [{ kind: 'directory', name: { der: subject } }],
        authorityCertSerialNumber: 'ff',
      }),
      encodeExtension('subject_alt_name', names),
      encodeExtension('issuer_alt_name', [uri]),
      encodeExtension('name_constraints', { permitted: [names[0], range], excluded: [names[2], names[4]] }),
      encodeExtension('crl_distribution_points', [
        { fullName: [uri], reasons: reasonFlags.superseded, crlIssuer: [names[4]] },
      ]),
      encodeExtension('freshest_crl', [{ fullName: [uri] }]),
      encodeExtension('authority_info_access', [{ method: oids.accessOcsp, location: uri }]),
      encodeExtension('certificate_policies', [{ oid: '1.2.3', cps: 'http://a.example/', noticeText: 'ü' }]),
      encodeExtension('policy_mappings', [{ issuerDomainPolicy: '1.2.3', subjectDomainPolicy: '1.2.4' }]),
      encodeExtension('policy_constraints', { requireExplicitPolicy: 1, inhibitPolicyMapping: 2 }),
      encodeExtension('inhibit_any_policy', 3),
      encodeExtension('ocsp_no_check', true),
    ],
  });
  certificate = assembleCertificate(tbs, signatureAlgorithm, sign(privateKey, 'ec-p256', tbs));
  request = encodeRequest({ subject, names, keyType: 'ec-p256', spki, privateKey });
  assert.equal(outcome(readEverything, certificate), 'read');
  assert.equal(outcome(decodeRequest, request), 'read');
});

/** Runs over both kinds of input. */
function forBoth(check: (der: Buffer, read: (der: Uint8Array) => unknown) => void): void {
  check(certificate, readEverything);
  check(request, decodeRequest);
}

/** The input once for each element, that element written with another length encoding, all around it sound. */
function withLength(der: Buffer, lengthOf: (tree: DerTree) => WriteLength): Buffer[] {
  return elementsOf(parseTree(der)).map((_, index) => {
    const tree = parseTree(der);
    const target = elementsOf(tree)[index];
    return encodeTree(tree, (each) => (each === target ? lengthOf(each) : definiteLength));
  });
}

test('the length of any element, one too long or too short, is malformed', () => {
  forBoth((der, read) => {
    for (const shift of [-1, 1]) {
      const broken = withLength(der, () => (length) => definiteLength(Math.max(0, length + shift)));
      for (const each of broken)
        if (!each.equals(der)) assert.notEqual(outcome(read, each), 'read', each.toString('hex'));
    }
  });
});

test('an indefinite or needlessly long length of any element is malformed', () => {
  const forms: WriteLength[] = [
    () => Buffer.of(0x80),
    (length) => (length < 0x80 ? Buffer.of(0x81, length) : Buffer.of(0x83, 0, length >> 8, length & 0xff)),
    (length) => Buffer.of(0x84, 0, 0, length >> 8, length & 0xff),
    () => Buffer.of(0x84, 0xff, 0xff, 0xff, 0xff),
    () => Buffer.of(0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
  ];
  forBoth((der, read) => {
    for (const form of forms)
      for (const each of withLength(der, () => form))
        assert.equal(outcome(read, each), 'malformed', each.toString('hex'));
  });
});

/** The input once for each element, changed by `change`, all lengths around it made right again. */
function withChange(der: Buffer, change: (tree: DerTree, parent: DerTree | undefined) => boolean): Buffer[] {
  const changed: Buffer[] = [];
  for (let index = 0; index < elementsOf(parseTree(der)).length; index++) {
    const tree = parseTree(der);
    const all = elementsOf(tree);
    const target = all[index];
    if (target === undefined) continue;
    const parent = all.find((each) => each.children?.includes(target));
    if (change(target, parent)) changed.push(encodeTree(tree));
  }
  return changed;
}

test('an element more at the end of any structure is malformed', () => {
  forBoth((der, read) => {
    const padded = withChange(der, (tree) => {
      tree.children?.push({ tag: 0x05, children: undefined, content: Buffer.alloc(0) });
      return tree.children !== undefined;
    });
    for (const each of padded) assert.notEqual(outcome(read, each), 'read', each.toString('hex'));
    for (const tail of [Buffer.of(0), Buffer.of(0, 0), Buffer.of(0x30), der])
      assert.equal(outcome(read, Buffer.concat([der, tail])), 'malformed');
  });
});

test('any element emptied, removed, doubled, retagged or swapped gives a value or a malformed input, nothing else', () => {
  const changes: ((tree: DerTree, parent: DerTree | undefined) => boolean)[] = [
    (tree) => {
      tree.content = Buffer.alloc(0);
      if (tree.children) tree.children = [];
      return true;
    },
    (tree, parent) => {
      parent?.children?.splice(parent.children.indexOf(tree), 1);
      return parent !== undefined;
    },
    (tree, parent) => {
      parent?.children?.splice(parent.children.indexOf(tree), 0, tree);
      return parent !== undefined;
    },
    (tree) => {
      tree.children?.reverse();
      return (tree.children?.length ?? 0) > 1;
    },
    ...[
      0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x0c, 0x13, 0x17, 0x18, 0x1e, 0x30, 0x31, 0x80, 0x81, 0xa0, 0xa1, 0x1f,
      0xbf,
    ].map((octet) => (tree: DerTree) => {
      tree.tag = octet;
      return true;
    }),
    (tree) => {
      tree.content = Buffer.concat([tree.content, Buffer.from([0xff, 0xff])]);
      return true;
    },
    (tree) => {
      tree.content = Buffer.concat([Buffer.from([0x00]), tree.content]);
      return true;
    },
  ];
  forBoth((der, read) => {
    let malformed = 0;
    for (const change of changes)
      for (const each of withChange(der, change)) if (outcome(read, each) === 'malformed') malformed += 1;
    assert.ok(malformed > 500);
  });
});

test('the input cut off anywhere is malformed', () => {
  forBoth((der, read) => {
    for (let end = 0; end < der.length; end++) assert.equal(outcome(read, der.subarray(0, end)), 'malformed');
  });
});

test('every octet set to other values gives a value or a malformed input, nothing else', () => {
  for (let index = 0; index < certificate.length; index++) {
    for (const flip of [0x01, 0x20, 0x80, 0xff]) {
      const changed = Buffer.from(certificate);
      changed[index] = (changed[index] ?? 0) ^ flip;
      outcome(readEverything, changed);
    }
  }
  for (let index = 0; index < request.length; index++) {
    const changed = Buffer.from(request);
    changed[index] = (changed[index] ?? 0) ^ (1 << (index % 8));
    assert.notEqual(outcome(decodeRequest, changed), 'read');
  }
});

test('inputs made to cost time or memory are malformed', () => {
  const size = 65_000;
  const nested = (levels: number, tag: number) => {
    let der: Buffer = write.nullValue();
    for (let level = 0; level < levels; level++) der = write.element(tag, [der]);
    return der;
  };
  const inName = (der: Buffer) =>
    write.sequence([
      write.sequence([
        write.context(0, [write.integer(2)]),
        write.integer(1),
        write.sequence([write.oid('1.2.3'), der]),
      ]),
    ]);
  const bombs = [
    Buffer.alloc(size, 0x30),
    Buffer.alloc(size, Buffer.from([0x30, 0x80])),
    Buffer.alloc(size, Buffer.from([0x30, 0x84])),
    Buffer.alloc(size, 0x00),
    Buffer.alloc(size, 0xff),
    nested(10_000, 0x30),
    inName(nested(8000, 0x30)),
    inName(nested(8000, 0x31)),
    inName(nested(8000, 0xa0)),
    inName(write.element(0x30, [Buffer.alloc(60_000, Buffer.from([0x30, 0x00]))])),
    inName(write.element(0x31, [Buffer.alloc(60_000, Buffer.from([0x05, 0x00]))])),
    inName(write.element(0x06, [Buffer.alloc(60_000, 0x81)])),
    Buffer.alloc(10_000_000, 0x30),
  ];
  for (const bomb of bombs) {
    assert.equal(outcome(readEverything, bomb), 'malformed');
    assert.equal(outcome(decodeRequest, bomb), 'malformed');
  }
});

test('a certificate as large as allowed, full of names that grow when they are compared, is read', () => {
  const names = Array.from({ length: 100 }, () => ({ type: '1.2.3', value: '\ufdfa'.repeat(150) }));
  const subject = encodeName(names);
  const tree = parseTree(certificate);
  const fields = tree.children?.[0]?.children ?? [];
  fields.splice(5, 1, parseTree(subject));
  const der = encodeTree(tree);
  assert.ok(der.length > 45_000);
  const decoded = decodeCertificate(der);
  assert.equal(decoded.subject.rdns.length, 100);
  assert.equal(nameKey(decoded.subject).length > subject.length, true);
});
