import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { must, type Outcome, run } from './tools.ts';
import { knows } from './verdict.ts';
import { type Chain, foundWorld, hostName, lostHostName, password } from './world.ts';

/** GnuTLS: `certtool` for paths, CRLs and PKCS#12, `ocsptool` for OCSP. */

const world = await foundWorld({ keys: 'pkcs12' });
after(() => world.close());

const medium = '--verify-profile=medium';
const trusted = /Chain verification output: Verified\. The certificate is trusted\./;

function verify(chain: Chain, name: 'chain' | 'lost-chain', more: readonly string[] = []): Promise<Outcome> {
  const host = `--verify-hostname=${name === 'chain' ? hostName : lostHostName}`;
  const trust = ['--verify', '--load-ca-certificate', chain.file('root.pem'), '--verify-purpose=1.3.6.1.5.5.7.3.1'];
  return run('certtool', [...trust, medium, host, '--infile', chain.file(`${name}.pem`), ...more]);
}

for (const chain of world.chains) {
  const { keyType } = chain;

  test(`certtool accepts a chain of ${keyType}, also by CRLs, and refuses it once it is revoked`, async (context) => {
    const whole = await run('certtool', ['--verify-chain', medium, '--infile', chain.file('full.pem')]);
    if (!knows(context, 'certtool --verify-chain', keyType, trusted.test(whole.output), whole)) return;
    assert.match((await verify(chain, 'chain')).output, trusted);
    const impostor = ['--load-ca-certificate', chain.file('impostor.pem'), '--infile', chain.file('chain.pem')];
    assert.match((await run('certtool', ['--verify', medium, ...impostor])).output, /Not verified/);
    const otherName = await verify(chain, 'lost-chain', ['--verify-hostname=other.example.com']);
    assert.match(otherName.output, /The name in the certificate does not match/);
    const crls = ['--load-crl', chain.file('crls.pem')];
    assert.match((await verify(chain, 'chain', crls)).output, trusted);
    assert.match((await verify(chain, 'lost-chain', crls)).output, trusted);
    await chain.lose();
    assert.match((await verify(chain, 'chain', crls)).output, trusted);
    assert.match((await verify(chain, 'lost-chain', crls)).output, /The certificate chain is revoked/);
  });

  test(`certtool verifies the CRLs of ${keyType}`, async (context) => {
    for (const name of ['root', 'issuing', 'delta'] as const) {
      const issuer = chain.file(name === 'root' ? 'root.pem' : 'issuing.pem');
      const line = ['--verify-crl', medium, '--load-ca-certificate', issuer, '--infile', chain.file(`${name}.crl.pem`)];
      const outcome = await run('certtool', line);
      const isGood = /Verification output: Verified/.test(outcome.output);
      if (!knows(context, 'certtool --verify-crl', keyType, isGood, outcome)) return;
    }
  });

  test(`ocsptool verifies the answers of ${keyType}: good, revoked and unknown`, async (context) => {
    const ask = (name: 'leaf' | 'lost', issuer: 'issuing' | 'root' = 'issuing'): Promise<Outcome> => {
      const files = ['--load-cert', chain.file(`${name}.pem`), '--load-issuer', chain.file(`${issuer}.pem`)];
      const save = ['--outfile', join(chain.folder, 'answer.der')];
      return run('ocsptool', [`--ask=${chain.urls.ocsp}`, '--nonce', ...files, ...save]);
    };
    const outcome = await ask('leaf');
    const isVerified = /Verifying OCSP Response: Success/.test(outcome.output);
    if (!knows(context, 'ocsptool', keyType, isVerified, outcome)) return;
    assert.match(outcome.output, /Certificate Status: good/);
    assert.match(outcome.output, /Nonce: [0-9a-f]{32,}/);
    await chain.lose();
    const lost = await ask('lost');
    assert.match(lost.output, /Verifying OCSP Response: Success/);
    assert.match(lost.output, /Certificate Status: revoked/);
  });

  test(`certtool opens the PKCS#12 and PKCS#7 files of ${keyType}`, async (context) => {
    const pkcs7 = await must('certtool', ['--p7-info', '--inder', '--infile', chain.file('leaf.p7b')]);
    assert.match(pkcs7, /Number of certificates: 3/);
    const pkcs12 = ['--p12-info', '--inder', '--infile', chain.file('leaf.p12')];
    const wrong = await run('certtool', [...pkcs12, '--password', 'incorrect horse']);
    assert.match(wrong.output, /The Message Authentication Code verification failed/);
    const opened = await must('certtool', [...pkcs12, '--password', password]);
    assert.ok(opened.includes(readFileSync(chain.file('leaf.pem'), 'utf8')));
    const [sealed = ''] = /-----BEGIN ENCRYPTED PRIVATE KEY-----[^]*?-----END .*-----\n/.exec(opened) ?? [];
    const key = ['--key-info', '--pkcs8', '--password', password];
    const outcome = await run('certtool', key, { input: sealed });
    if (!knows(context, 'certtool --key-info', keyType, outcome.code === 0, outcome)) return;
    const path = join(chain.folder, 'sealed.pem');
    writeFileSync(path, sealed);
    const ofKey = ['--pubkey-info', '--load-privkey', path, '--password', password];
    const ofCertificate = ['--pubkey-info', '--load-certificate', chain.file('leaf.pem')];
    assert.equal(publicKeyIn(await must('certtool', ofKey)), publicKeyIn(await must('certtool', ofCertificate)));
  });
}

function publicKeyIn(text: string): string {
  const [pem] = /-----BEGIN PUBLIC KEY-----[^]*?-----END PUBLIC KEY-----/.exec(text) ?? [];
  assert.ok(pem, text);
  return pem;
}
