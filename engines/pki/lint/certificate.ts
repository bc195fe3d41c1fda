import { DerError } from '#pki/asn1/der-error.ts';
import { type DerReader, readDer } from '#pki/asn1/reader.ts';
import { tag } from '#pki/asn1/tag.ts';
import { certificateRules } from './certificate-rules.ts';
import {
  type AlgorithmView,
  type CertificateView,
  readAlgorithmView,
  readCertificateView,
} from './certificate-view.ts';
import type { Finding, LintOptions } from './finding.ts';
import { judge } from './rule.ts';

export type { Finding, LintKind, LintOptions, LintProfile } from './finding.ts';

/**
 * What is wrong with a TBSCertificate, DER: what RFC 5280 §4 demands of every certificate of its kind, and with the
 * profile `web_pki` what the Baseline Requirements demand as well. The bytes are read once, strictly, and without
 * regard to what they were made from. At most 65,536 octets are read. Never throws.
 */
export function lintCertificate(tbs: Uint8Array, options: LintOptions): Finding[] {
  const view = readCertificateView(tbs);
  return 'severity' in view ? [view] : judgeCertificate(view, options);
}

/** As `lintCertificate`, of a TBSCertificate that has been read already. */
export function judgeCertificate(view: CertificateView, options: LintOptions): Finding[] {
  const findings = [...view.malformed];
  judge(certificateRules(options), view, findings);
  return findings;
}

/** As `lintCertificate`, of a whole certificate, DER; the signature itself is not verified. */
export function lintSignedCertificate(der: Uint8Array, options: LintOptions): Finding[] {
  const signed = readSigned(der);
  if ('severity' in signed) return [signed];
  const view = readCertificateView(signed.tbs);
  if ('severity' in view) return [view];
  const findings = judgeCertificate(view, options);
  if (!isSameAlgorithm(view.signature, signed.algorithm)) findings.push(otherAlgorithm);
  return findings;
}

const otherAlgorithm: Finding = Object.freeze({
  code: 'signature_algorithm_differs',
  severity: 'error',
  section: 'RFC 5280 §4.1.1.2',
  message: 'the signature algorithm is not the one that is signed',
});

function isSameAlgorithm(left: AlgorithmView, right: AlgorithmView): boolean {
  if (left.oid !== right.oid) return false;
  if (left.parameters === undefined || right.parameters === undefined) return left.parameters === right.parameters;
  return left.parameters.equals(right.parameters);
}

/** What stands in the signed part of a certificate, DER, or why it cannot be read. */
export function readSignedCertificateView(der: Uint8Array): CertificateView | Finding {
  const signed = readSigned(der);
  return 'severity' in signed ? signed : readCertificateView(signed.tbs);
}

interface Signed {
  readonly tbs: Buffer;
  readonly algorithm: AlgorithmView;
}

const maxBytes = 98_304;

function readSigned(der: Uint8Array): Signed | Finding {
  try {
    return readDer(der, maxBytes, (reader) => reader.readSequence(readSignedFields));
  } catch (thrown) {
    if (!(thrown instanceof DerError)) throw thrown;
    const message = `the certificate cannot be read as DER: ${thrown.reason}`;
    return { code: 'malformed_certificate', severity: 'error', section: 'RFC 5280 §4.1.1', message };
  }
}

function readSignedFields(reader: DerReader): Signed {
  const start = reader.offset;
  reader.readOctetString(tag.sequence);
  const tbs = reader.since(start);
  const algorithm = readAlgorithmView(reader);
  reader.readOctetBitString();
  return { tbs, algorithm };
}
