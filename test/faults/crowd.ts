import { connect, type Socket } from 'node:net';

/**
 * Many connections from a process of their own, so that they share no limit and no event loop with the test. The first
 * argument is the port, the others say how many of each kind: `idle=5000 headers=300 body=100`. Each message from the
 * parent is answered with what became of them.
 */
const [port = '', ...wanted] = process.argv.slice(2);

export interface CrowdReport {
  /** Of each kind: connected once, and of these still open. */
  readonly connected: Record<string, number>;
  readonly open: Record<string, number>;
  /** Status lines that were received, with their number. */
  readonly answers: Record<string, number>;
}

const report: CrowdReport = { connected: {}, open: {}, answers: {} };

function count(counts: Record<string, number>, key: string, by = 1): void {
  counts[key] = (counts[key] ?? 0) + by;
}

const head = 'POST /v1/pki/certificates HTTP/1.1\r\nHost: 127.0.0.1\r\n';

/** What each kind sends at once, and then every half second. */
const kinds: Record<string, { readonly first: string; readonly drip: string }> = {
  idle: { first: '', drip: '' },
  headers: { first: head, drip: 'X-A: b\r\n' },
  body: { first: `${head}Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n{`, drip: ' ' },
};

async function join(kind: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = connect(Number(port), '127.0.0.1');
  let wasOpen = false;
  socket.on('connect', () => {
    count(report.connected, kind);
    count(report.open, kind);
    wasOpen = true;
    start(socket, kind);
    resolve();
  });
  socket.on('data', (chunk) => count(report.answers, /^HTTP\/1\.1 \d+/.exec(chunk.toString('latin1'))?.[0] ?? 'other'));
  socket.on('error', () => undefined);
  socket.on('close', () => {
    if (wasOpen) count(report.open, kind, -1);
    resolve();
  });
  await promise;
}

function start(socket: Socket, kind: string): void {
  const { first = '', drip = '' } = kinds[kind] ?? {};
  if (first === '') return;
  socket.write(first);
  const timer = setInterval(() => socket.writable && socket.write(drip), 500);
  socket.on('close', () => clearInterval(timer));
}

for (const each of wanted) {
  const [kind = '', number = '0'] = each.split('=');
  // A few at a time: a kernel whose queue of new connections is full makes clients wait for seconds.
  for (let left = Number(number); left > 0; left -= 200)
    await Promise.all(Array.from({ length: Math.min(left, 200) }, () => join(kind)));
}
process.on('message', () => process.send?.(report));
process.send?.(report);
