/** Which rules a certification path must keep. */
export type Profile =
  /** RFC 5280 §6.1: what every path must satisfy, for private and public authorities alike. */
  | 'rfc5280'
  /** Beside that what RFC 5280 §4 demands of conforming authorities, and the Baseline Requirements (CA/Browser Forum). */
  | 'web_pki';

export const findingCodes = [
  'malformed_certificate',
  'malformed_extension',
  'malformed_key',
  'not_yet_valid',
  'expired',
  'unknown_critical_extension',
  'signature_algorithm_mismatch',
  'signature_algorithm_unknown',
  'weak_signature_algorithm',
  'weak_key',
  'signature_invalid',
  'issuer_not_found',
  'not_a_ca',
  'key_usage',
  'extended_key_usage',
  'path_length',
  'path_depth',
  'name_not_permitted',
  'name_excluded',
  'name_constraint_unsupported',
  'name_constraint_malformed',
  'policy',
  'name_mismatch',
  'revoked',
  'on_hold',
  'revocation_unknown',
  'profile',
  'work_limit',
] as const;
export type FindingCode = (typeof findingCodes)[number];

/** One rule that a certificate breaks, told so that its owner can mend it. */
export interface Finding {
  readonly code: FindingCode;
  /** What stands there. */
  readonly found: string;
  /** What the rule allows. */
  readonly expected: string;
  /** Where the rule is written: `RFC 5280 §4.2.1.9`. */
  readonly section: string;
  /** The next step that would help. */
  readonly fix: string;
}

/** A finding with the place of its certificate in the path; 0 is the leaf. */
export interface LocatedFinding extends Finding {
  readonly index: number;
}

export function finding(code: FindingCode, found: string, expected: string, section: string, fix: string): Finding {
  return { code, found, expected, section, fix };
}

/** Findings of the certificate at `index`. */
export function locate(index: number, findings: readonly Finding[]): LocatedFinding[] {
  return findings.map((each) => ({ ...each, index }));
}
