import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { allowedRanges, isPublicAddress } from '#outbound/address-rules.ts';
import { createGuardedFetch, OutboundError, type OutboundOptions } from '#outbound/guarded-fetch.ts';
import { encodePem } from '#engines/pki/x509/pem.ts';
import { certify, root, subject } from '../validation/fixture.ts';

const usual: OutboundOptions = { allowPrivate: ['127.0.0.0/8'], timeoutMs: 5000, maxBytes: 10_000 };

async function serve(context: TestContext, listener: RequestListener): Promise<number> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  context.after(() => server.close());
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

function faultOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (thrown: unknown) => (thrown instanceof OutboundError ? thrown.fault : `not ours: ${String(thrown)}`),
  );
}

const special = [
  '0.0.0.0',
  '10.1.2.3',
  '100.64.0.1',
  '127.0.0.1',
  '127.255.255.254',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.170',
  '192.168.1.1',
  '198.19.0.1',
  '203.0.113.9',
  '224.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::ffff:127.0.0.1',
  '::ffff:8.8.8.8',
  '::127.0.0.1',
  '64:ff9b::7f00:1',
  '64:ff9b:1::1',
  '100::1',
  'fc00::1',
  'fd12:3456::1',
  'fe80::1',
  'ff02::1',
  '2001::1',
  '2001:db8::1',
  '2002:7f00:1::',
  '3fff::1',
  'localhost',
  '',
];

test('addresses that are not of the public Internet are known as such, in every form', () => {
  for (const address of special) assert.equal(isPublicAddress(address), false, address);
  for (const address of ['1.1.1.1', '8.8.8.8', '172.32.0.1', '192.0.1.1', '2606:4700::1111', '2a00:1450:4001::1'])
    assert.equal(isPublicAddress(address), true, address);
});

test('ranges that are allowed are allowed as they were written, and no more', () => {
  const isAllowed = allowedRanges(['10.0.0.0/8', '192.168.1.7', 'fd00::/8']);
  const verdicts = ['10.9.9.9', '192.168.1.7', '192.168.1.8', 'fd00::5', 'fc00::5', '::ffff:10.0.0.1'].map(isAllowed);
  assert.deepEqual(verdicts, [true, true, false, true, false, false]);
  assert.throws(() => allowedRanges(['example.com']), RangeError);
});

test('URLs that lead to this machine are refused without a connection, however they are written', async (context) => {
  let connections = 0;
  const server = createTcpServer(() => (connections += 1)).listen(0, '0.0.0.0');
  context.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const fetch = createGuardedFetch({ ...usual, allowPrivate: false });
  const hosts = [
    '127.0.0.1',
    'localhost',
    '127.1',
    '2130706433',
    '0x7f000001',
    '0177.0.0.1',
    '0',
    '0.0.0.0',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[64:ff9b::127.0.0.1]',
    '127。0。0。1',
    '①②⑦.0.0.1',
  ];
  for (const host of hosts)
    assert.equal(await faultOf(fetch({ url: `http://${host}:${port}/` })), 'refused_address', host);
  assert.equal(connections, 0);
});

test('what is no URL of http or https, or names a user, is refused', async () => {
  const fetch = createGuardedFetch({ ...usual, allowPrivate: true });
  const urls = [
    'file:///etc/passwd',
    'ftp://127.0.0.1/',
    'gopher://127.0.0.1/',
    'ldap://127.0.0.1/',
    'unix:/run/docker.sock',
    'data:,x',
    'javascript:0',
    'http://',
    '//127.0.0.1/',
    '/path',
    'http://user:password@127.0.0.1/',
    'http://[::1%25lo]/',
    `http://127.0.0.1/${'a'.repeat(3000)}`,
  ];
  for (const url of urls) assert.equal(await faultOf(fetch({ url })), 'bad_url', url.slice(0, 40));
});

test('a name is resolved once, and the address that was checked is the one that is connected to', async (context) => {
  const seen: string[] = [];
  const port = await serve(context, (request, reply) => {
    seen.push(request.headers.host ?? '');
    reply.end('here');
  });
  let asked = 0;
  const resolve = () => {
    asked += 1;
    return Promise.resolve(asked === 1 ? ['127.0.0.1'] : ['169.254.169.254']);
  };
  const fetch = createGuardedFetch({ ...usual, resolve });
  const { status, body } = await fetch({ url: `http://rebinding.example:${port}/` });
  assert.deepEqual([status, body.toString(), asked], [200, 'here', 1]);
  assert.deepEqual(seen, [`rebinding.example:${port}`]);
  assert.equal(await faultOf(fetch({ url: `http://rebinding.example:${port}/` })), 'refused_address');
});

test('of several addresses one that is allowed is taken, and a name without any is refused', async (context) => {
  const port = await serve(context, (_, reply) => reply.end('here'));
  const fetchBy = (...addresses: string[]) => createGuardedFetch({ ...usual, resolve: async () => addresses });
  assert.equal((await fetchBy('10.0.0.1', '127.0.0.1')({ url: `http://a.example:${port}/` })).status, 200);
  assert.equal(await faultOf(fetchBy('10.0.0.1', 'fe80::1')({ url: `http://a.example:${port}/` })), 'refused_address');
  assert.equal(await faultOf(fetchBy()({ url: `http://a.example:${port}/` })), 'refused_address');
  const failing = createGuardedFetch({ ...usual, resolve: () => Promise.reject(new Error('NXDOMAIN')) });
  assert.equal(await faultOf(failing({ url: 'http://a.example/' })), 'unresolved');
});

