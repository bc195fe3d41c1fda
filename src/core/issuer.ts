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
  /** Every rule that refuses an order, and how long a certificate would live that none refuses. Nothing is issued. */
  plan(order: CertificateOrder): Promise<CertificatePlan>;
  /**
   * When the role of this name was made, in milliseconds; undefined: there is none. What was given out for an earlier one
   * of the name is not good for this. Leaves no trace in the audit.
   */
  roleSince(namespace: string, role: string): Promise<number | undefined>;
  /** The authority that signs for a role; undefined: there is no such role. Leaves no trace in the audit. */
  authorityOf(namespace: string, role: string): Promise<string | undefined>;
  /** What became of a certificate; undefined: there is none. Leaves no trace in the audit. */
  statusOf(namespace: string, serialNumber: string): Promise<CertificateStatus | undefined>;
  /**
   * Other chains under which a certificate of a role may be presented, from cross-certificates: each PEM, nearest first,
   * without the certificate itself. Leaves no trace in the audit.
   */
  alternateChains(namespace: string, chain: readonly string[]): Promise<readonly (readonly string[])[]>;
  /** Reads PKCS#10 in DER and verifies its signature. Throws `invalid_request`, or `refused` for a weak key. */
  readRequest(der: Uint8Array): CertificateRequestFacts;
  /** Reads a certificate in DER. Throws `invalid_request` for what is none. */
  readCertificate(der: Uint8Array): CertificateFacts;
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
  /**
   * Whose it is in the inventory: a principal of the namespace, or another name that says plainly who it is. Whether they
   * may have it, whoever orders has asked. Absent: the job that issues.
   */
  readonly principal?: string | undefined;
  /**
   * Names the order: the same order, asked for again within a day, gets the certificate that it got before. Without it
   * each call issues.
   */
  readonly orderId?: string | undefined;
}

export interface CertificatePlan {
  /** Empty: it would be issued. */
  readonly refusals: readonly OrderRefusal[];
  /** One sentence. */
  readonly advice: string;
  /** Milliseconds; undefined when it is refused. */
  readonly notAfter: number | undefined;
}

export interface OrderRefusal {
  /** The rule of the role or authority: `allow_subdomains`, `key_types`, `max_per_hour`. */
  readonly rule: string;
  /** Which part of the order: the name that it is about, where it is about one. */
  readonly name: string | undefined;
  readonly message: string;
}

export type CertificateStatus = 'valid' | 'held' | 'revoked';

export interface CertificateRequestFacts {
  /** As they stand in the subjectAltName. */
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  /** How many alternative names of other kinds it asks for. */
  readonly otherNames: number;
  readonly commonNames: readonly string[];
  /** Names of the extensions beside subjectAltName that it asks for: `basicConstraints`, or dotted. */
  readonly otherExtensions: readonly string[];
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
}

export interface CertificateFacts {
  /** Lower-case hex. */
  readonly serialNumber: string;
  /** Content octets of the INTEGER. */
  readonly serialOctets: Uint8Array;
  /** keyIdentifier of the authority key identifier; undefined when there is none. */
  readonly authorityKeyId: Uint8Array | undefined;
  /** Milliseconds. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
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
