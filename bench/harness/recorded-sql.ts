import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/**
 * The SQL of a server of ours, as it goes over the wire: so that a bare driver can run the very same. Listens on a port of
 * its own and passes everything on; of what clients send it keeps the texts of simple queries, of PostgreSQL (`Q`) and of
 * MySQL (COM_QUERY).
 */
export interface Recorder {
  readonly port: number;
  /** The texts since the last call. */
  take(): string[];
  close(): void;
}

export async function recordSql(engine: 'postgresql' | 'mysql', port: number): Promise<Recorder> {
  let texts: string[] = [];
  const sockets = new Set<Socket>();
  const listener = createServer((client) => {
    const server = connect(port, '127.0.0.1');
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => other.destroy());
      socket.on('data', (chunk) => other.write(chunk));
    }
    client.on('data', (chunk: Buffer) => {
      const text = engine === 'postgresql' ? simpleQuery(chunk) : comQuery(chunk);
      if (text !== undefined) texts.push(text);
    });
  }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return {
    port: address.port,
    take() {
      const taken = texts;
      texts = [];
      return taken;
    },
    close() {
      for (const socket of sockets) socket.destroy();
      listener.close();
    },
  };
}

/** PostgreSQL §55.7: the type, four bytes of length, the text, a zero. */
function simpleQuery(chunk: Buffer): string | undefined {
  if (chunk[0] !== 0x51 || chunk.length < 6) return undefined;
  return chunk.toString('utf8', 5, chunk.readUInt32BE(1));
}

/** Three bytes of length, a number, the command 3, the text. */
function comQuery(chunk: Buffer): string | undefined {
  if (chunk[4] !== 0x03) return undefined;
  return chunk.toString('utf8', 5, 4 + chunk.readUIntLE(0, 3));
}
