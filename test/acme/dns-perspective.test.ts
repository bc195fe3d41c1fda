import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createPerspective, createPerspectives, systemServers } from '#acme/dns/perspective.ts';
import { startDnsServer } from '#test/dns-server.ts';

const soon = () => AbortSignal.timeout(5000);

test('the hosts file of the machine goes before the DNS, where no resolver is configured', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-hosts-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const dns = await startDnsServer();
  context.after(() => dns.close());
  dns.add('a.test', { type: 'A', value: '192.0.2.1' });
  dns.add('b.test', { type: 'A', value: '192.0.2.2' });
  const file = join(folder, 'hosts');
  writeFileSync(file, '# comment a.test\n127.0.0.1 localhost A.test alias # b.test\n\t::1  a.test\nnonsense a.test\n');
  const view = createPerspective([dns], file);
  assert.deepEqual(await view.addresses('a.test', soon()), ['::1', '127.0.0.1']);
  assert.deepEqual(await view.addresses('b.test', soon()), ['192.0.2.2']);
  assert.deepEqual(await createPerspective([dns]).addresses('a.test', soon()), ['192.0.2.1']);
  assert.deepEqual(await createPerspective([dns], join(folder, 'none')).addresses('a.test', soon()), ['192.0.2.1']);
});

test('addresses of both families, IPv6 first; one family that fails does not hide the other', async (context) => {
  const dns = await startDnsServer();
  context.after(() => dns.close());
  const view = createPerspective([dns]);
  dns.add('a.test', { type: 'A', value: '192.0.2.1' }, { type: 'AAAA', value: '2001:db8:0:0:0:0:0:1' });
  assert.deepEqual(await view.addresses('a.test', soon()), ['2001:db8::1', '192.0.2.1']);
  dns.override = ({ type }) => (type === 'AAAA' ? { code: 2 } : undefined);
  assert.deepEqual(await view.addresses('a.test', soon()), ['192.0.2.1']);
  dns.override = ({ type }) => (type === 'A' ? { code: 2 } : { records: [] });
  await assert.rejects(view.addresses('a.test', soon()), { name: 'DnsError', fault: 'failed' });
  dns.override = undefined;
  assert.deepEqual(await view.addresses('nowhere.test', soon()), []);
});

test('every configured resolver is a view of its own; those of the system are one', () => {
  assert.equal(createPerspectives([]).length, 1);
  assert.equal(createPerspectives([{ host: '192.0.2.1', port: 53 }]).length, 1);
  const both = ['192.0.2.1', '192.0.2.2'].map((host) => ({ host, port: 53 }));
  assert.equal(createPerspectives(both).length, 2);
  for (const { host, port } of systemServers()) assert.ok(isIP(host) !== 0 && port > 0);
});

test('a resolver that cannot be reached is told from one that is silent', async (context) => {
  const dns = await startDnsServer();
  await dns.close();
  await assert.rejects(createPerspective([dns]).texts('a.test', soon()), { name: 'DnsError', fault: 'unreachable' });
  const silent = await startDnsServer();
  context.after(() => silent.close());
  silent.override = () => 'silence';
  await assert.rejects(createPerspective([silent]).texts('a.test', AbortSignal.timeout(100)), { fault: 'timeout' });
  await assert.rejects(createPerspective([]).texts('a.test', soon()), { fault: 'unreachable' });
});
