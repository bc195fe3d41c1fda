import { DerError } from '#pki/asn1/der-error.ts';
import { type DerReader, readDer } from '#pki/asn1/reader.ts';
import { contextConstructed, contextPrimitive, tag } from '#pki/asn1/tag.ts';
import { type AlgorithmView, readAlgorithmView } from './certificate-view.ts';
import type { Finding } from './finding.ts';
import { type NameView, readNameView } from './names-view.ts';

/** What the rules see of a BasicOCSPResponse (RFC 6960 §4.2.1). Byte fields are views of the input. */
export interface OcspView {
  readonly responderName: NameView | undefined;
  /** SHA-1 of the responder's key. */
  readonly responderKey: Buffer | undefined;
  /** Milliseconds. */
  readonly producedAt: number;
  readonly responses: readonly SingleView[];
  readonly extensions: readonly OcspExtensionView[];
  readonly signature: AlgorithmView;
  /** Certificates that came along, DER. */
  readonly certificates: readonly Buffer[];
}

export interface SingleView {
  /** The exact encoding of the CertID. */
  readonly certId: Buffer;
  readonly hash: AlgorithmView;
  readonly nameHash: Buffer;
  readonly keyHash: Buffer;
  /** Content octets of the INTEGER. */
  readonly serial: Buffer;
  readonly revoked: RevokedView | undefined;
  readonly thisUpdate: number;
  readonly nextUpdate: number | undefined;
  readonly extensions: readonly OcspExtensionView[];
}

export interface RevokedView {
  /** Milliseconds. */
  readonly at: number;
  readonly reason: number | undefined;
}

export interface OcspExtensionView {
  readonly oid: string;
  readonly critical: boolean;
  /** Content of extnValue. */
  readonly value: Buffer;
}

/** Largest response that is read. */
const maxBytes = 262_144;

const basicResponse = '1.3.6.1.5.5.7.48.1.1';
const successful = 0;
/** tryLater is 3, sigRequired 5, unauthorized 6; 4 is not used (RFC 6960 §4.2.1). */
const errorStatuses: ReadonlySet<number> = new Set([1, 2, 3, 5, 6]);

/**
 * Reads an OCSPResponse, DER, strictly. Undefined when it is a sound one that only says why there is no answer; a
 * finding when its structure cannot be read.
 */
export function readOcspView(der: Uint8Array): OcspView | Finding | undefined {
  try {
    return readDer(der, maxBytes, (reader) => reader.readSequence(readResponse));
  } catch (thrown) {
    if (!(thrown instanceof DerError)) throw thrown;
    const message = `the response cannot be read as DER: ${thrown.reason}`;
    return { code: 'malformed_ocsp_response', severity: 'error', section: 'RFC 6960 §4.2.1', message };
  }
}

function readResponse(reader: DerReader): OcspView | undefined {
  const status = reader.readSmallInteger(255, tag.enumerated);
  if (errorStatuses.has(status)) return undefined;
  if (status !== successful) reader.fail('the OCSPResponseStatus is none');
  return reader.readContext(0, () => reader.readSequence(readResponseBytes));
}

function readResponseBytes(reader: DerReader): OcspView {
  if (reader.readOid() !== basicResponse) reader.fail('the response is of another type than id-pkix-ocsp-basic');
  return reader.readEncapsulated(() => reader.readSequence(readBasicResponse));
}

function readBasicResponse(reader: DerReader): OcspView {
  const data = reader.readSequence(readResponseData);
  const signature = readAlgorithmView(reader);
  reader.readOctetBitString();
  const certificates = reader.readOptionalContext(0, readCertificates) ?? [];
  return { ...data, signature, certificates };
}

function readCertificates(reader: DerReader): Buffer[] {
  return reader.readSequenceOf(() => {
    const start = reader.offset;
    reader.readOctetString(tag.sequence);
    return reader.since(start);
  });
}

function readResponseData(reader: DerReader): Omit<OcspView, 'signature' | 'certificates'> {
  // Version 1 is the default and the only one, so that none may be encoded.
  const isName = reader.peek() === contextConstructed(1);
  const responderName = isName ? reader.readContext(1, readNameView) : undefined;
  const responderKey = isName ? undefined : reader.readContext(2, () => reader.readOctetString());
  const producedAt = reader.readGeneralizedTime();
  const responses = reader.readSequenceOf(() => reader.readSequence(readSingle));
  return { responderName, responderKey, producedAt, responses, extensions: readExtensions(reader) };
}

function readSingle(reader: DerReader): SingleView {
  const start = reader.offset;
  const identifier = reader.readSequence(() => ({
    hash: readAlgorithmView(reader),
    nameHash: reader.readOctetString(),
    keyHash: reader.readOctetString(),
    serial: reader.readInteger(),
  }));
  const certId = reader.since(start);
  const revoked = readStatus(reader);
  const thisUpdate = reader.readGeneralizedTime();
  const nextUpdate = reader.readOptionalContext(0, () => reader.readGeneralizedTime());
  return { certId, ...identifier, revoked, thisUpdate, nextUpdate, extensions: readExtensions(reader) };
}

/** CertStatus: good [0] and unknown [2] are NULL, revoked [1] has fields. */
function readStatus(reader: DerReader): RevokedView | undefined {
  const type = reader.peek();
  if (type === contextConstructed(1)) {
    return reader.readContext(1, () => ({
      at: reader.readGeneralizedTime(),
      reason: reader.readOptionalContext(0, () => reader.readSmallInteger(255, tag.enumerated)),
    }));
  }
  if (type !== contextPrimitive(0) && type !== contextPrimitive(2)) reader.fail('a CertStatus is none');
  if (reader.readOctetString(type).length > 0) reader.fail('a NULL is not empty');
  return undefined;
}

function readExtensions(reader: DerReader): OcspExtensionView[] {
  return reader.readOptionalContext(1, () => reader.readSequenceOf(readExtension)) ?? [];
}

function readExtension(reader: DerReader): OcspExtensionView {
  return reader.readSequence(() => ({
    oid: reader.readOid(),
    critical: reader.readDefaultFalse(),
    value: reader.readOctetString(),
  }));
}
