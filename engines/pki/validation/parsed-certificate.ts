import { hash } from 'node:crypto';
import { DerError } from '#pki/asn1/der-error.ts';
import { type Certificate, decodeCertificate } from '#pki/x509/certificate.ts';
import { type ExtensionKind, type ExtensionValue, extensionKindOf, getExtension } from '#pki/x509/extension.ts';
import { nameKey } from '#pki/x509/name.ts';
import { oidName } from '#pki/x509/oid.ts';
import { decodeSpki, type PublicKeyInfo, spkiSha256 } from '#pki/x509/spki.ts';

/** An extension whose value could not be read. */
export interface MalformedExtension {
  readonly kind: ExtensionKind;
  readonly critical: boolean;
  readonly reason: string;
}

/** A certificate with everything that the rules ask for read once. */
export interface ParsedCertificate {
  readonly certificate: Certificate;
  /** SHA-256 of the certificate, hex: its identity. */
  readonly sha256: string;
  /** Undefined when the key could not be read; `keyFault` says why. */
  readonly key: PublicKeyInfo | undefined;
  readonly keyFault: string | undefined;
  readonly spkiSha256: string;
  /** Equal keys: names that match by RFC 5280 §7.1. */
  readonly subjectKey: string;
  readonly issuerKey: string;
  /** Issuer and subject are the same name (RFC 5280 §6.1). */
  readonly selfIssued: boolean;
  readonly malformed: readonly MalformedExtension[];
  /** The value of an extension; undefined when there is none or it is malformed. */
  value<Kind extends ExtensionKind>(kind: Kind): ExtensionValue<Kind> | undefined;
  /** Undefined: there is no such extension. */
  isCritical(kind: ExtensionKind): boolean | undefined;
}

/** Reads a certificate for validation; `reason` says what is wrong with bytes that are none. Never throws. */
export function parseCertificate(der: Uint8Array): ParsedCertificate | { readonly reason: string } {
  try {
    return describeCertificate(decodeCertificate(der));
  } catch (thrown) {
    if (thrown instanceof DerError) return { reason: thrown.message };
    throw thrown;
  }
}

/** The same for a certificate that was read already. */
export function describeCertificate(certificate: Certificate): ParsedCertificate {
  const subjectKey = nameKey(certificate.subject);
  const issuerKey = nameKey(certificate.issuer);
  const { values, criticals, malformed } = readExtensionValues(certificate);
  return {
    certificate,
    sha256: hash('sha256', certificate.der, 'hex'),
    ...readKey(certificate),
    spkiSha256: spkiSha256(certificate.spki),
    subjectKey,
    issuerKey,
    selfIssued: subjectKey === issuerKey,
    malformed,
    value: <Kind extends ExtensionKind>(kind: Kind) => values.get(kind) as ExtensionValue<Kind> | undefined,
    isCritical: (kind) => criticals.get(kind),
  };
}

function readKey(certificate: Certificate): Pick<ParsedCertificate, 'key' | 'keyFault'> {
  try {
    return { key: decodeSpki(certificate.spki), keyFault: undefined };
  } catch (thrown) {
    if (thrown instanceof DerError) return { key: undefined, keyFault: thrown.reason };
    throw thrown;
  }
}

function readExtensionValues({ extensions }: Certificate) {
  const values = new Map<ExtensionKind, unknown>();
  const criticals = new Map<ExtensionKind, boolean>();
  const malformed: MalformedExtension[] = [];
  for (const { oid, critical } of extensions.values()) {
    const kind = extensionKindOf(oid);
    if (kind === undefined) continue;
    criticals.set(kind, critical);
    try {
      values.set(kind, getExtension(extensions, kind)?.value);
    } catch (thrown) {
      if (!(thrown instanceof DerError)) throw thrown;
      malformed.push({ kind, critical, reason: `${oidName(oid)}: ${thrown.reason}` });
    }
  }
  return { values, criticals, malformed };
}
