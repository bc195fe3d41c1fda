import { decodeName, DnsFormatError, encodeName } from './name.ts';

/** DNS messages (RFC 1035 §4), as far as challenges, CAA and dynamic updates need them. */

export const recordTypes = { a: 1, ns: 2, cname: 5, soa: 6, txt: 16, aaaa: 28, opt: 41, tsig: 250, any: 255, caa: 257 };
export const internet = 1;

/** RFC 1035 §4.1.1, RFC 2136 §2.2. */
export const responseCodes = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  nonExistentDomain: 3,
  notImplemented: 4,
  refused: 5,
  notAuth: 9,
  notZone: 10,
};

export interface ResourceRecord {
  /** Owner, as `name.ts` writes it. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly ttl: number;
  /** Position of the record and of its data in the message, for names within the data and for TSIG. */
  readonly start: number;
  readonly dataStart: number;
  readonly data: Buffer;
}

export interface Message {
  readonly id: number;
  readonly isResponse: boolean;
  readonly opcode: number;
  /** The server speaks for the zone itself. */
  readonly isAuthoritative: boolean;
  readonly isTruncated: boolean;
  readonly responseCode: number;
  readonly question: { readonly name: string; readonly type: number } | undefined;
  readonly answers: readonly ResourceRecord[];
  readonly authorities: readonly ResourceRecord[];
  readonly additional: readonly ResourceRecord[];
  readonly bytes: Buffer;
}

/** More than any sane answer has; what a flood of TXT records runs into. */
const maxRecords = 512;
export const maxMessage = 65_535;
/** What fits one datagram without fragments (DNS flag day 2020). */
const datagramSize = 1232;

export function writeHeader(id: number, flags: number, counts: readonly [number, number, number, number]): Buffer {
  const header = Buffer.alloc(12);
  for (const [index, value] of [id, flags, ...counts].entries()) header.writeUInt16BE(value, index * 2);
  return header;
}

/** A query that wants recursion; with EDNS (RFC 6891) the answer may be a datagram of up to 1,232 bytes. */
export function encodeQuery(id: number, name: string, type: number, edns = true): Buffer {
  const opt = Buffer.from([0, 0, recordTypes.opt, datagramSize >> 8, datagramSize & 0xff, 0, 0, 0, 0, 0, 0]);
  const header = writeHeader(id, 0x01_00, [1, 0, 0, edns ? 1 : 0]);
  return Buffer.concat([header, encodeName(name), shorts(type, internet), ...(edns ? [opt] : [])]);
}

export function shorts(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  for (const [index, value] of values.entries()) bytes.writeUInt16BE(value, index * 2);
  return bytes;
}

/** Reads a whole message. Throws `DnsFormatError`. */
export function decodeMessage(bytes: Buffer): Message {
  if (bytes.length < 12 || bytes.length > maxMessage) throw new DnsFormatError('a message has no header');
  const flags = bytes.readUInt16BE(2);
  const counts = [4, 6, 8, 10].map((at) => bytes.readUInt16BE(at));
  const [questions = 0, answerCount = 0, authorityCount = 0, additionalCount = 0] = counts;
  if (questions > 1 || answerCount + authorityCount + additionalCount > maxRecords)
    throw new DnsFormatError('a message has too many records');
  const { question, end } = readQuestion(bytes, questions);
  const answers = readRecords(bytes, end, answerCount);
  const authorities = readRecords(bytes, answers.end, authorityCount);
  const additional = readRecords(bytes, authorities.end, additionalCount);
  return {
    id: bytes.readUInt16BE(0),
    isResponse: (flags & 0x80_00) !== 0,
    opcode: (flags >> 11) & 0xf,
    isAuthoritative: (flags & 0x04_00) !== 0,
    isTruncated: (flags & 0x02_00) !== 0,
    responseCode: flags & 0xf,
    question,
    answers: answers.records,
    authorities: authorities.records,
    additional: additional.records,
    bytes,
  };
}

function readQuestion(bytes: Buffer, count: number): { question: Message['question']; end: number } {
  if (count === 0) return { question: undefined, end: 12 };
  const { name, end } = decodeName(bytes, 12);
  if (end + 4 > bytes.length) throw new DnsFormatError('a question is cut off');
  return { question: { name, type: bytes.readUInt16BE(end) }, end: end + 4 };
}

function readRecords(bytes: Buffer, start: number, count: number): { records: ResourceRecord[]; end: number } {
  const records: ResourceRecord[] = [];
  let position = start;
  for (let index = 0; index < count; index += 1) {
    const { name, end } = decodeName(bytes, position);
    if (end + 10 > bytes.length) throw new DnsFormatError('a record is cut off');
    const dataStart = end + 10;
    const data = bytes.subarray(dataStart, dataStart + bytes.readUInt16BE(end + 8));
    if (data.length < bytes.readUInt16BE(end + 8)) throw new DnsFormatError('the data of a record is cut off');
    const [type, recordClass] = [bytes.readUInt16BE(end), bytes.readUInt16BE(end + 2)];
    records.push({
      name,
      type,
      class: recordClass,
      ttl: bytes.readUInt32BE(end + 4),
      start: position,
      dataStart,
      data,
    });
    position = dataStart + data.length;
  }
  return { records, end: position };
}

/** The texts of a TXT record's strings, joined (RFC 8555 §8.4, RFC 7208 §3.3), one character an octet. */
export function txtValue({ data }: ResourceRecord): string {
  let text = '';
  for (let position = 0; position < data.length; ) {
    const length = data[position] ?? 0;
    const part = data.subarray(position + 1, position + 1 + length);
    if (part.length < length) throw new DnsFormatError('a TXT record is cut off');
    text += part.toString('latin1');
    position += 1 + length;
  }
  return text;
}

/** The data of a TXT record in strings of at most 255 octets. */
export function txtData(value: string): Buffer {
  const octets = Buffer.from(value, 'latin1');
  const parts: Buffer[] = [];
  for (let position = 0; position === 0 || position < octets.length; position += 255) {
    const part = octets.subarray(position, position + 255);
    parts.push(Buffer.of(part.length), part);
  }
  return Buffer.concat(parts);
}

/** The address of an A or AAAA record in text form. */
export function addressValue({ type, data }: ResourceRecord): string {
  if (data.length !== (type === recordTypes.a ? 4 : 16)) throw new DnsFormatError('an address has a wrong length');
  if (type === recordTypes.a) return data.join('.');
  const groups = Array.from({ length: 8 }, (_, index) => data.readUInt16BE(index * 2).toString(16));
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

/** The name that a CNAME, NS or SOA record begins with. */
export function nameValue(record: ResourceRecord, message: Message): string {
  const { name, end } = decodeName(message.bytes, record.dataStart);
  if (end > record.dataStart + record.data.length) throw new DnsFormatError('a name runs past its record');
  return name;
}

/** RFC 8659 §4.1. */
export interface CaaProperty {
  readonly isCritical: boolean;
  /** In lower case: tags compare without regard to case. */
  readonly tag: string;
  readonly value: string;
}

export function caaValue({ data }: ResourceRecord): CaaProperty {
  const [flags = 0, tagLength = 0] = data;
  const tag = data.subarray(2, 2 + tagLength).toString('latin1');
  if (data.length < 2 + tagLength || !/^[A-Za-z0-9]+$/.test(tag)) throw new DnsFormatError('a CAA record has no tag');
  const value = data.subarray(2 + tagLength).toString('latin1');
  return { isCritical: (flags & 0x80) !== 0, tag: tag.toLowerCase(), value };
}
