/** CRLReason (RFC 5280 §5.3.1) by the names that the API uses; the number is the ENUMERATED value. */
export const crlReasons = {
  unspecified: 0,
  key_compromise: 1,
  ca_compromise: 2,
  affiliation_changed: 3,
  superseded: 4,
  cessation_of_operation: 5,
  certificate_hold: 6,
  /** Only in delta CRLs: a hold was released, or the certificate has expired. */
  remove_from_crl: 8,
  privilege_withdrawn: 9,
  aa_compromise: 10,
} as const;
export type CrlReason = keyof typeof crlReasons;

const names = new Map<number, CrlReason>(Object.entries(crlReasons).map(([name, code]) => [code, name as CrlReason]));

/** The name of an ENUMERATED value; undefined for 7 and for what lies above 10, which are no reasons. */
export function crlReasonOf(code: number): CrlReason | undefined {
  return names.get(code);
}
