/**
 * Certificates for engines that are not a PKI: clients of a database, subscribers of an ACME server. Whoever implements
 * it (src/issuer.ts) goes through dispatch, so that policy, limits and audit hold as for everybody else; the rules of the
 * PKI role decide, and what it refuses is thrown as it is told to any requester.
 */
export interface Issuer {
  /**
   * Throws `not_found`, `refused`, `rate_limited` and what else `pki.issue_certificate` throws; then nothing was issued.
   * After another error the certificate may be on record, and is found by what was ordered.
   */
  issue(order: CertificateOrder): Promise<IssuedCertificate>;
  /** Throws what `issue` would refuse. Nothing is issued. */
  check(order: CertificateOrder): Promise<void>;
  /** Revokes what is valid of these; how many that were. Idempotent. */
  revoke(namespace: string, which: CertificateChoice, reason: RevocationReason): Promise<number>;
  /** What relying parties must trust: the certificates of the authority of a role, PEM, the root last. */
  chainOf(namespace: string, role: string): Promise<readonly string[]>;
}

/**
 * What the certificate shall hold: these names and no others. A CSR brings the key; a name in it that is not ordered is
 * refused, since whoever made it may be less trusted than whoever orders.
 */
export interface CertificateOrder {
  readonly namespace: string;
  /** The role of the PKI that says what may be issued. */
  readonly role: string;
  readonly commonName?: string | undefined;
  readonly dnsNames?: readonly string[] | undefined;
  readonly ipAddresses?: readonly string[] | undefined;
  /** Milliseconds, cut to whole seconds, so that it never ends later; absent: the default life of the role. */
  readonly notAfter?: number | undefined;
  /** PKCS#10, PEM; absent: a key is made. */
  readonly csr?: string | undefined;
  /** For what and for whom, for the audit and the inventory; at most 200 characters. */
  readonly purpose: string;
}

export interface IssuedCertificate {
  /** Lower-case hex. */
  readonly serialNumber: string;
  /** PEM. */
  readonly certificate: string;
  /** Certificates above it, PEM, nearest first. */
  readonly chain: readonly string[];
  /** PKCS#8, PEM; absent when a CSR brought the key. */
  readonly privateKey: string | undefined;
  /** Names of subject and issuer, RFC 4514. */
  readonly subject: string;
  readonly issuer: string;
  /** Milliseconds. */
  readonly notAfter: number;
}

/** One certificate, or all of a role that hold a common name: what was issued just before a crash is found by it. */
export type CertificateChoice =
  | { readonly serialNumber: string }
  | { readonly role: string; readonly commonName: string };

/** RFC 5280 §5.3.1: those for which a certificate that was issued for somebody else is taken back. */
export type RevocationReason =
  | 'unspecified'
  | 'key_compromise'
  | 'affiliation_changed'
  | 'superseded'
  | 'cessation_of_operation'
  | 'privilege_withdrawn';
