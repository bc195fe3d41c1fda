import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { test } from 'node:test';
import { encodeAlpnCertificate } from '#acme/challenge/alpn-certificate.ts';
import { encodePem } from '#engines/pki/x509/pem.ts';
import { attempt, challengeWorld, keyAuthorization, serveHttp, token, verdict } from './challenge-world.ts';

const path = `/.well-known/acme-challenge/${token}`;

test('RFC 8555 §8.3: the key authorization at the well-known path proves, with whitespace after it or not', async (context) => {
  const world = await challengeWorld(context);
  const seen: string[] = [];
  let body = keyAuthorization;
  const port = await serveHttp(context, (request, response) => {
    seen.push(`${request.method} ${request.headers.host} ${request.url}`);
    response.end(body);
  });
  const validator = world.validator({ http: port });
  assert.equal(verdict(await validator.validate(attempt('http-01'))), 'ok');
  assert.deepEqual(seen, [`GET a.test:${port} ${path}`]);
  body = `${keyAuthorization} \r\n\t\n`;
  assert.equal(verdict(await validator.validate(attempt('http-01'))), 'ok');
  for (const other of ['', ` ${keyAuthorization}`, `${keyAuthorization}x`, keyAuthorization.toLowerCase(), token]) {
    body = other;
    assert.equal(verdict(await validator.validate(attempt('http-01'))), 'incorrectResponse', other);
  }
});

test('RFC 8555 §8.3: an answer with another status than 200 proves nothing', async (context) => {
  const world = await challengeWorld(context);
  let status = 404;
  const port = await serveHttp(context, (_, response) => response.writeHead(status).end(keyAuthorization));
  const validator = world.validator({ http: port });
  for (status of [201, 204, 304, 400, 404, 500])
    assert.equal(verdict(await validator.validate(attempt('http-01'))), 'incorrectResponse', String(status));
});

test('what a responder answered is not repeated in the problem: it may be an inner server', async (context) => {
  const world = await challengeWorld(context);
  const port = await serveHttp(context, (_, response) => response.end('instance-secret-of-metadata'));
  const result = await world.validator({ http: port }).validate(attempt('http-01'));
  assert.equal(verdict(result), 'incorrectResponse');
  assert.doesNotMatch(JSON.stringify(result), /instance-secret/);
});

test('RFC 8738 §4: addresses are connected to as they are, IPv6 in brackets', async (context) => {
  const world = await challengeWorld(context);
  const seen: (string | undefined)[] = [];
  const port = await serveHttp(
    context,
    (request, response) => {
      seen.push(request.headers.host);
      response.end(keyAuthorization);
    },
    '::',
  );
  const validator = world.validator({ http: port });
  assert.equal(verdict(await validator.validate(attempt('http-01', '127.0.0.1'))), 'ok');
  assert.equal(verdict(await validator.validate(attempt('http-01', '::1'))), 'ok');
  assert.deepEqual(seen, [`127.0.0.1:${port}`, `[::1]:${port}`]);
  assert.equal(world.dns.queries.length, 0);
});

test('IPv6 is tried first, and IPv4 when nothing listens there', async (context) => {
  const world = await challengeWorld(context);
  world.dns.add('a.test', { type: 'AAAA', value: '0:0:0:0:0:0:0:1' });
  const port = await serveHttp(context, (_, response) => response.end(keyAuthorization));
  assert.equal(verdict(await world.validator({ http: port }).validate(attempt('http-01'))), 'ok');
});

test('RFC 8555 §8.3: redirects are followed over http and https, without a check of the certificate', async (context) => {
  const world = await challengeWorld(context);
  world.dns.add('b.test', { type: 'A', value: '127.0.0.1' });
  const { cert, key } = selfSigned();
  const secure = createTlsServer({ cert, key }, (_, response) => response.end(keyAuthorization)).listen(0, '127.0.0.1');
  context.after(() => {
    secure.closeAllConnections();
    secure.close();
  });
  await once(secure, 'listening');
  const tls = (secure.address() as AddressInfo).port;
  const port = await serveHttp(context, (request, response) => {
    const target = request.headers.host?.startsWith('a.test') ? `http://b.test/moved` : 'https://b.test/proof';
    response.writeHead(302, { location: target }).end();
  });
  assert.equal(verdict(await world.validator({ http: port, tls }).validate(attempt('http-01'))), 'ok');
  assert.ok(world.dns.queries.some(({ name }) => name === 'b.test'));
});

