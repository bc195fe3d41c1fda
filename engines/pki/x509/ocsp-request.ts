import { type DerReader, readDer } from '#pki/asn1/reader.ts';
import { contextConstructed } from '#pki/asn1/tag.ts';
import { context, sequence } from '#pki/asn1/writer.ts';
import { readAlgorithmIdentifier } from './algorithm.ts';
import { unknownCritical } from './critical-extensions.ts';
import { readExtensions } from './extension.ts';
import { readGeneralName } from './general-name.ts';
import { type CertId, readCertId } from './ocsp-cert-id.ts';
import { encodeNonce, readNonce } from './ocsp-nonce.ts';
import { oids } from './oid.ts';

/** Largest request that is read. */
export const maxOcspRequestBytes = 65_536;
/** Most certificates that one request may ask about. */
export const maxCertIds = 64;

/** One certificate of a request. */
export interface OcspRequestItem {
  readonly certId: CertId;
  /** Critical singleRequestExtensions that are not understood. */
  readonly unknownCritical: readonly string[];
}

/** OCSPRequest (RFC 6960 §4.1.1). */
export interface OcspRequest {
  /** 1 to `maxCertIds`. */
  readonly items: readonly OcspRequestItem[];
  /** 1 to 128 octets, to be echoed. */
  readonly nonce: Buffer | undefined;
  /** The requester signed it. The signature is read over, not verified: the answers are public. */
  readonly isSigned: boolean;
  /** Critical requestExtensions that are not understood. */
  readonly unknownCritical: readonly string[];
}

/**
 * Reads a request. Throws `DerError` when it is malformed, larger than 64 KiB, asks about more than 64 certificates, or
 * has a nonce that RFC 9654 §2.1 forbids: all of them are `malformed_request`.
 */
export function decodeOcspRequest(der: Uint8Array): OcspRequest {
  return readDer(der, maxOcspRequestBytes, readOcspRequest);
}

function readOcspRequest(reader: DerReader): OcspRequest {
  return reader.readSequence(() => {
    const request = reader.readSequence(readTbsRequest);
    const isSigned = reader.readOptionalContext(0, skipSignature) ?? false;
    return { ...request, isSigned };
  });
}

function readTbsRequest(reader: DerReader): Omit<OcspRequest, 'isSigned'> {
  readVersion1(reader);
  reader.readOptionalContext(1, readGeneralName);
  let count = 0;
  const items = reader.readSequenceOf(() => {
    count += 1;
    if (count > maxCertIds) reader.fail(`a request asks about more than ${maxCertIds} certificates`);
    return reader.readSequence(readItem);
  });
  const extensions = reader.readOptionalContext(2, readExtensions);
  return {
    items,
    nonce: readNonce(extensions),
    unknownCritical: unknownCritical(extensions, requestExtensions),
  };
}

/** `version [0] EXPLICIT DEFAULT v1`: there is no other. Some clients write the default, and nothing is lost by it. */
export function readVersion1(reader: DerReader): void {
  reader.readOptionalContext(0, () => reader.readSmallInteger(0));
}

function readItem(reader: DerReader): OcspRequestItem {
  const certId = readCertId(reader);
  const extensions = reader.readOptionalContext(0, readExtensions);
  return { certId, unknownCritical: unknownCritical(extensions, noExtensions) };
}

/** Signature (RFC 6960 §4.1.1): algorithm, bits and, if given, certificates. */
function skipSignature(reader: DerReader): true {
  return reader.readSequence(() => {
    readAlgorithmIdentifier(reader);
    reader.readBitString();
    if (reader.peek() === contextConstructed(0)) reader.skip();
    return true;
  });
}

/** id-pkix-ocsp-response (RFC 6960 §4.4.3): which forms of answer the client reads; the basic one is always among them. */
const acceptableResponses = '1.3.6.1.5.5.7.48.1.4';
const requestExtensions: ReadonlySet<string> = new Set([oids.ocspNonce, acceptableResponses]);
const noExtensions: ReadonlySet<string> = new Set();

/** An unsigned request about these CertIDs (DER). */
export function encodeOcspRequest(certIds: readonly Uint8Array[], nonce?: Uint8Array): Buffer {
  const items = sequence(certIds.map((certId) => sequence([certId])));
  const extensions = nonce && context(2, [sequence([encodeNonce(nonce)])]);
  return sequence([sequence([items, extensions])]);
}
