import assert from 'node:assert/strict';
import { createHmac, createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { day, http, startWorld, until } from './client-world.ts';

const life = 90 * day;

test('a certificate is renewed with a third of its life left, and its hook is told each time', async (context) => {
  const { server, advance, pebble } = await startWorld(context);
  const hook = await startHook(context);
  const rule = { effect: 'allow', operations: ['acme.create_order'], resources: ['acme/accounts/pebble'] };
  await server.ok('POST', 'policies', { name: 'orderer', rules: [rule] });
  await server.ok('POST', 'principals', { name: 'robot', kind: 'service', policies: ['orderer'] });
  const robot = server.as((await server.ok('POST', 'principals/robot/keys', {})).key);
  const order = await robot.ok('POST', 'acme/orders', { ...http('a.example.com'), hook_url: hook.url });
  assert.equal(order.state, 'issued', JSON.stringify(order));
  const path = `acme/certificates/${order.certificate_id}`;
  const before = await server.ok('GET', path);
  assert.equal(before.renewal.reason, 'lifetime');
  const at = Date.parse(before.renewal.at);
  const end = Date.parse(before.not_after);
  assert.ok(at <= end - life / 3 && at >= end - life / 3 - life / 50, before.renewal.at);
  const firstKey = (await server.ok('POST', `${path}/download`)).private_key;
  advance(70 * day);
  const after = await until(
    () => server.ok('GET', path),
    (shown) => shown.renewals === 1,
  );
  assert.notEqual(after.serial_number, before.serial_number);
  assert.equal(after.key, 'waits');
  // The order that nobody made belongs to who made the first: where it waits for somebody, they are asked.
  const [renewal] = (await server.ok('GET', 'acme/orders?limit=1')).orders;
  assert.equal((await robot.ok('GET', `acme/orders/${renewal.id}`)).renewal, true);
  assert.equal(after.renewal.order_id, null);
  const renewed = await server.ok('POST', `${path}/download`);
  assert.notEqual(renewed.private_key, firstKey);
  assert.ok(new X509Certificate(renewed.certificate).checkPrivateKey(createPrivateKey(renewed.private_key)));
  assert.equal(await pebble.statusOf(before.serial_number), 'Valid');
  await until(
    () => Promise.resolve(hook.heard.length),
    (heard) => heard >= 2,
  );
  assert.deepEqual(
    hook.heard.map(({ body }) => JSON.parse(body).event),
    ['certificate.issued', 'certificate.renewed'],
  );
  for (const { body, headers } of hook.heard) {
    const { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': signature } = headers;
    const expected = createHmac('sha256', order.hook_secret).update(`${String(id)}.${String(time)}.${body}`);
    assert.equal(signature, `v1,${expected.digest('base64')}`);
  }
});

test('a key that renewals use again stays sealed while renewal is on, is shown once, and goes when it is turned off', async (context) => {
  const { server } = await startWorld(context);
  const order = await server.ok('POST', 'acme/orders', { ...http('b.example.com'), reuse_key: true });
  const path = `acme/certificates/${order.certificate_id}`;
  const { private_key: key } = await server.ok('POST', `${path}/download`);
  const before = await server.ok('GET', path);
  assert.equal(before.key, 'kept');
  assert.equal('private_key' in (await server.ok('POST', `${path}/download`)), false);
  const renewal = await server.ok('POST', `${path}/renew`, { wait: 30 });
  assert.equal(renewal.state, 'issued', JSON.stringify(renewal));
  assert.equal(renewal.renewal, true);
  const after = await server.ok('GET', path);
  assert.notEqual(after.serial_number, before.serial_number);
  assert.equal(after.key_sha256, before.key_sha256);
  assert.ok(new X509Certificate(after.certificate).checkPrivateKey(createPrivateKey(key)));
  await server.ok('POST', `${path}/download`);
  const off = await server.ok('PATCH', path, { renew: false });
  assert.equal(off.key, 'collected');
  assert.equal(off.renewal.on, false);
});

test('names that the account may not order any more are not renewed, and the certificate says so', async (context) => {
  const { server, advance } = await startWorld(context);
  const order = await server.ok('POST', 'acme/orders', http('d.example.com'));
  const path = `acme/certificates/${order.certificate_id}`;
  await server.ok('PATCH', 'acme/accounts/pebble', { allowed_names: ['other.example.com'] });
  advance(70 * day);
  const failing = await until(
    () => server.ok('GET', path),
    (shown) => shown.renewal.failing_since !== null,
  );
  assert.match(failing.renewal.last_error, /d\.example\.com may not be ordered by the account pebble any more/);
  assert.deepEqual([failing.renewals, failing.renewal.order_id], [0, null]);
  await server.ok('PATCH', 'acme/accounts/pebble', { allowed_names: [] });
  await until(
    () => server.ok('POST', `${path}/renew`, { wait: 30 }),
    (renewal) => renewal.state === 'issued',
  );
});

test('renewal stops when who ordered may not order any more, is seen before the end, and goes on with somebody who may', async (context) => {
  const { server, advance } = await startWorld(context);
  const rule = {
    effect: 'allow',
    operations: ['acme.create_order'],
    resources: ['acme/accounts/pebble'],
    // Met by the order, and asked of it again: a renewal comes from nowhere, and states no purpose of its own.
    conditions: { purpose_required: true, source_cidrs: ['127.0.0.0/8'] },
  };
  await server.ok('POST', 'policies', { name: 'orderer', rules: [rule] });
  await server.ok('POST', 'principals', { name: 'robot', kind: 'service', policies: ['orderer'] });
  const robot = server.as((await server.ok('POST', 'principals/robot/keys', {})).key);
  const order = await robot.ok('POST', 'acme/orders', { ...http('p.example.com'), purpose: 'a web site' });
  assert.equal(order.state, 'issued', JSON.stringify(order));
  const path = `acme/certificates/${order.certificate_id}`;
  assert.equal((await server.ok('POST', `${path}/renew`, { wait: 30 })).state, 'issued');
  const shown = (isSo: (stopped: string | null) => boolean) =>
    until(
      () => server.ok('GET', path),
      ({ renewal }) => isSo(renewal.stopped),
    );

  await server.ok('PATCH', 'principals/robot', { disabled: true });
  advance(2 * day);
  const stopped = await shown((why) => why !== null);
  assert.match(stopped.renewal.stopped, /robot, who ordered the certificate, .* is disabled/);
  assert.ok(Date.parse(stopped.renewal.at) - Date.parse(stopped.renewal.failing_since) > 50 * day);
  assert.equal((await server.ok('GET', 'acme/certificates?failing=true')).certificates.length, 1);
  const [ending] = (await server.ok('GET', 'pki/certificates/expiring?within=100d')).certificates;
  assert.match(ending.renewal_error, /robot, who ordered/);
  const { events } = await server.ok('GET', 'audit/events?limit=1000');
  assert.ok(JSON.stringify(events).includes('"stopped":"robot, who ordered'));
  assert.match(await metricsOf(server), /^chancery_acme_client_renewals_stopped 1$/m);

  await server.ok('PATCH', 'principals/robot', { disabled: false });
  // Any change of it has it looked at now.
  await server.ok('PATCH', path, {});
  const going = await shown((why) => why === null);
  assert.deepEqual([going.renewal.failing_since, going.renewal.last_error], [null, null]);

  await server.ok('PATCH', 'principals/robot', { policies: [] });
  advance(70 * day);
  await server.ok('PATCH', path, {});
  const over = await shown((why) => why !== null);
  assert.deepEqual([over.renewals, over.renewal.order_id], [1, null]);
  assert.equal((await robot.call('POST', `${path}/renew`, {})).status, 403);
  assert.equal((await robot.call('PATCH', path, { take_over: true })).status, 403);
  // May order and change, but not fetch: what waits to be fetched is not to be had by becoming its owner.
  const changer = [
    rule,
    { effect: 'allow', operations: ['acme.update_certificate'], resources: ['acme/certificates/*'] },
  ];
  await server.ok('POST', 'policies', { name: 'changer', rules: changer });
  await server.ok('POST', 'principals', { name: 'changer', kind: 'service', policies: ['changer'] });
  const other = server.as((await server.ok('POST', 'principals/changer/keys', {})).key);
  assert.equal((await other.call('PATCH', path, { renew: true })).status, 200);
  assert.equal((await other.call('PATCH', path, { take_over: true })).status, 403);
  const taken = await server.ok('PATCH', path, { take_over: true });
  assert.equal(taken.principal, 'admin');
  const renewed = await until(
    () => server.ok('GET', path),
    ({ renewals }) => renewals === 2,
  );
  assert.deepEqual([renewed.renewal.stopped, renewed.renewal.failing_since], [null, null]);
});

async function metricsOf({
  url,
  token,
}: {
  readonly url: string;
  readonly token: string | undefined;
}): Promise<string> {
  const reply = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  return reply.text();
}

test('a renewal that fails leaves the certificate as it is, says since when, and succeeds once it can', async (context) => {
  const { server, advance, pebble } = await startWorld(context);
  const order = await server.ok('POST', 'acme/orders', {
    account: 'pebble',
    identifiers: ['c.example.com'],
    challenge: 'dns-01',
    wait: 30,
  });
  for (const { name, value } of order.next.records) await pebble.setTxt(name, value);
  const issued = await server.ok('POST', `acme/orders/${order.id}/complete`, { wait: 30 });
  assert.equal(issued.state, 'issued', JSON.stringify(issued));
  const path = `acme/certificates/${order.certificate_id}`;
  const before = await server.ok('GET', path);
  // Pebble uses the authorization again, or asks for another proof, which nobody gives.
  await pebble.stop();
  advance(70 * day);
  const waiting = await until(
    () => server.ok('GET', path),
    (shown) => shown.renewal.order_id !== null,
  );
  const stuck = await until(
    () => server.ok('GET', `acme/orders/${waiting.renewal.order_id}`),
    (shown) => shown.attempts > 0,
  );
  assert.equal(stuck.state, 'created');
  assert.match(stuck.error, /no connection/);
  advance(2 * day);
  const failing = await until(
    () => server.ok('GET', path),
    (shown) => shown.renewal.failures === 1,
  );
  assert.equal(failing.serial_number, before.serial_number);
  assert.notEqual(failing.renewal.failing_since, null);
  assert.match(failing.renewal.last_error, /given up/);
  assert.equal((await server.ok('GET', 'acme/certificates?failing=true')).certificates.length, 1);
});

async function startHook(context: TestContext) {
  const heard: { body: string; headers: IncomingHttpHeaders }[] = [];
  const server = createServer((request, reply) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      heard.push({ body, headers: request.headers });
      reply.writeHead(204).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  return { heard, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook` };
}
