import { randomOctets } from '#core/random.ts';

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

/**
 * The content octets of a serial number in hex, as an INTEGER holds them. Throws `RangeError` unless it is positive
 * and takes at most 20 octets (RFC 5280 §4.1.2.2).
 */
export function serialOctets(serialNumber: string): Buffer {
  const magnitude = Buffer.from(serialNumber, 'hex');
  if (magnitude.length === 0 || magnitude.length * 2 !== serialNumber.length) throw notSerial();
  const first = magnitude[0] as number;
  if (first > 0 && first < 0x80 && magnitude.length <= 20) return magnitude;
  const significant = magnitude.findIndex((octet) => octet !== 0);
  if (significant === -1) throw notSerial();
  const trimmed = magnitude.subarray(significant);
  const content = (trimmed[0] as number) < 0x80 ? trimmed : Buffer.concat([Buffer.of(0), trimmed]);
  if (content.length > 20) throw notSerial();
  return content;
}

function notSerial(): RangeError {
  return new RangeError('a serial number is hex, positive and at most 20 octets as an INTEGER');
}

/** A new serial number: 20 octets, positive, from 159 random bits (all free but that the first octet is not zero). */
export function randomSerial(): string {
  for (;;) {
    const octets = randomOctets(20);
    octets[0] = (octets[0] as number) & 0x7f;
    if (octets[0] !== 0) return octets.toString('hex');
  }
}
