import { readDer } from '#pki/asn1/reader.ts';
import { contextConstructed, tag } from '#pki/asn1/tag.ts';
import { timeLength, writeTime } from '#pki/asn1/time.ts';
import { headerLength, writeHeader } from '#pki/asn1/writer.ts';
import { version3 } from './certificate.ts';
import { type ExtensionKind, extensionKindOf, readExtension } from './extension.ts';
import { serialOctets } from './serial.ts';

/** What all certificates of a role and an issuer have in common. */
export interface TemplateParts {
  /** AlgorithmIdentifier, DER. */
  readonly signatureAlgorithm: Uint8Array;
  /** Name, DER. */
  readonly issuer: Uint8Array;
  /** In order: an extension that is always the same (DER), or the kind of one that each certificate brings or leaves out. */
  readonly extensions: readonly (Uint8Array | ExtensionKind)[];
}

/** What one certificate adds. */
export interface RenderFields {
  /** Lower-case hex, positive, at most 20 octets. */
  readonly serialNumber: string;
  /** Milliseconds; part seconds are cut off. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Name, DER. */
  readonly subject: Uint8Array;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** Complete Extensions, DER, for the kinds that the template left open; absent ones are left out. */
  readonly extensions: Readonly<Partial<Record<ExtensionKind, Uint8Array | undefined>>>;
}

/** Writes TBSCertificates that differ in a few fields only: equal to `encodeTbsCertificate`, with one allocation. */
export interface CertificateTemplate {
  /** The TBSCertificate, DER. Throws `RangeError` for an extension that the template does not leave open. */
  readonly render: (fields: RenderFields) => Buffer;
}

/** Makes a template. Throws `DerError` for a malformed extension, `RangeError` when an extension would stand twice. */
export function compileTemplate(parts: TemplateParts): CertificateTemplate {
  const beforeValidity = Buffer.concat([parts.signatureAlgorithm, parts.issuer]);
  const segments = joinFixed(parts.extensions);
  refuseRepeated(parts.extensions);
  return { render: (fields) => render(beforeValidity, segments, fields) };
}

type Segment = Buffer | ExtensionKind;

/** Neighbouring fixed extensions become one slice. */
function joinFixed(extensions: TemplateParts['extensions']): Segment[] {
  const segments: Segment[] = [];
  for (const extension of extensions) {
    const last = segments.at(-1);
    if (typeof extension === 'string') segments.push(extension);
    else if (last === undefined || typeof last === 'string') segments.push(Buffer.from(extension));
    else segments[segments.length - 1] = Buffer.concat([last, extension]);
  }
  return segments;
}

function refuseRepeated(extensions: TemplateParts['extensions']): void {
  const seen = new Set<string>();
  for (const extension of extensions) {
    const kind = typeof extension === 'string' ? extension : kindOf(extension);
    if (seen.has(kind)) throw new RangeError(`the template has the extension ${kind} twice`);
    seen.add(kind);
  }
}

function kindOf(extension: Uint8Array): string {
  const { oid } = readDer(extension, extension.length, readExtension);
  return extensionKindOf(oid) ?? oid;
}

function render(beforeValidity: Buffer, segments: readonly Segment[], fields: RenderFields): Buffer {
  const serial = serialOctets(fields.serialNumber);
  const { subject, spki } = fields;
  const listLength = extensionsLength(segments, fields.extensions);
  const extensionsSize = headerLength(listLength) + listLength;
  const validityLength = timeLength(fields.notBefore) + timeLength(fields.notAfter);
  const tbsLength =
    version3.length +
    (2 + serial.length) +
    beforeValidity.length +
    (2 + validityLength) +
    subject.length +
    spki.length +
    (headerLength(extensionsSize) + extensionsSize);
  const target = Buffer.allocUnsafe(headerLength(tbsLength) + tbsLength);
  let at = writeHeader(target, 0, tag.sequence, tbsLength);
  at = put(target, at, version3);
  at = put(target, writeHeader(target, at, tag.integer, serial.length), serial);
  at = put(target, at, beforeValidity);
  at = writeHeader(target, at, tag.sequence, validityLength);
  at = writeTime(target, at, fields.notBefore);
  at = writeTime(target, at, fields.notAfter);
  at = put(target, at, subject);
  at = put(target, at, spki);
  at = writeHeader(target, at, contextConstructed(3), extensionsSize);
  at = writeHeader(target, at, tag.sequence, listLength);
  for (const segment of segments) {
    const bytes = typeof segment === 'string' ? fields.extensions[segment] : segment;
    if (bytes !== undefined) at = put(target, at, bytes);
  }
  return target;
}

function extensionsLength(segments: readonly Segment[], given: RenderFields['extensions']): number {
  let length = 0;
  let open = 0;
  for (const segment of segments) {
    const bytes = typeof segment === 'string' ? given[segment] : segment;
    if (bytes === undefined) continue;
    if (typeof segment === 'string') open += 1;
    length += bytes.length;
  }
  for (const kind in given) if (given[kind as ExtensionKind] !== undefined) open -= 1;
  if (open !== 0) throw new RangeError('an extension is given that the template does not leave open');
  if (length === 0) throw new RangeError('a certificate of version 3 has extensions');
  return length;
}

function put(target: Buffer, at: number, bytes: Uint8Array): number {
  target.set(bytes, at);
  return at + bytes.length;
}
