/**
 * A serial number as text: the hex of its magnitude, two digits an octet (`01`, `a0b1`), with `-` before it when it is
 * negative, which RFC 5280 §4.1.2.2 forbids but decoders meet.
 */
export function formatSerial(content: Buffer): string {
  const first = content[0] ?? 0;
  if (first < 0x80) return content.toString('hex', content.length > 1 && first === 0 ? 1 : 0);
  const magnitude = (1n << BigInt(content.length * 8)) - BigInt(`0x${content.toString('hex')}`);
  const digits = magnitude.toString(16);
  return `-${digits.length % 2 === 0 ? digits : `0${digits}`}`;
}
