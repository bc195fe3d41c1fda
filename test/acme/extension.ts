import { boolean, octetString, oid, sequence } from '#engines/pki/asn1/writer.ts';

/** An Extension, DER, of any kind (RFC 5280 §4.1). */
export function encodeAnyExtension(id: string, isCritical: boolean, value: Buffer): Buffer {
  return sequence([oid(id), isCritical ? boolean(true) : undefined, octetString(value)]);
}
