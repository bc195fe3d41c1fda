import { readDer } from '#pki/asn1/reader.ts';
import { decodeCertificate } from '#pki/x509/certificate.ts';
import { assembleCertificate } from '#pki/x509/certificate.ts';

export type LintKind = 'leaf' | 'authority' | 'ocsp_signer';

export interface Finding {
  readonly code: string;
  readonly severity: 'error' | 'warning';
  /** `RFC 5280 §4.1.2.2`. */
  readonly section: string;
  readonly message: string;
}

export interface LintOptions {
  readonly kind: LintKind;
  readonly profile: 'rfc5280' | 'web_pki';
}

const anyAlgorithm = Buffer.from('300a06082a8648ce3d040302', 'hex');

/** Findings for a TBSCertificate, DER. */
export function lintCertificate(tbs: Uint8Array, _options: LintOptions): Finding[] {
  readDer(tbs, 65_536, (reader) => reader.skip());
  const certificate = decodeCertificate(assembleCertificate(tbs, anyAlgorithm, Buffer.alloc(8)));
  const findings: Finding[] = [];
  if (certificate.version !== 3)
    findings.push({
      code: 'version',
      severity: 'error',
      section: 'RFC 5280 §4.1.2.1',
      message: 'the version is not 3',
    });
  if (certificate.notBefore > certificate.notAfter)
    findings.push({
      code: 'validity',
      severity: 'error',
      section: 'RFC 5280 §4.1.2.5',
      message: 'validity ends before it begins',
    });
  return findings;
}
