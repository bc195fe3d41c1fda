import type { KeyObject } from 'node:crypto';
import { DerError } from '#pki/asn1/der-error.ts';
import { type AlgorithmIdentifier, describeSignatureAlgorithm, verify } from '#pki/x509/algorithm.ts';
import { oidName } from '#pki/x509/oid.ts';
import { importPublicKey } from '#pki/x509/spki.ts';
import type { Budget } from './budget.ts';
import { type Finding, finding } from './finding.ts';
import type { ParsedCertificate } from './parsed-certificate.ts';

/** Something signed: a certificate or a CRL. */
export interface Signed {
  readonly tbs: Buffer;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Buffer;
}

/** Verifies signatures within the budget; each pair of a signed thing and a key once. */
export interface SignatureVerifier {
  /** Whether the key of `issuer` made the signature; false also when the budget is spent. */
  verify(signed: Signed, issuer: ParsedCertificate): boolean;
}

export function createSignatureVerifier(budget: Budget): SignatureVerifier {
  const known = new WeakMap<Buffer, Map<string, boolean>>();
  return {
    verify(signed, issuer) {
      let verdicts = known.get(signed.tbs);
      if (verdicts === undefined) known.set(signed.tbs, (verdicts = new Map<string, boolean>()));
      const verdict = verdicts.get(issuer.spkiSha256);
      if (verdict !== undefined) return verdict;
      const key = keyOf(issuer);
      if (key !== undefined && !budget.take('signatureChecks')) return false;
      const isValid = key !== undefined && verify(key, signed.signatureAlgorithm, signed.tbs, signed.signature);
      verdicts.set(issuer.spkiSha256, isValid);
      return isValid;
    },
  };
}

/** Keys of issuers, by the SHA-256 of their SPKI: importing one takes half as long as verifying with it. */
const keys = new Map<string, KeyObject | undefined>();
const maxKeys = 256;

function keyOf(issuer: ParsedCertificate): KeyObject | undefined {
  if (keys.has(issuer.spkiSha256)) return keys.get(issuer.spkiSha256);
  const key = importKey(issuer);
  const [oldest] = keys.keys();
  if (keys.size >= maxKeys && oldest !== undefined) keys.delete(oldest);
  keys.set(issuer.spkiSha256, key);
  return key;
}

function importKey({ key }: ParsedCertificate): KeyObject | undefined {
  try {
    return key && importPublicKey(key);
  } catch (thrown) {
    if (thrown instanceof DerError) return undefined;
    throw thrown;
  }
}

/** Whether the algorithm of a signature may be relied on. A trust anchor's own signature is never looked at. */
export function signatureAlgorithmFindings(identifier: AlgorithmIdentifier): Finding[] {
  const section = 'RFC 5280 §4.1.1.2, RFC 9155, Baseline Requirements §7.1.3.2';
  const expected = 'RSA or ECDSA with SHA-256 or better, EdDSA, ML-DSA';
  const fix = 'Have the certificate reissued with a current algorithm.';
  const algorithm = describe(identifier);
  if (algorithm === undefined)
    return [finding('signature_algorithm_unknown', oidName(identifier.oid), expected, section, fix)];
  return algorithm.weak ? [finding('weak_signature_algorithm', algorithm.name, expected, section, fix)] : [];
}

function describe(identifier: AlgorithmIdentifier) {
  try {
    return describeSignatureAlgorithm(identifier);
  } catch (thrown) {
    if (thrown instanceof DerError) return undefined;
    throw thrown;
  }
}

export function signatureInvalid(subject: string): Finding {
  return finding(
    'signature_invalid',
    `a signature that the key of ${subject} did not make`,
    'a signature by the key of its issuer',
    'RFC 5280 §6.1.3 (a)(1)',
    'Give the certificate of the issuer that signed it; keys of issuers with one name may differ.',
  );
}
