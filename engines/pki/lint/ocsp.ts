import { hash } from 'node:crypto';
import { DerError } from '#pki/asn1/der-error.ts';
import { type DerReader, readDer } from '#pki/asn1/reader.ts';
import { oids } from '#pki/x509/oid.ts';
import { lintSignedCertificate, readSignedCertificateView } from './certificate.ts';
import type { CertificateView } from './certificate-view.ts';
import type { Finding } from './finding.ts';
import { type OcspExtensionView, type OcspView, readOcspView, type SingleView } from './ocsp-view.ts';
import { judge, must, repeated, type Rule, should } from './rule.ts';
import { isBrokenScheme, isKnownScheme, parametersFault } from './signature-algorithm.ts';

/** RFC 6960: OCSP responses. */

type OcspRule = Rule<OcspView>;

/**
 * What is wrong with an OCSPResponse, DER, as RFC 6960 and RFC 9654 (nonces) have it; the certificate of a delegated
 * responder that comes along is judged as one. At most 256 KiB are read. No signature is verified. Never throws.
 */
export function lintOcspResponse(der: Uint8Array): Finding[] {
  const view = readOcspView(der);
  if (view === undefined) return [];
  if ('severity' in view) return [view];
  const findings: Finding[] = [];
  judge(ocspRules, view, findings);
  const signer = signerOf(view);
  return signer === undefined ? findings : [...findings, ...signerFindings(signer)];
}

/** A delegated responder is judged by its own rules; an authority that answers itself has been when it was made. */
function signerFindings({ der, view }: Signer): Finding[] {
  if (view.values.basicConstraints?.value?.ca === true) return [];
  return lintSignedCertificate(der, { kind: 'ocsp_signer', profile: 'rfc5280' });
}

interface Signer {
  readonly der: Buffer;
  readonly view: CertificateView;
}

/** The certificate among those that came along which the responder's identifier names. */
function signerOf(view: OcspView): Signer | undefined {
  for (const der of view.certificates) {
    const certificate = readSignedCertificateView(der);
    if (!('severity' in certificate) && isNamedBy(view, certificate)) return { der, view: certificate };
  }
  return undefined;
}

function isNamedBy({ responderName, responderKey }: OcspView, { subject, key }: CertificateView): boolean {
  if (responderName !== undefined) return responderName.der.equals(subject.der);
  return responderKey?.equals(hash('sha1', key.bits, 'buffer')) === true;
}

const response = 'RFC 6960 §4.2.1';
const time = 'RFC 6960 §4.2.2.1';
const responder = 'RFC 6960 §4.2.2.3';

const structureRules: readonly OcspRule[] = [
  should(
    'ocsp_signature_algorithm_unknown',
    'RFC 6960 §4.3',
    'the signature algorithm is none of RFC 3279, 4055, 5758, 8410 and 9881',
    ({ signature }) => !isKnownScheme(signature) && signature.oid,
  ),
  should(
    'ocsp_signature_algorithm_broken',
    'RFC 6194 §3',
    'the signature algorithm uses a hash that is broken (MD2, MD5, SHA-1)',
    ({ signature }) => isBrokenScheme(signature),
  ),
  must(
    'ocsp_signature_parameters',
    response,
    'the parameters of the signature algorithm are not as its standard has them',
    ({ signature }) => parametersFault(signature),
  ),
  must('ocsp_responder_key_length', responder, 'the key hash of the responder is no SHA-1 digest', (view) => {
    return view.responderKey !== undefined && view.responderKey.length !== 20;
  }),
  must('ocsp_responder_name_empty', responder, 'the name of the responder is empty', ({ responderName }) => {
    return responderName?.rdns.length === 0;
  }),
  must(
    'ocsp_responder_unknown',
    responder,
    'the identifier of the responder names none of the certificates that came along',
    (view) => view.certificates.length > 0 && signerOf(view) === undefined,
  ),
  must('ocsp_certificate_repeated', response, 'the response is for a certificate twice', ({ responses }) => {
    return repeated(responses.map(({ certId }) => certId.toString('latin1'))) !== undefined;
  }),
];

function singleRule(
  rule: typeof must | typeof should,
  code: string,
  section: string,
  message: string,
  test: (single: SingleView, view: OcspView) => boolean,
): OcspRule {
  return rule(`ocsp_${code}`, section, message, (view) => {
    const first = view.responses.find((single) => test(single, view));
    return first !== undefined && `serial number ${first.serial.toString('hex', 0, 20)}`;
  });
}

const digestOctets: ReadonlyMap<string, number> = new Map([
  [oids.sha1, 20],
  [oids.sha256, 32],
  [oids.sha384, 48],
  [oids.sha512, 64],
]);

const hold = 6;
const removeFromCrl = 8;
const lastReason = 10;

