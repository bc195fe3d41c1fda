import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import { boundReading } from '#http/reply.ts';
import { rawExchange, startServer } from './harness.ts';

const headers = { 'content-type': 'application/json' };
const bodyOf = (field: string, bytes: number): string => {
  const frame = JSON.stringify({ [field]: '' });
  return frame.replace('""', `"${'a'.repeat(bytes - frame.length)}"`);
};

test('a body is accepted up to the limit and refused above it with 413', async (context) => {
  const { call } = await startServer(context);
  const largest = await call('POST', '/v1/test/roles/web', { body: bodyOf('secret', 1_048_576), headers });
  assert.equal(largest.status, 201);
  const { status, json } = await call('POST', '/v1/test/roles/web', { body: bodyOf('secret', 1_048_577), headers });
  assert.deepEqual([status, json['code']], [413, 'too_large']);
});

test('an operation that takes a CSR has its own, smaller limit', async (context) => {
  const { call } = await startServer(context);
  assert.equal((await call('POST', '/v1/test/sign', { body: bodyOf('csr', 65_536), headers })).status, 200);
  const { status, json } = await call('POST', '/v1/test/sign', { body: bodyOf('csr', 65_537), headers });
  assert.deepEqual([status, json['hint']], [413, 'At most 65536 bytes are accepted.']);
});

test('a body without a length is cut at the limit as well', async (context) => {
  const { url } = await startServer(context);
  const chunk = `10000\r\n${'a'.repeat(65_536)}\r\n`;
  const answer = await rawExchange(
    url,
    `POST /v1/test/sign HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n` +
      `Transfer-Encoding: chunked\r\n\r\n${chunk}${chunk}0\r\n\r\n`,
  );
  assert.match(answer, /^HTTP\/1\.1 413 /);
});

test('clients that send headers or bodies too slowly are told so and dropped, while others are served', async (context) => {
  const { url, call } = await startServer(context, { config: { requestTimeout: 300 } });
  const slow = [
    'GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ',
    'POST /v1/test/sign HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"csr"',
  ];
  const answers = slow.map((text) => rawExchange(url, text));
  assert.equal((await call('GET', '/v1/test/roles')).status, 200);
  for (const answer of await Promise.all(answers)) {
    assert.match(answer, /^HTTP\/1\.1 408 /);
    assert.equal((JSON.parse(answer.split('\r\n\r\n')[1] ?? '') as { code: string }).code, 'request_timeout');
  }
});

test('a client that stops reading a large answer is cut off', async (context) => {
  const body = Buffer.alloc(32_000_000, 'a');
  const { url } = await startServer(context, {
    config: { silenceTimeout: 300 },
    publicRoutes: [
      { method: 'GET', path: '/large', summary: 'Large', handle: () => ({ status: 200, headers: {}, body }) },
    ],
  });
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write('GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await once(socket, 'readable');
  socket.pause();
  await new Promise((resolve) => {
    setTimeout(resolve, 1000);
  });
  let received = 0;
  socket.on('data', (chunk: Buffer) => {
    received += chunk.length;
  });
  socket.on('error', () => undefined);
  socket.resume();
  await once(socket, 'close');
  assert.ok(received < body.length, `${received} bytes came although nobody was reading`);
});

test('a client that reads a large answer, but too slowly, is cut off', async (context) => {
  const body = Buffer.alloc(32_000_000, 'a');
  const server = createServer((_request, response) => {
    boundReading(response, body.length, { alwaysBuffered: 65_536, grace: 200, slowest: body.length * 10 });
    response.end(body);
  });
  context.after(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const slow = connect(port, '127.0.0.1');
  slow.on('error', () => undefined);
  slow.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  let received = 0;
  const reading = setInterval(() => {
    received += (slow.read(1000) as Buffer | null)?.length ?? 0;
  }, 20);
  context.after(() => clearInterval(reading));
  // What is in the buffers of the kernel can still be read; that the rest never comes is what ends the connection.
  await once(slow, 'readable');
  await untilNoConnection(server);
  assert.ok(received < body.length);
});

test('more connections than allowed are turned away', async (context) => {
  const { url } = await startServer(context, { config: { maxConnections: 3 } });
  const { hostname, port } = new URL(url);
  const open = await Promise.all(
    [1, 2, 3].map(async () => {
      const socket = connect(Number(port), hostname);
      await once(socket, 'connect');
      // An answer proves that the server has accepted it; a connection waiting in the backlog looks the same from here.
      socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await once(socket, 'data');
      return socket;
    }),
  );
  assert.equal(await rawExchange(url, 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'), '');
  for (const socket of open) socket.destroy();
});

async function untilNoConnection(server: Server): Promise<void> {
  for (;;) {
    const count = await new Promise<number>((resolve, reject) => {
      server.getConnections((error, open) => (error ? reject(error) : resolve(open)));
    });
    if (count === 0) return;
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
}
