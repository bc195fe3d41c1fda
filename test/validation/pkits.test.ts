import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { extensionValue } from '#engines/pki/x509/extension.ts';
import { nameKey } from '#engines/pki/x509/name.ts';
import { readCrls } from '#engines/pki/validation/crl-check.ts';
import { parseCertificate } from '#engines/pki/validation/parsed-certificate.ts';
import { validateCertificate } from '#engines/pki/validation/validate.ts';
import { type PkitsVector, pkitsVectors } from './pkits-vectors.ts';
import { vectorsFolder } from './vectors-folder.ts';

/**
 * NIST PKITS, in the profile rfc5280 and with every revocation known for certain. The suite gives paths; here they are
 * found: the validator is handed all certificates and CRLs that have to do with the names above the certificate.
 */

const folder = join(vectorsFolder(), 'x509/PKITS_data');
const at = Date.UTC(2026, 5, 1);

interface Item {
  readonly der: Buffer;
  readonly subject: string;
  readonly issuer: string;
  /** Names of others that issue CRLs for it. */
  readonly crlIssuers: readonly string[];
}

function readFolder(name: string): Map<string, Buffer> {
  const path = join(folder, name);
  return new Map(readdirSync(path).map((file) => [file.replace(/\.\w+$/, ''), readFileSync(join(path, file))]));
}

/** A certificate that cannot be read, as one of the suite, has no names to go by. */
function describe(der: Buffer): Item {
  const parsed = parseCertificate(der);
  if ('reason' in parsed) return { der, subject: '', issuer: '', crlIssuers: [] };
  const { subject, issuer, extensions } = parsed.certificate;
  const points = extensionValue(extensions, 'crl_distribution_points') ?? [];
  const crlIssuers = points
    .flatMap((point) => point.crlIssuer ?? [])
    .flatMap((name) => (name.kind === 'directory' ? [nameKey(name.name)] : []));
  return { der, subject: nameKey(subject), issuer: nameKey(issuer), crlIssuers };
}

const certificates = new Map([...readFolder('certs')].map(([name, der]) => [name, describe(der)]));
const crls = [...readFolder('crls').values()].flatMap((der) =>
  readCrls([der]).lists.map(({ issuer }) => ({ der, issuer: nameKey(issuer) })),
);
const anchor = certificates.get('TrustAnchorRootCertificate') as Item;

/** What a directory would give for the names above a certificate. */
function related(leaf: Item) {
  const names = new Set([leaf.issuer, ...leaf.crlIssuers]);
  const found = new Set<Item>();
  for (const name of names)
    for (const item of certificates.values())
      if (item.subject === name && item !== anchor) {
        found.add(item);
        names.add(item.issuer);
        for (const other of item.crlIssuers) names.add(other);
      }
  return { intermediates: [...found], lists: crls.filter(({ issuer }) => names.has(issuer)) };
}

async function judge(vector: PkitsVector) {
  const leaf = certificates.get(vector.leaf);
  assert.ok(leaf, vector.leaf);
  const { intermediates, lists } = related(leaf);
  return validateCertificate({
    leaf: leaf.der,
    intermediates: intermediates.map(({ der }) => der),
    anchors: [anchor.der],
    crls: lists.map(({ der }) => der),
    at,
    profile: 'rfc5280',
    policies: vector,
    checkRevocation: 'hard',
  });
}

/**
 * 4.1.4 and 4.1.5: DSA of 1024 bits with SHA-1. 4.14.30: nothing but a CRL issuer's own CRL says that its certificate is
 * not revoked. Both are refused by choice (docs/divergences.md).
 */
const rejected = ['4.1.4', '4.1.5', '4.14.30'];

test('NIST PKITS is decided as its document says, but for DSA and a CRL that vouches for its own signer', async (context) => {
  const falseAccepts: string[] = [];
  const falseRejects: string[] = [];
  for (const vector of pkitsVectors) {
    const { valid, reasons } = await judge(vector);
    if (valid && !vector.valid) falseAccepts.push(vector.id);
    if (valid || !vector.valid) continue;
    falseRejects.push(vector.id);
    context.diagnostic(`${vector.id} rejected: ${reasons.map(({ code, found }) => `${code}: ${found}`).join('; ')}`);
  }
  const right = pkitsVectors.length - falseAccepts.length - falseRejects.length;
  context.diagnostic(
    `${right} of ${pkitsVectors.length} right, ${falseAccepts.length} false accepts, ${falseRejects.length} false rejects`,
  );
  assert.equal(pkitsVectors.length, 249);
  assert.deepEqual(falseAccepts, []);
  assert.deepEqual(falseRejects, rejected);
});
