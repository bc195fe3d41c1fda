import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { foundPki, startChancery } from '#test/chancery.ts';

test('openssl checks the CRLs of a whole chain, root included, before and after a revocation', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const issued = await server.ok('POST', 'pki/certificates', { role: 'web', dns_names: ['a.example.com'] });
  const folder = mkdtempSync(join(tmpdir(), 'chancery-crl-chain-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'root.pem'), issued.chain[1]);
  writeFileSync(join(folder, 'issuing.pem'), issued.chain[0]);
  writeFileSync(join(folder, 'leaf.pem'), issued.certificate);
  const verify = async () => {
    const crls = await Promise.all(['root', 'issuing'].map((name) => crlPem(`${server.url}/pki/${name}/crl/1-0.crl`)));
    writeFileSync(join(folder, 'crls.pem'), crls.join(''));
    const args = [
      'verify',
      '-x509_strict',
      '-crl_check_all',
      '-CAfile',
      'root.pem',
      '-untrusted',
      'issuing.pem',
      '-CRLfile',
      'crls.pem',
      'leaf.pem',
    ];
    const { stdout, stderr } = spawnSync('openssl', args, { cwd: folder, encoding: 'utf8' });
    return stdout + stderr;
  };
  assert.match(await verify(), /leaf\.pem: OK/);
  await server.ok('POST', `pki/certificates/${issued.serial_number}/revoke`, { reason: 'superseded' });
  assert.match(await verify(), /certificate revoked/);
});

async function crlPem(url: string): Promise<string> {
  const input = Buffer.from(await (await fetch(url)).arrayBuffer());
  return execFileSync('openssl', ['crl', '-inform', 'DER', '-outform', 'PEM'], { input, encoding: 'utf8' });
}