const singleRules: readonly OcspRule[] = [
  singleRule(
    must,
    'hash_length',
    'RFC 6960 §4.1.1',
    'the hashes of a CertID are not as long as its algorithm makes them',
    (single) => {
      const octets = digestOctets.get(single.hash.oid);
      return octets !== undefined && (single.nameHash.length !== octets || single.keyHash.length !== octets);
    },
  ),
  singleRule(must, 'next_update_early', time, 'nextUpdate is not after thisUpdate', ({ thisUpdate, nextUpdate }) => {
    return nextUpdate !== undefined && nextUpdate <= thisUpdate;
  }),
  singleRule(
    should,
    'next_update_missing',
    'RFC 5019 §2.2.4',
    'there is no nextUpdate, so that nothing can be cached',
    (single) => {
      return single.nextUpdate === undefined;
    },
  ),
  singleRule(must, 'this_update_late', time, 'thisUpdate is after producedAt', ({ thisUpdate }, { producedAt }) => {
    return thisUpdate > producedAt;
  }),
  singleRule(
    must,
    'produced_late',
    time,
    'producedAt is not before nextUpdate',
    ({ thisUpdate, nextUpdate }, { producedAt }) => {
      return nextUpdate !== undefined && nextUpdate > thisUpdate && producedAt >= nextUpdate;
    },
  ),
  singleRule(must, 'revoked_later', 'RFC 6960 §2.4', 'a certificate was revoked after thisUpdate', (single) => {
    return single.revoked !== undefined && single.revoked.at > single.thisUpdate;
  }),
  singleRule(must, 'reason_unknown', 'RFC 5280 §5.3.1', 'a revocationReason is none', ({ revoked }) => {
    const reason = revoked?.reason;
    return reason !== undefined && (reason === 7 || reason === removeFromCrl || reason > lastReason);
  }),
  singleRule(
    should,
    'reason_unspecified',
    'RFC 5280 §5.3.1',
    'a revocationReason is unspecified, which says nothing',
    (single) => {
      return single.revoked?.reason === 0;
    },
  ),
  singleRule(
    must,
    'extended_revoke_missing',
    'RFC 6960 §4.4.8',
    'a certificate that was never issued is revoked without the extension extended-revoke',
    ({ revoked }, { extensions }) =>
      revoked?.at === 0 && revoked.reason === hold && !extensions.some(({ oid }) => oid === extendedRevoke),
  ),
];

const extendedRevoke = '1.3.6.1.5.5.7.48.1.9';
const archiveCutoff = '1.3.6.1.5.5.7.48.1.6';

/** Values of extensions whose types are known; every other one is looked at by its criticality alone. */
const extensionTypes: ReadonlyMap<string, (reader: DerReader) => unknown> = new Map<
  string,
  (reader: DerReader) => unknown
>([
  [oids.ocspNonce, (reader) => reader.readOctetString()],
  [extendedRevoke, (reader) => reader.readNull()],
  [archiveCutoff, (reader) => reader.readGeneralizedTime()],
]);

function isMalformed({ oid, value }: OcspExtensionView): boolean {
  try {
    readDer(value, value.length, extensionTypes.get(oid) ?? skipOne);
    return false;
  } catch (thrown) {
    if (thrown instanceof DerError) return true;
    throw thrown;
  }
}

function skipOne(reader: DerReader): void {
  reader.skip();
}

function extensionsOf({ extensions, responses }: OcspView): readonly (readonly OcspExtensionView[])[] {
  return [extensions, ...responses.map((single) => single.extensions)];
}

const longestNonce = 128;

const extensionRules: readonly OcspRule[] = [
  must('ocsp_extension_malformed', 'RFC 6960 §4.4', 'the value of an extension is not what it should be', (view) => {
    return extensionsOf(view).flat().find(isMalformed)?.oid ?? false;
  }),
  must('ocsp_extension_repeated', 'RFC 5280 §4.2', 'an extension stands twice', (view) => {
    const lists = extensionsOf(view).map((extensions) => repeated(extensions.map(({ oid }) => oid)));
    return lists.find((oid) => oid !== undefined) ?? false;
  }),
  should('ocsp_extension_critical', 'RFC 6960 §4.4', 'an extension of a response is critical', (view) => {
    return (
      extensionsOf(view)
        .flat()
        .find(({ critical }) => critical)?.oid ?? false
    );
  }),
  must('ocsp_nonce_length', 'RFC 9654 §2.1', 'the nonce has not 1 to 128 octets', ({ extensions }) => {
    const nonce = extensions.find(({ oid }) => oid === oids.ocspNonce);
    if (nonce === undefined || isMalformed(nonce)) return false;
    const octets = readDer(nonce.value, nonce.value.length, (reader) => reader.readOctetString());
    return octets.length === 0 || octets.length > longestNonce;
  }),
];

export const ocspRules: readonly OcspRule[] = [...structureRules, ...singleRules, ...extensionRules];
