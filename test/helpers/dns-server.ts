import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';

/** A DNS server on the loopback interface, over both transports, that answers as a test tells it to. */

export type ZoneRecord =
  | { readonly type: 'A' | 'AAAA' | 'CNAME' | 'NS'; readonly value: string }
  | { readonly type: 'TXT'; readonly value: string | readonly string[] }
  | { readonly type: 'CAA'; readonly flags?: number; readonly tag: string; readonly value: string };

export interface DnsQuery {
  readonly name: string;
  readonly type: string;
  readonly transport: 'udp' | 'tcp';
  readonly packet: Buffer;
}

/** Records, a response code, raw bytes instead of a message, or silence. */
export type DnsReply =
  | { readonly records: readonly (ZoneRecord & { readonly owner?: string })[]; readonly truncated?: boolean }
  | { readonly code: number }
  | { readonly raw: readonly Buffer[] }
  | 'silence';

export interface DnsServerForTests {
  readonly host: string;
  readonly port: number;
  /** What was asked, in order. */
  readonly queries: DnsQuery[];
  /** `TYPE name` → records. A name that is in no entry does not exist. */
  readonly zone: Map<string, ZoneRecord[]>;
  /** Replies instead of the zone, where it gives anything. */
  override: ((query: DnsQuery) => DnsReply | undefined) | undefined;
  add(name: string, ...records: ZoneRecord[]): void;
  close(): Promise<void>;
}

const typeNumbers: Record<string, number> = { A: 1, NS: 2, CNAME: 5, SOA: 6, TXT: 16, AAAA: 28, CAA: 257 };

/** `at` for a second server on the port of a first one: 127.0.0.2. */
export async function startDnsServer(at?: { host: string; port: number }): Promise<DnsServerForTests> {
  const queries: DnsQuery[] = [];
  const zone = new Map<string, ZoneRecord[]>();
  const answer = (packet: Buffer, transport: 'udp' | 'tcp'): Buffer[] => {
    const { name, type, end } = readQuestion(packet);
    const query: DnsQuery = { name, type, transport, packet };
    queries.push(query);
    const reply = server.override?.(query) ?? zoneReply(zone, name, type);
    if (reply === 'silence') return [];
    if ('raw' in reply) return [...reply.raw];
    if ('code' in reply) return [message(packet, end, reply.code, [], false)];
    const records = reply.records.map((record) => encodeRecord(record.owner ?? name, record));
    const whole = message(packet, end, 0, records, reply.truncated === true && transport === 'udp');
    return [transport === 'udp' && whole.length > 1232 ? message(packet, end, 0, [], true) : whole];
  };

  const udp = createSocket('udp4');
  const tcp = createServer((socket) => serveStream(socket, (packet) => answer(packet, 'tcp')));
  const sockets = new Set<Socket>();
  tcp.on('connection', (socket) => sockets.add(socket));
  const host = at?.host ?? '127.0.0.1';
  const port = await listenOnBoth(udp, tcp, host, at?.port ?? 0);
  udp.on('message', (packet, { port: from, address }) => {
    for (const each of answer(packet, 'udp')) udp.send(each, from, address);
  });

  const server: DnsServerForTests = {
    host,
    port,
    queries,
    zone,
    override: undefined,
    add(name, ...records) {
      for (const record of records) {
        const key = `${record.type} ${name}`;
        zone.set(key, [...(zone.get(key) ?? []), record]);
      }
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      udp.close();
      tcp.close();
      await once(tcp, 'close');
    },
  };
  return server;
}

async function listenOnBoth(
  udp: ReturnType<typeof createSocket>,
  tcp: ReturnType<typeof createServer>,
  host: string,
  wanted: number,
) {
  for (let tries = 0; ; tries += 1) {
    tcp.listen(wanted, host);
    await once(tcp, 'listening');
    const { port } = tcp.address() as AddressInfo;
    udp.bind(port, host);
    const bound = await Promise.race([once(udp, 'listening').then(() => true), once(udp, 'error').then(() => false)]);
    if (bound) return port;
    if (tries === 5) throw new Error('no port is free for both transports');
    tcp.close();
    await once(tcp, 'close');
  }
}

function serveStream(socket: Socket, answer: (packet: Buffer) => Buffer[]): void {
  let received = Buffer.alloc(0);
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
    // What fits no message is cut, as a server that knows nothing better would.
    for (const whole of answer(received.subarray(2, 2 + received.readUInt16BE(0)))) {
      const reply = whole.subarray(0, 65_535);
      const length = Buffer.alloc(2);
      length.writeUInt16BE(reply.length);
      socket.write(Buffer.concat([length, reply]));
    }
    received = Buffer.alloc(0);
  });
}

function zoneReply(zone: ReadonlyMap<string, ZoneRecord[]>, name: string, type: string): DnsReply {
  const records = zone.get(`${type} ${name}`) ?? zone.get(`CNAME ${name}`);
  if (records !== undefined) return { records };
  const exists = [...zone.keys()].some((key) => key.endsWith(` ${name}`) || key.endsWith(`.${name}`));
  return exists ? { records: [] } : { code: 3 };
}

function readQuestion(packet: Buffer): { name: string; type: string; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = packet[at] ?? 0; length > 0; length = packet[at] ?? 0) {
    labels.push(packet.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  const number = packet.readUInt16BE(at + 1);
  const type = Object.keys(typeNumbers).find((each) => typeNumbers[each] === number) ?? String(number);
  return { name: labels.join('.').toLowerCase(), type, end: at + 5 };
}

function message(packet: Buffer, end: number, code: number, records: readonly Buffer[], truncated: boolean): Buffer {
  const header = Buffer.alloc(12);
  packet.copy(header, 0, 0, 2);
  header.writeUInt16BE(0x85_80 | code | (truncated ? 0x02_00 : 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(records.length, 6);
  return Buffer.concat([header, packet.subarray(12, end), ...records]);
}

function encodeName(name: string): Buffer {
  const labels = name === '' ? [] : name.split('.');
  return Buffer.concat([
    ...labels.map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`, 'latin1')),
    Buffer.of(0),
  ]);
}

function encodeRecord(owner: string, record: ZoneRecord): Buffer {
  const data = encodeData(record);
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(typeNumbers[record.type] ?? 0, 0);
  fixed.writeUInt16BE(1, 2);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([encodeName(owner), fixed, data]);
}

function encodeData(record: ZoneRecord): Buffer {
  switch (record.type) {
    case 'A':
      return Buffer.from(record.value.split('.').map(Number));
    case 'AAAA':
      // Tests write all eight groups.
      return Buffer.from(
        record.value
          .split(':')
          .map((group) => group.padStart(4, '0'))
          .join(''),
        'hex',
      );
    case 'CNAME':
    case 'NS':
      return encodeName(record.value);
    case 'TXT': {
      const strings = typeof record.value === 'string' ? [record.value] : record.value;
      return Buffer.concat(strings.flatMap((text) => [Buffer.of(text.length), Buffer.from(text, 'latin1')]));
    }
    case 'CAA':
      return Buffer.concat([
        Buffer.of(record.flags ?? 0, record.tag.length),
        Buffer.from(`${record.tag}${record.value}`, 'latin1'),
      ]);
  }
}
