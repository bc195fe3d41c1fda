/** Fields that are files in base64, since JSON has no octets; with the names that programs know such files by. */
const binaryFiles: Readonly<Record<string, string>> = { pkcs12: 'certificate.p12', der: 'certificate.der' };

/** What such a field is as a file; undefined for every other field, which is text. */
export function binaryFile(
  field: string,
  value: unknown,
): { readonly name: string; readonly octets: Buffer } | undefined {
  const name = Object.hasOwn(binaryFiles, field) ? binaryFiles[field] : undefined;
  return name !== undefined && typeof value === 'string' ? { name, octets: Buffer.from(value, 'base64') } : undefined;
}
