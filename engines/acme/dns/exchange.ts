import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { decodeMessage, type Message } from './message.ts';
import { DnsFormatError } from './name.ts';

/** One question to one DNS server and its answer, by datagram or stream. */

export interface DnsServer {
  /** An address, or a name that the system resolves. */
  readonly host: string;
  readonly port: number;
}

/** Why there is no answer. */
export class DnsError extends Error {
  override readonly name = 'DnsError';
  readonly fault: 'timeout' | 'unreachable' | 'malformed' | 'failed';

  constructor(fault: DnsError['fault'], message: string) {
    super(message);
    this.fault = fault;
  }
}

const datagramTries = 2;
const tryMs = 2000;
const streamMs = 5000;
/** Datagrams that are no answer to the question are passed over, but not for ever. */
const maxStrayDatagrams = 64;

/** Asks by datagram, and by stream when the answer does not fit one. Throws `DnsError`. */
export async function askServer(server: DnsServer, packet: Buffer, signal: AbortSignal): Promise<Message> {
  for (let tried = 1; ; tried += 1) {
    try {
      const answer = await askByDatagram(server, packet, within(signal, tryMs));
      return answer.isTruncated ? await askByStream(server, packet, signal) : answer;
    } catch (thrown) {
      const error = asDnsError(thrown);
      if (error.fault !== 'timeout' || tried === datagramTries || signal.aborted) throw error;
    }
  }
}

function within(signal: AbortSignal, ms: number): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(ms)]);
}

function asDnsError(thrown: unknown): DnsError {
  if (thrown instanceof DnsError) return thrown;
  if (thrown instanceof DnsFormatError) return new DnsError('malformed', 'the answer of the DNS server is malformed');
  return new DnsError('unreachable', 'the DNS server cannot be reached');
}

/**
 * The socket is connected, so that only datagrams of the server's address arrive, and takes a random port; those that
 * do not answer this very question (RFC 5452 §9.1) are passed over.
 */
function askByDatagram(server: DnsServer, packet: Buffer, signal: AbortSignal): Promise<Message> {
  const { promise, resolve, reject } = Promise.withResolvers<Message>();
  const socket = createSocket(isIPv6(server.host) ? 'udp6' : 'udp4');
  const onAbort = () => reject(new DnsError('timeout', 'the DNS server did not answer in time'));
  let strays = 0;
  socket.on('error', reject);
  socket.on('message', (bytes) => {
    const answer = answerTo(packet, bytes);
    if (answer !== undefined) resolve(answer);
    else if ((strays += 1) > maxStrayDatagrams) reject(new DnsError('malformed', 'the DNS server answers nonsense'));
  });
  socket.connect(server.port, server.host, () => socket.send(packet, (error) => error && reject(error)));
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  return promise.finally(() => {
    signal.removeEventListener('abort', onAbort);
    socket.close();
  });
}

function answerTo(packet: Buffer, bytes: Buffer): Message | undefined {
  try {
    const answer = decodeMessage(bytes);
    return isAnswerTo(packet, answer) ? answer : undefined;
  } catch {
    return undefined;
  }
}

/** Same id, same operation and, where there is one, the same question. */
function isAnswerTo(packet: Buffer, answer: Message): boolean {
  const asked = decodeMessage(packet);
  if (!answer.isResponse || answer.id !== asked.id || answer.opcode !== asked.opcode) return false;
  if (answer.question === undefined) return answer.responseCode !== 0 || asked.opcode !== 0;
  return answer.question.name === asked.question?.name && answer.question.type === asked.question.type;
}

/** The first message of a stream. Chunks are joined twice at most, however small a server makes them. */
async function readMessage(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  let chunks: Buffer[] = [];
  let [received, length] = [0, -1];
  for await (const chunk of stream) {
    chunks.push(chunk);
    received += chunk.length;
    if (length < 0 && received >= 2) {
      chunks = [Buffer.concat(chunks)];
      length = 2 + (chunks[0]?.readUInt16BE(0) ?? 0);
    }
    if (length >= 0 && received >= length) return Buffer.concat(chunks).subarray(2, length);
  }
  throw new DnsError('unreachable', 'the DNS server hung up');
}

/** RFC 1035 §4.2.2: two octets of length before each message. */
export async function askByStream(server: DnsServer, packet: Buffer, signal: AbortSignal): Promise<Message> {
  const socket = connect({ host: server.host, port: server.port, signal: within(signal, streamMs) });
  try {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(packet.length);
    socket.write(Buffer.concat([length, packet]));
    const answer = decodeMessage(await readMessage(socket));
    if (!isAnswerTo(packet, answer)) throw new DnsError('malformed', 'the DNS server answers another question');
    return answer;
  } catch (thrown) {
    if (thrown instanceof Error && thrown.name === 'AbortError')
      throw new DnsError('timeout', 'the DNS server did not answer in time');
    throw asDnsError(thrown);
  } finally {
    socket.destroy();
  }
}