test('every redirect status is followed, and relative targets are', async (context) => {
  const world = await challengeWorld(context);
  let status = 301;
  const port = await serveHttp(context, (request, response) => {
    if (request.url === '/moved') response.end(keyAuthorization);
    else response.writeHead(status, { location: '/moved' }).end();
  });
  const validator = world.validator({ http: port });
  for (status of [301, 302, 303, 307, 308])
    assert.equal(verdict(await validator.validate(attempt('http-01'))), 'ok', String(status));
});

test('RFC 8555 §10.4: names at addresses that are not allowed are refused without a connection', async (context) => {
  const world = await challengeWorld(context);
  let connections = 0;
  const server = createTcpServer(() => (connections += 1)).listen(0, '0.0.0.0');
  context.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const validator = world.validator({ http: port, tls: port });
  for (const address of ['127.0.0.1', '10.0.0.1', '169.254.169.254', '192.168.1.1', '0.0.0.0', '100.64.0.1'])
    world.dns.zone.set(`A inner-${address.replaceAll('.', '-')}.test`, [{ type: 'A', value: address }]);
  for (const key of world.dns.zone.keys())
    for (const type of ['http-01', 'tls-alpn-01'] as const)
      assert.equal(verdict(await validator.validate(attempt(type, key.slice(2), []))), 'connection final', key);
  for (const address of ['127.0.0.1', '::1', '169.254.169.254', 'fd00:ec2::254', '::ffff:127.0.0.1', '64:ff9b::7f00:1'])
    for (const type of ['http-01', 'tls-alpn-01'] as const)
      assert.equal(verdict(await validator.validate(attempt(type, address, []))), 'connection final', address);
  assert.equal(connections, 0);
});

test('a redirect is resolved and judged anew: metadata, inner addresses and other ports are refused', async (context) => {
  const world = await challengeWorld(context);
  world.dns.add('inner.test', { type: 'A', value: '10.1.2.3' });
  let location = '';
  let requests = 0;
  const port = await serveHttp(context, (_, response) => {
    requests += 1;
    response.writeHead(302, { location }).end();
  });
  const validator = world.validator({ http: port });
  const targets = [
    ['http://169.254.169.254/latest/meta-data/', 'connection final'],
    ['http://[fd00:ec2::254]/', 'connection final'],
    ['http://2852039166/', 'connection final'],
    ['http://inner.test/', 'connection final'],
    ['http://a.test:22/', 'connection final'],
    [`http://a.test:${port + 1}/`, 'connection final'],
    ['http://user:password@a.test/', 'incorrectResponse'],
    ['ftp://a.test/', 'incorrectResponse'],
    ['file:///etc/passwd', 'incorrectResponse'],
    ['gopher://a.test/', 'incorrectResponse'],
    ['http://', 'incorrectResponse'],
    [`http://a.test/${'a'.repeat(5000)}`, 'incorrectResponse'],
    [`http://${'a.'.repeat(900)}test/`, 'dns'],
    ['http://nowhere.test/', 'dns'],
  ] as const;
  for (const [target, expected] of targets) {
    location = target;
    const result = await validator.validate(attempt('http-01'));
    assert.equal(verdict(result), expected, target.slice(0, 60));
    assert.ok(JSON.stringify(result).length < 600);
  }
  assert.equal(requests, targets.length);
});

test('a redirect loop ends after ten redirects', async (context) => {
  const world = await challengeWorld(context);
  let requests = 0;
  const port = await serveHttp(context, (request, response) => {
    requests += 1;
    response.writeHead(301, { location: request.url ?? '/' }).end();
  });
  assert.equal(verdict(await world.validator({ http: port }).validate(attempt('http-01'))), 'connection final');
  assert.equal(requests, 11);
});

