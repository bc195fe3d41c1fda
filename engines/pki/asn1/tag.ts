/** Identifier octets of the universal types that X.509 uses (X.680 §8.4; SEQUENCE and SET with the constructed bit). */
export const tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  numericString: 0x12,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  visibleString: 0x1a,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Identifier octet of a context-specific primitive element: IMPLICIT over a primitive type. */
export function contextPrimitive(number: number): number {
  return 0x80 | number;
}

/** Identifier octet of a context-specific constructed element: EXPLICIT, or IMPLICIT over a constructed type. */
export function contextConstructed(number: number): number {
  return 0xa0 | number;
}

const names = new Map<number, string>([
  [tag.boolean, 'BOOLEAN'],
  [tag.integer, 'INTEGER'],
  [tag.bitString, 'BIT STRING'],
  [tag.octetString, 'OCTET STRING'],
  [tag.null, 'NULL'],
  [tag.oid, 'OBJECT IDENTIFIER'],
  [tag.enumerated, 'ENUMERATED'],
  [tag.utf8String, 'UTF8String'],
  [tag.numericString, 'NumericString'],
  [tag.printableString, 'PrintableString'],
  [tag.teletexString, 'TeletexString'],
  [tag.ia5String, 'IA5String'],
  [tag.utcTime, 'UTCTime'],
  [tag.generalizedTime, 'GeneralizedTime'],
  [tag.visibleString, 'VisibleString'],
  [tag.universalString, 'UniversalString'],
  [tag.bmpString, 'BMPString'],
  [tag.sequence, 'SEQUENCE'],
  [tag.set, 'SET'],
]);

/** The name of an identifier octet for error messages: `SEQUENCE`, `[0]`, `tag 0x09`. */
export function tagName(octet: number): string {
  const name = names.get(octet);
  if (name !== undefined) return name;
  return (octet & 0xc0) === 0x80 ? `[${octet & 0x1f}]` : `tag 0x${octet.toString(16).padStart(2, '0')}`;
}