test('a redirect is not followed, whatever it points to', async (context) => {
  let followed = false;
  const port = await serve(context, (request, reply) => {
    if (request.url === '/elsewhere') followed = true;
    const code = Number(request.url?.slice(1));
    reply.writeHead(code, { location: `http://127.0.0.1:${port}/elsewhere` }).end();
  });
  const fetch = createGuardedFetch(usual);
  for (const code of [301, 302, 303, 307, 308])
    assert.equal(await faultOf(fetch({ url: `http://127.0.0.1:${port}/${code}` })), 'redirected');
  assert.equal(followed, false);
  assert.equal((await fetch({ url: `http://127.0.0.1:${port}/404` })).status, 404);
});

test('a body that does not end is cut off at the bound, and no more of it is read', async (context) => {
  let written = 0;
  const port = await serve(context, (_, reply) => {
    const chunk = Buffer.alloc(8192);
    const more = () => {
      while (!reply.destroyed && written < 100_000_000) {
        written += chunk.length;
        if (!reply.write(chunk)) break;
      }
      if (!reply.destroyed) reply.once('drain', more);
    };
    more();
  });
  assert.equal(await faultOf(createGuardedFetch(usual)({ url: `http://127.0.0.1:${port}/` })), 'too_large');
  assert.ok(written < 50_000_000, `${written} bytes were written`);
});

test('a server that never answers, or never ends, is left after the time', async (context) => {
  const port = await serve(context, (request, reply) => {
    if (request.url === '/half') reply.write('half');
  });
  const silent = createTcpServer(() => {}).listen(0, '127.0.0.1');
  context.after(() => silent.close());
  await once(silent, 'listening');
  const fetch = createGuardedFetch({ ...usual, timeoutMs: 200 });
  const closed = await serve(context, () => {});
  assert.equal(await faultOf(fetch({ url: `http://127.0.0.1:${port}/never` })), 'timeout');
  assert.equal(await faultOf(fetch({ url: `http://127.0.0.1:${port}/half` })), 'timeout');
  assert.equal(await faultOf(fetch({ url: `http://127.0.0.1:${(silent.address() as AddressInfo).port}/` })), 'timeout');
  assert.equal(await faultOf(fetch({ url: `http://127.0.0.1:${closed}/` })), 'timeout');
  const stuck = createGuardedFetch({ ...usual, timeoutMs: 200, resolve: () => new Promise(() => {}) });
  assert.equal(await faultOf(stuck({ url: 'http://a.example/' })), 'timeout');
});

test('headers that do not end, and answers that are no HTTP, are faults of ours', async (context) => {
  const rude = createTcpServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (data) => {
      if (data.toString().startsWith('GET /headers')) socket.write(`HTTP/1.1 200 OK\r\nx: ${'a'.repeat(70_000)}`);
      else socket.end('220 smtp.example ESMTP\r\n');
    });
  }).listen(0, '127.0.0.1');
  context.after(() => rude.close());
  await once(rude, 'listening');
  const { port } = rude.address() as AddressInfo;
  const fetch = createGuardedFetch(usual);
  assert.equal(await faultOf(fetch({ url: `http://127.0.0.1:${port}/headers` })), 'connection_failed');
  assert.equal(await faultOf(fetch({ url: `http://127.0.0.1:${port}/` })), 'connection_failed');
});

test('a header cannot be smuggled in by URL, and the Host cannot be chosen', async (context) => {
  let host: string | undefined;
  let smuggled: unknown;
  const port = await serve(context, (request, reply) => {
    host = request.headers.host;
    smuggled = request.headers['x-smuggled'];
    reply.end();
  });
  const fetch = createGuardedFetch(usual);
  await fetch({ url: `http://127.0.0.1:${port}/a\r\nx-smuggled: 1`, headers: { host: 'internal.example' } });
  assert.deepEqual([host, smuggled], [`127.0.0.1:${port}`, undefined]);
});

test('the certificate of an https server is checked against its name, under the roots that were given', async (context) => {
  const now = Date.now();
  const life = { notBefore: now - 60_000, notAfter: now + 600_000 };
  const anchor = await root('Root', life);
  const names = [{ kind: 'dns', value: 'secure.example' }] as const;
  const leaf = certify(await subject('leaf'), anchor, { ca: false, names, ...life });
  const server = createTlsServer(
    {
      cert: encodePem('CERTIFICATE', leaf.der),
      key: leaf.key.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    },
    (_, reply) => reply.end('secret'),
  ).listen(0, '127.0.0.1');
  context.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const options = { ...usual, resolve: async () => ['127.0.0.1'] };
  const trusting = createGuardedFetch({ ...options, ca: encodePem('CERTIFICATE', anchor.der) });
  assert.equal((await trusting({ url: `https://secure.example:${port}/` })).body.toString(), 'secret');
  assert.equal(await faultOf(trusting({ url: `https://other.example:${port}/` })), 'connection_failed');
  assert.equal(
    await faultOf(createGuardedFetch(options)({ url: `https://secure.example:${port}/` })),
    'connection_failed',
  );
});

test('a body is posted as it is', async (context) => {
  const port = await serve(context, (request, reply) => {
    request.pipe(reply.writeHead(200, { 'x-type': request.headers['content-type'] }));
  });
  const body = Buffer.from([0, 1, 255]);
  const answer = await createGuardedFetch(usual)({
    url: `http://127.0.0.1:${port}/`,
    method: 'POST',
    headers: { 'content-type': 'application/ocsp-request' },
    body,
  });
  assert.deepEqual([answer.body, answer.headers['x-type']], [body, 'application/ocsp-request']);
});
