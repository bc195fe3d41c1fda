import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { must, type Outcome, run } from './tools.ts';
import { knows } from './verdict.ts';
import { type Chain, foundWorld, password } from './world.ts';

/** NSS, which Firefox and Red Hat's servers use: its certificate database, its CRLs, its PKCS#12. */

const world = await foundWorld({ keys: 'pkcs12' });
after(() => world.close());

/** A new and empty certificate database; the word that tools take. */
async function newDatabase(chain: Chain, name: string): Promise<string> {
  const folder = join(chain.folder, name);
  mkdirSync(folder);
  await must('certutil', ['-N', '-d', `sql:${folder}`, '--empty-password']);
  return `sql:${folder}`;
}

type Certificate = 'root' | 'impostor' | 'issuing' | 'leaf' | 'lost';

/** `C,,`: trusted to issue server certificates. */
function add(chain: Chain, database: string, name: Certificate): Promise<Outcome> {
  const trust = name === 'root' || name === 'impostor' ? 'C,,' : ',,';
  return run('certutil', ['-A', '-d', database, '-n', name, '-t', trust, '-a', '-i', chain.file(`${name}.pem`)]);
}

/** Usage `V`: a TLS server; `L`: an authority of TLS servers. `-e`: check the signature too. */
async function verdictOf(database: string, name: Certificate, usage: 'V' | 'L' = 'V'): Promise<string> {
  return (await run('certutil', ['-V', '-d', database, '-n', name, '-u', usage, '-e'])).output.trim();
}

const valid = 'certutil: certificate is valid';

for (const chain of world.chains) {
  const { keyType } = chain;

  test(`NSS accepts a chain of ${keyType}, and no impostor`, async (context) => {
    const database = await newDatabase(chain, 'nss');
    const outcome = await add(chain, database, 'root');
    if (!knows(context, 'certutil -A', keyType, outcome.code === 0, outcome)) return;
    for (const name of ['issuing', 'leaf'] as const) assert.equal((await add(chain, database, name)).code, 0);
    assert.equal(await verdictOf(database, 'leaf'), valid);
    assert.equal(await verdictOf(database, 'issuing', 'L'), valid);
    const path = await run('vfychain', ['-d', database, '-u', '1', '-a', chain.file('leaf.pem')]);
    assert.match(path.output, /Chain is good!/);
    const other = await newDatabase(chain, 'nss-other');
    for (const name of ['impostor', 'issuing', 'leaf'] as const) assert.equal((await add(chain, other, name)).code, 0);
    assert.match(await verdictOf(other, 'leaf'), /certificate is invalid/);
  });

  test(`NSS imports the CRLs of ${keyType}, and refuses what is revoked`, async (context) => {
    await refusesByCrl(context, chain);
  });

  test(`NSS imports key and certificates of the PKCS#12 file of ${keyType}`, async (context) => {
    const database = await newDatabase(chain, 'nss-pkcs12');
    const line = ['-i', chain.file('leaf.p12'), '-d', database, '-K', '', '-W'];
    assert.match((await run('pk12util', [...line, 'incorrect horse'])).output, /SEC_ERROR_BAD_PASSWORD/);
    const outcome = await run('pk12util', [...line, password]);
    if (!knows(context, 'pk12util -i', keyType, outcome.code === 0, outcome)) return;
    assert.match(await must('certutil', ['-L', '-d', database]), new RegExp(`${keyType} +u,u,u`));
    assert.match(await must('certutil', ['-K', '-d', database]), new RegExp(` ${keyType}$`, 'm'));
  });
}

async function refusesByCrl(context: TestContext, chain: Chain): Promise<void> {
  const database = await newDatabase(chain, 'nss-crl');
  const outcome = await add(chain, database, 'root');
  if (!knows(context, 'certutil -A', chain.keyType, outcome.code === 0, outcome)) return;
  for (const name of ['issuing', 'leaf', 'lost'] as const) assert.equal((await add(chain, database, name)).code, 0);
  assert.equal(await verdictOf(database, 'lost'), valid);
  await chain.lose();
  for (const name of ['root', 'issuing'] as const) {
    const imported = await run('crlutil', ['-I', '-d', database, '-t', '1', '-i', chain.file(`${name}.crl`)]);
    if (!knows(context, 'crlutil -I', chain.keyType, imported.code === 0, imported)) return;
  }
  assert.equal(await verdictOf(database, 'leaf'), valid);
  assert.match(await verdictOf(database, 'lost'), /revoked/i);
}

test('NSS refuses an RSA key for a server whose role says no key_encipherment', async () => {
  const chain = world.chains.find(({ keyType }) => keyType === 'rsa-2048');
  assert.ok(chain);
  await world.server.ok('POST', 'pki/roles', {
    name: 'signing-only',
    authority: 'issuing-rsa-2048',
    allowed_domains: ['example.com'],
    allow_subdomains: true,
    key_types: ['rsa-2048'],
  });
  const issued = await world.server.ok('POST', 'pki/certificates', {
    role: 'signing-only',
    dns_names: ['a.example.com'],
  });
  const database = await newDatabase(chain, 'nss-usage');
  for (const name of ['root', 'issuing'] as const) assert.equal((await add(chain, database, name)).code, 0);
  const line = ['-A', '-d', database, '-n', 'leaf', '-t', ',,', '-a'];
  await must('certutil', line, { input: issued.certificate as string });
  assert.match(await verdictOf(database, 'leaf'), /key usage inadequate/);
});
