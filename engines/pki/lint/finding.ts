/** What the linters say. Their rules are in the other files of this folder, one small function each. */

/** What a certificate is for; it decides which rules hold. */
export type LintKind = 'leaf' | 'authority' | 'ocsp_signer';

/** `web_pki` adds the Baseline Requirements for publicly trusted TLS certificates (version 2.1.9) to RFC 5280. */
export type LintProfile = 'rfc5280' | 'web_pki';

export interface LintOptions {
  readonly kind: LintKind;
  readonly profile: LintProfile;
}

/** One demand of a standard that is not met. */
export interface Finding {
  /** Names the rule: `serial_too_long`. Stable: clients may depend on it. */
  readonly code: string;
  /** `error` for what the standard says must be, `warning` for what it says should be. */
  readonly severity: 'error' | 'warning';
  /** `RFC 5280 §4.1.2.2`. */
  readonly section: string;
  /** Part of a sentence, without final full stop: `the serial number is negative`. */
  readonly message: string;
}
