import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, loadConfig } from '#chancery/config.ts';

test('the network side of ACME is as the RFCs have it unless settings say otherwise', () => {
  assert.deepEqual(loadConfig({}, '/nowhere').acme, {
    ports: { http: 80, tls: 443 },
    resolvers: [],
    tlsAlpnListen: null,
  });
  const given = {
    CHANCERY_ACME_HTTP_PORT: '5002',
    CHANCERY_ACME_TLS_PORT: '5001',
    CHANCERY_ACME_RESOLVERS: '10.0.0.53, [fd00::53]:5353, fd00::54, dns.example:53, localhost',
    CHANCERY_ACME_TLS_ALPN_LISTEN: '0.0.0.0:8443',
  };
  assert.deepEqual(loadConfig(given, '/nowhere').acme, {
    ports: { http: 5002, tls: 5001 },
    resolvers: [
      { host: '10.0.0.53', port: 53 },
      { host: 'fd00::53', port: 5353 },
      { host: 'fd00::54', port: 53 },
      { host: 'dns.example', port: 53 },
      { host: 'localhost', port: 53 },
    ],
    tlsAlpnListen: { host: '0.0.0.0', port: 8443 },
  });
});

test('resolvers that cannot be read are refused', () => {
  for (const resolvers of [
    '10.0.0.53:0',
    '10.0.0.53:70000',
    '[10.0.0.53]:53',
    'a b',
    ',',
    'udp://10.0.0.53',
    Array(9).fill('10.0.0.1').join(),
  ])
    assert.throws(() => loadConfig({ CHANCERY_ACME_RESOLVERS: resolvers }, '/nowhere'), ConfigError, resolvers);
});
