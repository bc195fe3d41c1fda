import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { test } from 'node:test';
import { decodeCrl } from '#engines/pki/x509/crl.ts';
import { foundPki, spawnChancery, startChancery } from '#test/chancery.ts';
import { freePort } from '#test/free-port.ts';

/** The second address, for relying parties who fetch by plain HTTP. */

test('beside an API with TLS, plain HTTP serves what certificates name, and nothing else', async (context) => {
  const port = await freePort();
  const env = {
    CHANCERY_TLS: 'self',
    CHANCERY_PUBLIC_URL: 'https://localhost',
    CHANCERY_PUBLIC_LISTEN: `127.0.0.1:${port}`,
  };
  const server = await startChancery(context, { env });
  const open = `http://localhost:${port}`;
  const { status, headers, body } = await read(`${open}/pki/chancery-tls/crl/1-0.crl`);
  assert.deepEqual([status, headers.get('content-type')], [200, 'application/pkix-crl']);
  const name = decodeCrl(body).issuingDistributionPoint?.name?.fullName?.[0];
  assert.deepEqual(name, { kind: 'uri', value: `${open}/pki/chancery-tls/crl/1-0.crl` });
  assert.equal((await read(`${open}/pki/roots.pem`)).status, 200);
  const malformed = { method: 'POST', headers: { 'content-type': 'application/ocsp-request' }, body: 'x' };
  assert.equal((await read(`${open}/pki/chancery-tls/ocsp`, malformed)).status, 200);
  const authorization = `Bearer ${server.token}`;
  for (const path of [
    '/',
    '/healthz',
    '/readyz',
    '/metrics',
    '/docs',
    '/openapi.json',
    '/v1/auth/whoami',
    '/pki',
    '/pki/../v1/auth/whoami',
  ]) {
    const answer = await read(`${open}${path}`, { headers: { authorization } });
    assert.equal(answer.status, 404, path);
    assert.match(answer.body.toString(), /serves CRLs, OCSP and certificates/, path);
  }
  assert.equal(
    (await read(`${open}/v1/pki/roles`, { method: 'POST', headers: { authorization }, body: '{}' })).status,
    404,
  );
});

test('without the setting there is no second address, and certificates name the first', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const { body } = await read(`${server.url}/pki/root/crl/1-0.crl`);
  const name = decodeCrl(body).issuingDistributionPoint?.name?.fullName?.[0];
  assert.deepEqual(name, { kind: 'uri', value: `${server.url}/pki/root/crl/1-0.crl` });
});

test('an address that is taken is told with the setting that names it', async (context) => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  context.after(() => taken.close());
  const { port } = taken.address() as { port: number };
  await assert.rejects(
    spawnChancery(context, { env: { CHANCERY_PUBLIC_LISTEN: `127.0.0.1:${port}` } }),
    /in use by another process[^]*CHANCERY_PUBLIC_LISTEN/,
  );
});

async function read(url: string, options: RequestInit = {}) {
  const reply = await fetch(url, options);
  return { status: reply.status, headers: reply.headers, body: Buffer.from(await reply.arrayBuffer()) };
}
