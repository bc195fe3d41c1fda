/**
 * The public addresses that go into certificates and CRLs. They are written once and read for years, so their form
 * must never change: `<base>/pki/<public name>/…`, where the public name is the authority's, preceded by
 * `<namespace>.` outside the namespace `root`. Names hold no dot, so this is unambiguous.
 */
export interface PkiUrls {
  /** The same under another base URL, without a slash at its end. */
  at(baseUrl: string): PkiUrls;
  readonly ca: string;
  readonly ocsp: string;
  /** URL of the full CRL of one shard of one issuer. */
  crl(issuerNumber: number, shard: number): string;
  deltaCrl(issuerNumber: number, shard: number): string;
  /** The issuer's certificate, DER (RFC 5280 §4.2.2.1, caIssuers). */
  issuerCertificate(issuerNumber: number): string;
}

export function publicName(namespace: string, authority: string): string {
  return namespace === 'root' ? authority : `${namespace}.${authority}`;
}

/** The reverse of `publicName`; undefined for what it cannot have made. */
export function parsePublicName(text: string): { namespace: string; authority: string } | undefined {
  const parts = text.split('.');
  if (parts.length === 1 && parts[0]) return { namespace: 'root', authority: parts[0] };
  const [namespace, authority] = parts;
  if (parts.length !== 2 || !namespace || !authority || namespace === 'root') return undefined;
  return { namespace, authority };
}

/** `baseUrl` without a slash at its end. */
export function pkiUrls(baseUrl: string, namespace: string, authority: string): PkiUrls {
  const base = `${baseUrl}/pki/${publicName(namespace, authority)}`;
  return {
    at: (other) => pkiUrls(other, namespace, authority),
    ca: `${base}/ca.pem`,
    ocsp: `${base}/ocsp`,
    crl: (issuerNumber, shard) => `${base}/crl/${issuerNumber}-${shard}.crl`,
    deltaCrl: (issuerNumber, shard) => `${base}/crl/${issuerNumber}-${shard}-delta.crl`,
    issuerCertificate: (issuerNumber) => `${base}/ca/${issuerNumber}.cer`,
  };
}
