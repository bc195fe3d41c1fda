import type { KeyType } from '#pki/x509/algorithm.ts';
import type { Identifier } from './identifier/identifier.ts';
import type { ChainConstraints, NameAttribute } from './identifier/name-constraints.ts';
import type { LeafKeyUsage } from './key-purpose.ts';

/** What the rules of issuance look at, and what they answer. Times are milliseconds, durations seconds. */

/** The names of one source as they came: nothing is trimmed, folded or dropped before the rules have seen it. */
export interface AskedNames {
  readonly dns: readonly string[];
  readonly ip: readonly string[];
  readonly uri: readonly string[];
  readonly email: readonly string[];
}

/**
 * What a CSR asks for. Its names stand beside those of the parameters and are judged alike; of its extensions and of
 * the rest of its subject nothing is taken.
 */
export interface CsrRequest extends AskedNames {
  /** Every CN of the subject. E-mail addresses of the subject belong to `email`. */
  readonly commonNames: readonly string[];
  /** Names of kinds that are never issued, described: `otherName 1.3.6.1.4.1.311.20.2.3`. */
  readonly unsupported: readonly string[];
  /** Null when the key is of none of our types. */
  readonly keyType: KeyType | null;
  /** For messages: `RSA 1024`. */
  readonly keyLabel: string;
  /** Why the key must not be certified (known weakness, blocked), going on from "the key": `has the exponent 3`. */
  readonly weakness?: string | undefined;
}

export interface IssuanceRequest extends AskedNames {
  readonly commonName?: string | undefined;
  /** Seconds. */
  readonly ttl?: number | undefined;
  /** Milliseconds; instead of `ttl`. */
  readonly notAfter?: number | undefined;
  /** Type of the key to be made; only without a CSR. */
  readonly keyType?: KeyType | undefined;
  readonly csr?: CsrRequest | undefined;
}

/** What the rules need to know of the authority that would sign. */
export interface AuthorityFacts {
  readonly name: string;
  /** Whether it has an issuer that signs. */
  readonly active: boolean;
  /** Milliseconds. Of its certificate, or of the narrowest in its chain. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Of every certificate of the chain that has some, the trust anchor included. */
  readonly nameConstraints: readonly ChainConstraints[];
  /** OIDs that the chain leaves, where its certificates have extended key usages (OpenSSL, Go and Windows nest them). */
  readonly extendedKeyUsages?: readonly string[] | undefined;
}

/** The names of the rules. Those of fields of a role are called like the field. */
export type Rule =
  | 'allow_bare_domains'
  | 'allow_subdomains'
  | 'allow_wildcards'
  | 'allowed_common_names'
  | 'allowed_domains'
  | 'allowed_emails'
  | 'allowed_ip_ranges'
  | 'allowed_uris'
  | 'authority_extended_key_usages'
  | 'authority_not_after'
  | 'authority_state'
  | 'common_name'
  | 'key_strength'
  | 'key_types'
  | 'max_names'
  | 'max_per_hour'
  | 'max_ttl'
  | 'max_valid'
  | 'name_constraints'
  | 'name_kinds'
  | 'name_syntax'
  | 'names'
  | 'not_after'
  | 'policy_max_ttl'
  | 'policy_not_after'
  | 'require_common_name'
  | 'require_csr'
  | 'short_lived'
  | 'web_pki';

/** One rule that refuses one part of a request. All texts are printable ASCII as far as they come from outside. */
export interface Refusal {
  readonly rule: Rule;
  /** JSON pointer into the request; `/csr` for whatever the CSR holds. */
  readonly at: string;
  readonly found: string;
  readonly allowed: string;
  /** One sentence. */
  readonly message: string;
}

/** Something that was not asked for exactly and came out smaller or elsewhere than the default. */
export interface Adjustment {
  readonly rule: Rule;
  readonly at: string;
  /** One sentence. */
  readonly message: string;
}

/** Everything that will be in the certificate beside key, serial number and what is the authority's. */
export interface CertificateProfile {
  readonly role: string;
  readonly authority: string;
  readonly keyType: KeyType;
  /** In the order of the certificate: country, province, locality, organization, organizational_unit, common_name. */
  readonly subject: readonly NameAttribute[];
  /** Without duplicates; sorted by kind (dns, ip, uri, email), then by value. */
  readonly names: readonly Identifier[];
  /** RFC 5280 §4.2.1.6: critical when the subject is empty. */
  readonly namesCritical: boolean;
  /** Milliseconds, whole seconds. */
  readonly notBefore: number;
  /** Milliseconds, whole seconds; the last second that is valid (RFC 5280 §4.1.2.5). */
  readonly notAfter: number;
  readonly keyUsages: readonly LeafKeyUsage[];
  /** OIDs. */
  readonly extendedKeyUsages: readonly string[];
  readonly extendedKeyUsageCritical: boolean;
  /** OIDs. */
  readonly policyOids: readonly string[];
  /** Which of the authority's addresses are written: CRL distribution point, OCSP and caIssuers of the AIA. */
  readonly urls: { readonly crl: boolean; readonly ocsp: boolean; readonly caIssuers: boolean };
  /** The Baseline Requirements advise against it in certificates of subscribers (§7.1.2.7.6). */
  readonly subjectKeyIdentifier: boolean;
}

export type Ruling =
  | { readonly allowed: true; readonly profile: CertificateProfile; readonly adjustments: readonly Adjustment[] }
  | { readonly allowed: false; readonly refusals: readonly Refusal[] };