test('DNS rebinding: the address that was judged is the address that is connected to', async (context) => {
  const world = await challengeWorld(context);
  let asked = 0;
  world.dns.override = ({ type }) => {
    if (type !== 'A') return { records: [] };
    asked += 1;
    return { records: [{ type: 'A', value: asked === 1 ? '127.0.0.1' : '10.1.2.3' }] };
  };
  let location: string | undefined;
  const port = await serveHttp(context, (_, response) => {
    if (location === undefined) response.end(keyAuthorization);
    else response.writeHead(302, { location }).end();
  });
  const validator = world.validator({ http: port });
  assert.equal(verdict(await validator.validate(attempt('http-01', 'rebind.test'))), 'ok');
  assert.equal(asked, 1);
  asked = 0;
  location = '/again';
  assert.equal(verdict(await validator.validate(attempt('http-01', 'rebind.test'))), 'connection final');
});

test('responders that hang, drip or flood end as an error, and soon', async (context) => {
  const world = await challengeWorld(context);
  const connections = new Set<{ destroy(): void }>();
  const silent = createTcpServer((socket) => connections.add(socket.on('error', () => undefined))).listen(
    0,
    '127.0.0.1',
  );
  context.after(() => {
    for (const socket of connections) socket.destroy();
    silent.close();
  });
  await once(silent, 'listening');
  const hang = world.validator({ http: (silent.address() as AddressInfo).port, timeoutMs: 300 });
  assert.equal(verdict(await hang.validate(attempt('http-01'))), 'connection');

  const drip = await serveHttp(context, (_, response) => {
    response.writeHead(200, { 'content-length': 1000 });
    const timer = setInterval(() => response.write('x'), 20);
    response.on('close', () => clearInterval(timer));
  });
  assert.equal(
    verdict(await world.validator({ http: drip, timeoutMs: 300 }).validate(attempt('http-01'))),
    'connection',
  );

  let sent = 0;
  const flood = await serveHttp(context, (_, response) => {
    const chunk = Buffer.alloc(16_384, 'x');
    const pour = () => {
      while (!response.destroyed && sent < 50_000_000 && response.write(chunk)) sent += chunk.length;
    };
    response.on('drain', pour);
    pour();
  });
  assert.equal(verdict(await world.validator({ http: flood }).validate(attempt('http-01'))), 'incorrectResponse');
  assert.ok(sent < 10_000_000, `${sent} bytes were taken`);

  const headers = createTcpServer((socket) => {
    socket.on('error', () => undefined);
    socket.write(`HTTP/1.1 200 OK\r\n${'x: y\r\n'.repeat(20_000)}`);
  }).listen(0, '127.0.0.1');
  context.after(() => headers.close());
  await once(headers, 'listening');
  const manyHeaders = world.validator({ http: (headers.address() as AddressInfo).port });
  assert.equal(verdict(await manyHeaders.validate(attempt('http-01'))), 'connection');
});

test('an answer that is compressed, chunked without end, or no HTTP at all, proves nothing', async (context) => {
  const world = await challengeWorld(context);
  for (const answer of ['SSH-2.0-OpenSSH_9.2\r\n', '\0\0\0\0', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n']) {
    const server = createTcpServer((socket) => socket.on('error', () => undefined).end(answer)).listen(0, '127.0.0.1');
    context.after(() => server.close());
    await once(server, 'listening');
    const validator = world.validator({ http: (server.address() as AddressInfo).port });
    assert.equal(verdict(await validator.validate(attempt('http-01'))), 'connection', JSON.stringify(answer));
  }
});

test('closing the validator ends what is under way', async (context) => {
  const world = await challengeWorld(context);
  const { promise, resolve } = Promise.withResolvers<void>();
  const port = await serveHttp(context, () => resolve());
  const validator = world.validator({ http: port, timeoutMs: 60_000 });
  const result = validator.validate(attempt('http-01'));
  await promise;
  await validator.close();
  assert.equal(verdict(await result), 'serverInternal');
});

/** Good for another purpose and another name. */
function selfSigned(): { cert: string; key: string } {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const der = encodeAlpnCertificate({ type: 'dns', value: 'else.test' }, Buffer.alloc(32), keys, Date.now());
  return { cert: encodePem('CERTIFICATE', der), key: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }) };
}
