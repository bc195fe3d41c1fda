import 'reflect-metadata';
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { createServer, type TlsOptions } from 'node:tls';
import acme from 'acme-client';
import { encodeAlpnCertificate } from '#acme/challenge/alpn-certificate.ts';
import type { Identifier } from '#acme/challenge/contract.ts';
import { acmeTlsProtocol, alpnDigest } from '#acme/challenge/tls-alpn-01.ts';
import { encodePem } from '#engines/pki/x509/pem.ts';
import { encodeAnyExtension } from './extension.ts';
import { certify, subject } from '../validation/fixture.ts';
import { attempt, challengeWorld, keyAuthorization, verdict } from './challenge-world.ts';

const digest = alpnDigest(keyAuthorization);
const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const keyPem = keys.privateKey.export({ type: 'pkcs8', format: 'pem' });

async function serveTls(context: TestContext, options: TlsOptions, host = '127.0.0.1'): Promise<number> {
  const server = createServer({ ALPNProtocols: [acmeTlsProtocol], ...options }, (socket) =>
    socket.on('error', () => undefined),
  );
  server.on('tlsClientError', () => undefined).listen(0, host);
  context.after(() => server.close());
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

function proof(identifier: Identifier, of = digest): TlsOptions {
  return { cert: encodePem('CERTIFICATE', encodeAlpnCertificate(identifier, of, keys, Date.now())), key: keyPem };
}

const forA: Identifier = { type: 'dns', value: 'a.test' };

test('RFC 8737 §3: a certificate for the name with the digest proves, asked for by SNI and ALPN', async (context) => {
  const world = await challengeWorld(context);
  const asked: unknown[] = [];
  const port = await serveTls(context, {
    ...proof(forA),
    ALPNProtocols: undefined,
    ALPNCallback: ({ servername, protocols }) => {
      asked.push([servername, protocols]);
      return acmeTlsProtocol;
    },
  });
  assert.equal(verdict(await world.validator({ tls: port }).validate(attempt('tls-alpn-01'))), 'ok');
  assert.deepEqual(asked, [['a.test', [acmeTlsProtocol]]]);
});

test('a certificate that another implementation made proves as well', async (context) => {
  const world = await challengeWorld(context);
  const authz = { identifier: forA } as never;
  const [key, cert] = await acme.crypto.createAlpnCertificate(authz, keyAuthorization);
  const port = await serveTls(context, { key, cert });
  assert.equal(verdict(await world.validator({ tls: port }).validate(attempt('tls-alpn-01'))), 'ok');
});

test('RFC 8738 §6: for an address SNI is its reverse name, and the certificate has an iPAddress', async (context) => {
  const world = await challengeWorld(context);
  for (const [value, sni] of [
    ['127.0.0.1', '1.0.0.127.in-addr.arpa'],
    ['::1', '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa'],
  ] as const) {
    const asked: string[] = [];
    const options = { ...proof({ type: 'ip', value }), SNICallback: undefined };
    const port = await serveTls(
      context,
      {
        ...options,
        ALPNProtocols: undefined,
        ALPNCallback: ({ servername }) => {
          asked.push(servername);
          return acmeTlsProtocol;
        },
      },
      value,
    );
    const validator = world.validator({ tls: port });
    assert.equal(verdict(await validator.validate(attempt('tls-alpn-01', value))), 'ok', value);
    assert.deepEqual(asked, [sni]);
    const named = await serveTls(context, proof({ type: 'dns', value: sni }), value);
    const other = world.validator({ tls: named });
    assert.equal(verdict(await other.validate(attempt('tls-alpn-01', value))), 'incorrectResponse', value);
  }
});

const acmeIdentifier = '1.3.6.1.5.5.7.1.31';
const octets = (content: Buffer) => Buffer.concat([Buffer.of(0x04, content.length), content]);

test('RFC 8737 §3: every deviation of the certificate fails', async (context) => {
  const world = await challengeWorld(context);
  const self = await subject('a.test');
  const good = encodeAnyExtension(acmeIdentifier, true, octets(digest));
  const names = [{ kind: 'dns' as const, value: 'a.test' }];
  const cases: readonly (readonly [string, Parameters<typeof certify>[2], string])[] = [
    ['as it should be', { names, extensions: [good] }, 'ok'],
    ['no SAN', { extensions: [good] }, 'incorrectResponse'],
    ['another name', { names: [{ kind: 'dns', value: 'b.test' }], extensions: [good] }, 'incorrectResponse'],
    ['a wildcard', { names: [{ kind: 'dns', value: '*.test' }], extensions: [good] }, 'incorrectResponse'],
    ['two names', { names: [...names, { kind: 'dns', value: 'b.test' }], extensions: [good] }, 'incorrectResponse'],
    ['the name twice', { names: [...names, ...names], extensions: [good] }, 'incorrectResponse'],
    [
      'a name and an address',
      { names: [...names, { kind: 'ip', bytes: Buffer.of(127, 0, 0, 1) }], extensions: [good] },
      'incorrectResponse',
    ],
    [
      'the name as an email',
      { names: [{ kind: 'email', value: 'a@a.test' }], extensions: [good] },
      'incorrectResponse',
    ],
    ['no acmeIdentifier', { names }, 'incorrectResponse'],
    [
      'not critical',
      { names, extensions: [encodeAnyExtension(acmeIdentifier, false, octets(digest))] },
      'incorrectResponse',
    ],
    ['twice', { names, extensions: [good, good] }, 'incorrectResponse'],
    [
      'another digest',
      { names, extensions: [encodeAnyExtension(acmeIdentifier, true, octets(Buffer.alloc(32)))] },
      'incorrectResponse',
    ],
    ['no octet string', { names, extensions: [encodeAnyExtension(acmeIdentifier, true, digest)] }, 'incorrectResponse'],
    [
      'a short digest',
      { names, extensions: [encodeAnyExtension(acmeIdentifier, true, octets(digest.subarray(0, 31)))] },
      'incorrectResponse',
    ],
    [
      'more after it',
      {
        names,
        extensions: [encodeAnyExtension(acmeIdentifier, true, Buffer.concat([octets(digest), Buffer.of(5, 0)]))],
      },
      'incorrectResponse',
    ],
    [
      'a draft number',
      { names, extensions: [encodeAnyExtension('1.3.6.1.5.5.7.1.30.1', true, octets(digest))] },
      'incorrectResponse',
    ],
  ];
  const key = self.key.privateKey.export({ type: 'pkcs8', format: 'pem' });
  for (const [what, options, expected] of cases) {
    const cert = encodePem('CERTIFICATE', certify(self, self, { ca: false, ...options }).der);
    const port = await serveTls(context, { cert, key });
    assert.equal(verdict(await world.validator({ tls: port }).validate(attempt('tls-alpn-01'))), expected, what);
  }
});

test('RFC 8737 §3: a server that does not agree to acme-tls/1, or speaks TLS 1.1, proves nothing', async (context) => {
  const world = await challengeWorld(context);
  const none = await serveTls(context, { ...proof(forA), ALPNProtocols: undefined });
  assert.equal(verdict(await world.validator({ tls: none }).validate(attempt('tls-alpn-01'))), 'tls');
  const other = await serveTls(context, { ...proof(forA), ALPNProtocols: ['http/1.1'] });
  assert.equal(verdict(await world.validator({ tls: other }).validate(attempt('tls-alpn-01'))), 'tls');
  const old = await serveTls(context, {
    ...proof(forA),
    minVersion: 'TLSv1.1',
    maxVersion: 'TLSv1.1',
    ciphers: 'DEFAULT@SECLEVEL=0',
  });
  assert.equal(verdict(await world.validator({ tls: old }).validate(attempt('tls-alpn-01'))), 'tls');
});

test('responders that hang, hang up or speak nonsense end as an error, and soon', async (context) => {
  const world = await challengeWorld(context);
  const behaviours: readonly (readonly [string, (socket: Socket) => void, string])[] = [
    ['silence', () => undefined, 'connection'],
    ['hangs up', (socket) => socket.destroy(), 'tls'],
    ['plain HTTP', (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'), 'tls'],
    ['a handshake without end', (socket) => drip(socket, Buffer.of(0x16, 3, 3, 0x40, 0)), 'connection'],
    ['a request to renegotiate', (socket) => socket.write(Buffer.of(0x16, 3, 3, 0, 4, 0, 0, 0, 0)), 'connection'],
    ['alerts', (socket) => drip(socket, Buffer.of(0x15, 3, 3, 0, 2, 1, 90)), 'tls'],
  ];
  for (const [what, behave, expected] of behaviours) {
    const sockets = new Set<Socket>();
    const server = createTcpServer((socket) => {
      sockets.add(socket.on('error', () => undefined));
      behave(socket);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const validator = world.validator({ tls: (server.address() as AddressInfo).port, timeoutMs: 400 });
    const found = verdict(await validator.validate(attempt('tls-alpn-01')));
    for (const socket of sockets) socket.destroy();
    server.close();
    assert.ok(found === expected || found === 'tls', `${what}: ${found}`);
  }
});

function drip(socket: Socket, bytes: Buffer): void {
  socket.write(bytes);
  const timer = setInterval(() => socket.write(bytes), 20);
  socket.on('close', () => clearInterval(timer));
}

test('where nothing listens there is no connection; where there is no name there is no address', async (context) => {
  const world = await challengeWorld(context);
  assert.equal(verdict(await world.validator({ tls: 1 }).validate(attempt('tls-alpn-01'))), 'connection');
  assert.equal(verdict(await world.validator({ tls: 1 }).validate(attempt('tls-alpn-01', 'nowhere.test'))), 'dns');
});
