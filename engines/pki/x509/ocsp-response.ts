import { type DerReader, readDer } from '#pki/asn1/reader.ts';
import { contextConstructed, contextPrimitive, tag } from '#pki/asn1/tag.ts';
import { bitString, context, enumerated, generalizedTime, octetString, oid, sequence } from '#pki/asn1/writer.ts';
import { type AlgorithmIdentifier, readAlgorithmIdentifier } from './algorithm.ts';
import { unknownCritical } from './critical-extensions.ts';
import { readReason } from './crl-entry.ts';
import { type Extensions, readExtensions } from './extension.ts';
import { type Name, readName } from './name.ts';
import { type CertId, readCertId } from './ocsp-cert-id.ts';
import { encodeNonce, readNonce } from './ocsp-nonce.ts';
import { readVersion1 } from './ocsp-request.ts';
import { oids } from './oid.ts';
import { type CrlReason, crlReasons } from './revocation-reason.ts';

/** OCSPResponseStatus (RFC 6960 §4.2.1). */
const statuses = {
  successful: 0,
  malformed_request: 1,
  internal_error: 2,
  try_later: 3,
  sig_required: 5,
  unauthorized: 6,
} as const;
export type OcspStatus = keyof typeof statuses;
export type OcspErrorStatus = Exclude<OcspStatus, 'successful'>;

/** What is said of a certificate. Times are milliseconds. */
export type CertStatus =
  | { readonly kind: 'good' }
  | { readonly kind: 'revoked'; readonly revokedAt: number; readonly reason?: CrlReason | undefined }
  | { readonly kind: 'unknown' };

export interface SingleResponseFields {
  /** CertID, DER: `CertId.der` of the request. */
  readonly certId: Uint8Array;
  readonly status: CertStatus;
  readonly thisUpdate: number;
  /** Absent: newer information is always at hand (RFC 6960 §4.2.2.1). */
  readonly nextUpdate?: number | undefined;
  /** Complete Extensions, DER. */
  readonly extensions?: readonly Uint8Array[] | undefined;
}

/** Who signs: the Name (DER) of the signer's certificate, or the SHA-1 of its public key (`hashIssuer(…).sha1.keyHash`). */
export type ResponderIdFields = { readonly byName: Uint8Array } | { readonly byKey: Uint8Array };

export interface ResponseDataFields {
  readonly responderId: ResponderIdFields;
  readonly producedAt: number;
  readonly responses: readonly SingleResponseFields[];
  /** Of the request, where it had one. */
  readonly nonce?: Uint8Array | undefined;
  /** Further complete Extensions, DER. */
  readonly extensions?: readonly Uint8Array[] | undefined;
}

const good = Buffer.from([0x80, 0]);
const unknown = Buffer.from([0x82, 0]);
const reasonElements = new Map(
  Object.entries(crlReasons).map(([reason, code]) => [reason as CrlReason, context(0, [enumerated(code)])]),
);

/** ResponseData (RFC 6960 §4.2.1), DER: what is signed. Throws `RangeError` for values that do not fit their types. */
export function encodeResponseData(fields: ResponseDataFields): Buffer {
  const { responderId, nonce, extensions = [] } = fields;
  const all = nonce === undefined ? extensions : [encodeNonce(nonce), ...extensions];
  return sequence([
    'byName' in responderId ? context(1, [responderId.byName]) : context(2, [octetString(responderId.byKey)]),
    generalizedTime(fields.producedAt),
    sequence(fields.responses.map(encodeSingleResponse)),
    encodeExtensions(all),
  ]);
}

function encodeSingleResponse(fields: SingleResponseFields): Buffer {
  const { nextUpdate, extensions = [] } = fields;
  return sequence([
    fields.certId,
    encodeCertStatus(fields.status),
    generalizedTime(fields.thisUpdate),
    nextUpdate === undefined ? undefined : context(0, [generalizedTime(nextUpdate)]),
    encodeExtensions(extensions),
  ]);
}

function encodeCertStatus(status: CertStatus): Buffer {
  if (status.kind !== 'revoked') return status.kind === 'good' ? good : unknown;
  const { revokedAt, reason = 'unspecified' } = status;
  // `unspecified` says nothing and is left out, as on CRLs (RFC 5280 §5.3.1).
  return context(1, [generalizedTime(revokedAt), reason === 'unspecified' ? undefined : reasonElements.get(reason)]);
}

function encodeExtensions(extensions: readonly Uint8Array[]): Buffer | undefined {
  return extensions.length === 0 ? undefined : context(1, [sequence(extensions)]);
}

const basicResponseType = '1.3.6.1.5.5.7.48.1.1';
const successful = enumerated(statuses.successful);
const basicResponse = oid(basicResponseType);

/**
 * The whole OCSPResponse of a signed ResponseData. `signatureAlgorithm` is an AlgorithmIdentifier, DER;
 * `certificates` (DER) are those that the client needs to verify it: of the delegated signer, or none.
 */
export function assembleOcspResponse(
  responseData: Uint8Array,
  signatureAlgorithm: Uint8Array,
  signature: Uint8Array,
  certificates: readonly Uint8Array[] = [],
): Buffer {
  const basic = sequence([
    responseData,
    signatureAlgorithm,
    bitString(signature),
    certificates.length === 0 ? undefined : context(0, [sequence(certificates)]),
  ]);
  return sequence([successful, context(0, [sequence([basicResponse, octetString(basic)])])]);
}

const errorResponses = new Map(
  Object.entries(statuses).map(([status, code]) => [status as OcspStatus, sequence([enumerated(code)])]),
);

