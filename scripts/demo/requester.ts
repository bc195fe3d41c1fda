// The container of @peculiar/x509 wants the metadata part of Reflect.
import 'reflect-metadata';
import {
  AuthorityInfoAccessExtension,
  CRLDistributionPointsExtension,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
  X509Certificate,
} from '@peculiar/x509';

/** Who wants a certificate. Nothing of Chancery's own code is used here: @peculiar/x509 writes the CSR and reads the answer. */

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

export interface Requester {
  /** PKCS#8, PEM. */
  readonly privateKey: string;
  /** PKCS#10, PEM. */
  csr(dnsName: string): Promise<string>;
}

export async function createRequester(): Promise<Requester> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return {
    privateKey: `-----BEGIN PRIVATE KEY-----\n${pkcs8.replaceAll(/.{64}/g, '$&\n').trimEnd()}\n-----END PRIVATE KEY-----\n`,
    async csr(dnsName) {
      const request = await Pkcs10CertificateRequestGenerator.create({
        keys,
        signingAlgorithm: algorithm,
        extensions: [new SubjectAlternativeNameExtension([{ type: 'dns', value: dnsName }])],
      });
      return request.toString('pem');
    },
  };
}

/** Where a certificate says that its status is to be found. */
export interface StatusAddresses {
  readonly crl: string;
  readonly ocsp: string;
}

export function statusAddresses(pem: string): StatusAddresses | undefined {
  const certificate = new X509Certificate(pem);
  const points = certificate.getExtension(CRLDistributionPointsExtension)?.distributionPoints ?? [];
  const crl = points[0]?.distributionPoint?.fullName?.[0]?.uniformResourceIdentifier;
  const ocsp = certificate.getExtension(AuthorityInfoAccessExtension)?.ocsp[0]?.value;
  return crl === undefined || ocsp === undefined ? undefined : { crl, ocsp };
}
