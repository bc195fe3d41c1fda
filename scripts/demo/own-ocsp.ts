import { randomBytes, verify, X509Certificate } from 'node:crypto';
import { decodeCertificate } from '#pki/x509/certificate.ts';
import { encodeCertId, hashIssuer } from '#pki/x509/ocsp-cert-id.ts';
import { encodeOcspRequest } from '#pki/x509/ocsp-request.ts';
import { decodeOcspResponse } from '#pki/x509/ocsp-response.ts';
import type { Status } from './checkers.ts';
import { expect } from './screen.ts';

/**
 * OCSP (RFC 6960) by Chancery's own code: for the TLS server, which staples answers, and for the checks where there is
 * no openssl. As a check it says less than an outside reader would; signatures are verified by Node.
 */

/** Asks a responder; the answer as it came, DER. */
export async function fetchOcsp(url: string, issuingPem: string, leafPem: string, nonce?: Buffer): Promise<Buffer> {
  const request = encodeOcspRequest([certIdOf(issuingPem, leafPem)], nonce);
  const reply = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/ocsp-request' },
    body: new Uint8Array(request),
  });
  expect(reply.ok, `The OCSP responder answers ${reply.status}.`);
  return Buffer.from(await reply.arrayBuffer());
}

/** By SHA-1, as every client does: it is a look-up key, and nothing rests on it. */
function certIdOf(issuingPem: string, leafPem: string): Buffer {
  const { subject, spki } = decodeCertificate(new X509Certificate(issuingPem).raw);
  return encodeCertId('sha1', hashIssuer(subject.der, spki), serialNumberOf(leafPem));
}

function serialNumberOf(pem: string): string {
  return decodeCertificate(new X509Certificate(pem).raw).serialNumber;
}

/** Asks with a nonce, and reads the answer. */
export async function askWithOwnReader(url: string, issuingPem: string, leafPem: string): Promise<Status> {
  const nonce = randomBytes(32);
  return readWithOwnReader(await fetchOcsp(url, issuingPem, leafPem, nonce), issuingPem, leafPem, nonce);
}

export function readWithOwnReader(der: Buffer, issuingPem: string, leafPem: string, nonce?: Buffer): Status {
  const issuing = new X509Certificate(issuingPem);
  const response = decodeOcspResponse(der);
  expect(response.status === 'successful', `The OCSP responder answers ${response.status}.`);
  const { basic } = response;
  expect(nonce === undefined || basic.nonce?.equals(nonce) === true, 'The OCSP answer does not repeat the nonce.');
  // The signer is the authority itself, or a certificate that it made for this (RFC 6960 §4.2.2.2).
  const signer = basic.certificates[0] === undefined ? issuing : new X509Certificate(basic.certificates[0]);
  expect(
    signer.raw.equals(issuing.raw) || (signer.verify(issuing.publicKey) && isOcspSigner(signer)),
    'The OCSP answer is signed by somebody whom the authority did not charge with it.',
  );
  expect(verify('sha256', basic.tbs, signer.publicKey, basic.signature), 'The signature of the OCSP answer is wrong.');
  const serialNumber = serialNumberOf(leafPem);
  const single = basic.responses.find(({ certId }) => certId.serialNumber === serialNumber);
  expect((single?.nextUpdate ?? 0) > Date.now(), 'The OCSP answer is out of date.');
  const said = single?.status.kind;
  expect(said === 'good' || said === 'revoked', `The OCSP answer says ${said ?? 'nothing'} of the certificate.`);
  return said;
}

/** id-kp-OCSPSigning; what Node calls key usage is the extended one. */
function isOcspSigner(certificate: X509Certificate): boolean {
  return certificate.keyUsage?.includes('1.3.6.1.5.5.7.3.9') ?? false;
}