/** The OCSPResponse that says only that there is no answer, and why. Do not change the returned bytes. */
export function encodeOcspError(status: OcspErrorStatus): Buffer {
  return errorResponses.get(status) as Buffer;
}

/** Largest response that is read unless the caller says otherwise. */
export const maxOcspResponseBytes = 262_144;

export type ResponderId =
  | { readonly kind: 'name'; readonly name: Name }
  /** SHA-1 of the signer's public key. */
  | { readonly kind: 'key'; readonly keyHash: Buffer };

/** What a response says of one certificate (RFC 6960 §4.2.1). */
export interface SingleResponse {
  readonly certId: CertId;
  readonly status: CertStatus;
  readonly thisUpdate: number;
  readonly nextUpdate: number | undefined;
  readonly extensions: Extensions;
  /** Critical singleExtensions; none is understood. */
  readonly unknownCritical: readonly string[];
}

/** BasicOCSPResponse (RFC 6960 §4.2.1). Byte fields are views of the input. */
export interface BasicOcspResponse {
  /** The exact bytes that are signed: ResponseData. */
  readonly tbs: Buffer;
  readonly responderId: ResponderId;
  readonly producedAt: number;
  readonly responses: readonly SingleResponse[];
  readonly nonce: Buffer | undefined;
  readonly extensions: Extensions;
  /** Critical responseExtensions that are not understood. */
  readonly unknownCritical: readonly string[];
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Buffer;
  /** Certificates that came along, DER, not yet read. */
  readonly certificates: readonly Buffer[];
}

export type OcspResponse =
  | { readonly status: 'successful'; readonly basic: BasicOcspResponse }
  | { readonly status: OcspErrorStatus };

const statusNames = new Map<number, OcspStatus>(
  Object.entries(statuses).map(([name, code]) => [code, name as OcspStatus]),
);

/** Reads a response, strictly; other types than the basic one are not known. Verifies nothing. Throws `DerError`. */
export function decodeOcspResponse(der: Uint8Array, maxBytes: number = maxOcspResponseBytes): OcspResponse {
  return readDer(der, maxBytes, (reader) => reader.readSequence(readOcspResponse));
}

function readOcspResponse(reader: DerReader): OcspResponse {
  const start = reader.offset;
  const status = statusNames.get(reader.readSmallInteger(255, tag.enumerated));
  if (status === undefined) return reader.fail('an OCSPResponseStatus is none', start);
  if (status !== 'successful') return { status };
  return { status, basic: reader.readContext(0, readResponseBytes) };
}

function readResponseBytes(reader: DerReader): BasicOcspResponse {
  return reader.readSequence(() => {
    if (reader.readOid() !== basicResponseType) reader.fail('the response is of another type than the basic one');
    return reader.readEncapsulated(readBasicResponse);
  });
}

function readBasicResponse(reader: DerReader): BasicOcspResponse {
  return reader.readSequence(() => {
    const start = reader.offset;
    const data = reader.readSequence(readResponseData);
    const tbs = reader.since(start);
    const signatureAlgorithm = readAlgorithmIdentifier(reader);
    const signature = reader.readOctetBitString();
    const certificates = reader.readOptionalContext(0, readCertificates) ?? [];
    return { ...data, tbs, signatureAlgorithm, signature, certificates };
  });
}

function readCertificates(reader: DerReader): Buffer[] {
  return reader.readSequenceOf(() => reader.readAny(), 0);
}

type ResponseData = Omit<BasicOcspResponse, 'tbs' | 'signatureAlgorithm' | 'signature' | 'certificates'>;

const noExtensions: Extensions = new Map();
const nothing: ReadonlySet<string> = new Set();
const understood: ReadonlySet<string> = new Set([oids.ocspNonce]);

function readResponseData(reader: DerReader): ResponseData {
  readVersion1(reader);
  const responderId = readResponderId(reader);
  const producedAt = reader.readGeneralizedTime();
  const responses = reader.readSequenceOf(readSingleResponse);
  const extensions = reader.readOptionalContext(1, readExtensions) ?? noExtensions;
  return {
    responderId,
    producedAt,
    responses,
    nonce: readNonce(extensions),
    extensions,
    unknownCritical: unknownCritical(extensions, understood),
  };
}

function readResponderId(reader: DerReader): ResponderId {
  if (reader.peek() === contextConstructed(1)) return { kind: 'name', name: reader.readContext(1, readName) };
  return { kind: 'key', keyHash: reader.readContext(2, () => reader.readOctetString()) };
}

function readSingleResponse(reader: DerReader): SingleResponse {
  return reader.readSequence(() => {
    const certId = readCertId(reader);
    const status = readCertStatus(reader);
    const thisUpdate = reader.readGeneralizedTime();
    const nextUpdate = reader.readOptionalContext(0, () => reader.readGeneralizedTime());
    const extensions = reader.readOptionalContext(1, readExtensions) ?? noExtensions;
    return {
      certId,
      status,
      thisUpdate,
      nextUpdate,
      extensions,
      unknownCritical: unknownCritical(extensions, nothing),
    };
  });
}

function readCertStatus(reader: DerReader): CertStatus {
  const type = reader.peek();
  if (type === contextConstructed(1)) return reader.readContext(1, readRevokedInfo);
  if (type !== contextPrimitive(0) && type !== contextPrimitive(2)) return reader.fail('a CertStatus is none');
  if (reader.readOctetString(type).length > 0) reader.fail('a NULL is not empty');
  return { kind: type === contextPrimitive(0) ? 'good' : 'unknown' };
}

function readRevokedInfo(reader: DerReader): CertStatus {
  const revokedAt = reader.readGeneralizedTime();
  return { kind: 'revoked', revokedAt, reason: reader.readOptionalContext(0, readReason) };
}
