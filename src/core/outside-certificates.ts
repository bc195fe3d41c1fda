/**
 * Certificates that other authorities issued for us, as the inventory of the PKI shows them beside its own: implemented by
 * the engine that obtained them. Only read; what is done with them is done there.
 */
export interface OutsideCertificates {
  /** Newest first, by id. */
  newest(query: OutsideQuery): Promise<readonly OutsideCertificate[]>;
  /** Valid ones that end within a time, soonest first, then by id. */
  ending(query: EndingQuery): Promise<readonly OutsideCertificate[]>;
}

export interface OutsideQuery {
  readonly namespace: string;
  /** Milliseconds. */
  readonly now: number;
  readonly limit: number;
  /** Ids below this one only. */
  readonly below?: string | undefined;
  readonly principal?: string | undefined;
  /** `dns:a.example`, `ip:10.0.0.1`. */
  readonly name?: string | undefined;
  /** Of the SubjectPublicKeyInfo, hex. */
  readonly keySha256?: string | undefined;
  readonly status?: 'valid' | 'revoked' | 'expired' | undefined;
  /** Valid now and ending before this time, in milliseconds. */
  readonly endsBefore?: number | undefined;
}

export interface EndingQuery {
  readonly namespace: string;
  readonly now: number;
  readonly limit: number;
  /** Milliseconds. */
  readonly before: number;
  /** End and id of the last one that was shown. */
  readonly after?: readonly [end: number, id: string] | undefined;
}

export interface OutsideCertificate {
  readonly id: string;
  /** Lower-case hex, as its authority chose it: unique there only. */
  readonly serialNumber: string;
  /** By which account it was obtained. */
  readonly account: string;
  readonly principal: string;
  readonly purpose: string | null;
  /** RFC 4514. */
  readonly subject: string;
  /** `dns:a.example`, `ip:10.0.0.1`. */
  readonly names: readonly string[];
  readonly keySha256: string;
  /** Milliseconds. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly issuedAt: number;
  readonly revokedAt: number | null;
  readonly revocationReason: string | null;
  /** Why it is not renewed; null when nothing is known to be in the way, or nobody wants it renewed. */
  readonly renewalError: string | null;
}
