import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startChancery } from '#test/chancery.ts';
import { freePort } from '#test/free-port.ts';
import { startPebble } from '#test/pebble.ts';

test('an account is registered and a certificate for several names obtained over http-01', async (context) => {
  const address = `127.0.0.1:${await freePort()}`;
  const pebble = await startPebble(context, { httpPort: Number(address.split(':')[1]) });
  const server = await startChancery(context, {
    env: { CHANCERY_LISTEN: address, CHANCERY_OUTBOUND_ALLOW: '127.0.0.1' },
  });
  const account = await server.ok('POST', 'acme/accounts', {
    name: 'pebble',
    directory: pebble.directory,
    ca_certificate: pebble.roots,
    agree_terms_of_service: true,
  });
  assert.equal(account.state, 'active');
  const order = await server.ok('POST', 'acme/orders', {
    account: 'pebble',
    identifiers: ['a.example.com', 'b.example.com'],
    challenge: 'http-01',
    wait: 30,
  });
  assert.equal(order.state, 'issued', JSON.stringify(order));
});
