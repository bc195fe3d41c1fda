import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Message } from './message.ts';
import { recordTypes, shorts } from './message.ts';
import { decodeName, DnsFormatError, encodeName } from './name.ts';

/** Signatures of DNS messages with a shared key (RFC 8945). */

export interface TsigKey {
  readonly name: string;
  readonly algorithm: 'hmac-sha256' | 'hmac-sha384' | 'hmac-sha512';
  readonly secret: Buffer;
}

const anyClass = 255;
/** Seconds by which two clocks may differ (RFC 8945 §10). */
const fudge = 300;

function mac(key: TsigKey, parts: readonly Buffer[]): Buffer {
  return createHmac(key.algorithm.slice('hmac-'.length), key.secret).update(Buffer.concat(parts)).digest();
}

/** 48 bits of seconds and 16 of fudge. */
function timers(seconds: number): Buffer {
  return shorts(Math.floor(seconds / 2 ** 32), Math.floor(seconds / 2 ** 16) & 0xffff, seconds & 0xffff, fudge);
}

/** RFC 8945 §4.3.3: what is signed after the message. */
function variables(key: TsigKey, signedAt: Buffer, error: number, other: Buffer): Buffer {
  const head = [encodeName(key.name), shorts(anyClass, 0, 0), encodeName(key.algorithm)];
  return Buffer.concat([...head, signedAt, shorts(error, other.length), other]);
}

function withCount(packet: Buffer, additional: number): Buffer {
  const copy = Buffer.from(packet);
  copy.writeUInt16BE(additional, 10);
  return copy;
}

/** A message with its TSIG record, and the MAC that the answer is bound to. `now` in milliseconds. */
export function signMessage(packet: Buffer, key: TsigKey, now: number): { packet: Buffer; mac: Buffer } {
  const signedAt = timers(Math.floor(now / 1000));
  const none = Buffer.alloc(0);
  const digest = mac(key, [packet, variables(key, signedAt, 0, none)]);
  const id = packet.subarray(0, 2);
  const data = Buffer.concat([encodeName(key.algorithm), signedAt, shorts(digest.length), digest, id, shorts(0, 0)]);
  const record = [encodeName(key.name), shorts(recordTypes.tsig, anyClass, 0, 0, data.length), data];
  return { packet: Buffer.concat([withCount(packet, packet.readUInt16BE(10) + 1), ...record]), mac: digest };
}

/** `ok`, an error of TSIG that the server states (RFC 8945 §5.3), or that the answer is not the server's. */
export type TsigVerdict = 'ok' | 'bad_signature' | 'bad_key' | 'bad_time' | 'unsigned';

const errorVerdicts: Readonly<Record<number, TsigVerdict>> = { 16: 'bad_signature', 17: 'bad_key', 18: 'bad_time' };

/** Checks the signature of an answer to a signed request (RFC 8945 §5.4). */
export function verifyAnswer(answer: Message, key: TsigKey, requestMac: Buffer, now: number): TsigVerdict {
  const record = answer.additional.at(-1);
  if (record?.type !== recordTypes.tsig) return 'unsigned';
  const found = readTsig(answer, record.dataStart, record.dataStart + record.data.length);
  if (found.mac.length === 0) return errorVerdicts[found.error] ?? 'unsigned';
  if (record.name !== key.name.toLowerCase() || found.algorithm !== key.algorithm) return 'bad_key';
  const unsigned = withCount(answer.bytes.subarray(0, record.start), answer.additional.length - 1);
  found.originalId.copy(unsigned, 0);
  const signed = [
    shorts(requestMac.length),
    requestMac,
    unsigned,
    variables(key, found.timers, found.error, found.other),
  ];
  const expected = mac(key, signed);
  if (found.mac.length !== expected.length || !timingSafeEqual(found.mac, expected)) return 'bad_signature';
  if (found.error !== 0) return errorVerdicts[found.error] ?? 'unsigned';
  return Math.abs(found.timers.readUIntBE(0, 6) - now / 1000) <= fudge ? 'ok' : 'bad_time';
}

interface TsigData {
  readonly algorithm: string;
  readonly timers: Buffer;
  readonly mac: Buffer;
  readonly originalId: Buffer;
  readonly error: number;
  readonly other: Buffer;
}

/** RFC 8945 §4.2. */
function readTsig({ bytes }: Message, start: number, end: number): TsigData {
  const { name: algorithm, end: at } = decodeName(bytes, start);
  const data = bytes.subarray(at, end);
  if (data.length < 16) throw new DnsFormatError('a TSIG record is cut off');
  const macLength = data.readUInt16BE(8);
  if (data.length < 16 + macLength) throw new DnsFormatError('a TSIG record is cut off');
  const rest = data.subarray(10 + macLength);
  const other = rest.subarray(6);
  if (other.length !== rest.readUInt16BE(4)) throw new DnsFormatError('a TSIG record is cut off');
  return {
    algorithm,
    timers: data.subarray(0, 8),
    mac: data.subarray(10, 10 + macLength),
    originalId: rest.subarray(0, 2),
    error: rest.readUInt16BE(2),
    other,
  };
}
