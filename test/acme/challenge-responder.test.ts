import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connect } from 'node:tls';
import type { Identifier } from '#acme/challenge/contract.ts';
import { acmeTlsProtocol, alpnDigest, sniOf } from '#acme/challenge/tls-alpn-01.ts';
import { startTlsAlpnResponder, type TlsAlpnProof } from '#acme/challenge/tls-alpn-responder.ts';
import { attempt, challengeWorld, keyAuthorization, verdict } from './challenge-world.ts';

async function responder(context: TestContext, lookup: (sni: string) => Promise<TlsAlpnProof | undefined>) {
  const started = await startTlsAlpnResponder({ listen: { host: '127.0.0.1', port: 0 }, lookup, now: Date.now });
  context.after(() => started.close());
  return started;
}

test('the responder proves names and addresses with a challenge, and fails the handshake for all others', async (context) => {
  const world = await challengeWorld(context);
  world.dns.add('b.test', { type: 'A', value: '127.0.0.1' });
  world.dns.add('broken.test', { type: 'A', value: '127.0.0.1' });
  const identifiers: Identifier[] = [
    { type: 'dns', value: 'a.test' },
    { type: 'ip', value: '127.0.0.1' },
  ];
  const { port } = await responder(context, async (sni) => {
    if (sni === 'broken.test') throw new Error('the store is away');
    const identifier = identifiers.find((each) => sniOf(each) === sni);
    return identifier === undefined ? undefined : { identifier, digest: alpnDigest(keyAuthorization) };
  });
  const validator = world.validator({ tls: port });
  const verdicts = await Promise.all(
    ['a.test', '127.0.0.1', 'b.test', 'broken.test'].map(async (value) =>
      verdict(await validator.validate(attempt('tls-alpn-01', value))),
    ),
  );
  assert.deepEqual(verdicts, ['ok', 'ok', 'tls', 'tls']);
});

test('the responder speaks acme-tls/1 and nothing else, and survives nonsense', async (context) => {
  const proof: TlsAlpnProof = { identifier: { type: 'dns', value: 'a.test' }, digest: alpnDigest(keyAuthorization) };
  const { port } = await responder(context, async () => proof);
  const handshake = async (options: object) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, servername: 'A.test', ...options });
    const ended = await Promise.race([
      once(socket, 'secureConnect').then(() => 'secure'),
      once(socket, 'error').then(() => 'error'),
      once(socket, 'close').then(() => 'error'),
    ]).catch(() => 'error');
    socket.destroy();
    return ended;
  };
  assert.equal(await handshake({ ALPNProtocols: ['http/1.1'] }), 'error');
  assert.equal(
    await handshake({ ALPNProtocols: [acmeTlsProtocol], maxVersion: 'TLSv1.1', minVersion: 'TLSv1' }),
    'error',
  );
  const raw = connectTcp(port, '127.0.0.1').on('error', () => undefined);
  raw.write('GET / HTTP/1.1\r\n\r\n');
  await once(raw, 'close');
  assert.equal(await handshake({ ALPNProtocols: [acmeTlsProtocol, 'h2'] }), 'secure');
});
