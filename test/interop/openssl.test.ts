import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { must, type Outcome, run } from './tools.ts';
import { knows } from './verdict.ts';
import { type Chain, fetchBytes, foundWorld, hostName, lostHostName, password } from './world.ts';

/** The `openssl` command of the machine: paths, CRLs, OCSP, PKCS#12 and PKCS#7. */

const world = await foundWorld({ keys: 'pkcs12' });
after(() => world.close());

interface Verification {
  readonly certificate: 'leaf' | 'lost';
  /** Default: the root. */
  readonly anchor?: 'root' | 'impostor';
  readonly host?: string;
  readonly more?: readonly string[];
}

function verify(chain: Chain, { certificate, anchor = 'root', host, more = [] }: Verification): Promise<Outcome> {
  const wanted = host ?? (certificate === 'leaf' ? hostName : lostHostName);
  const trust = ['-CAfile', chain.file(`${anchor}.pem`), '-no-CApath', '-no-CAstore'];
  const strict = ['-x509_strict', '-purpose', 'sslserver', '-verify_hostname', wanted];
  const files = ['-untrusted', chain.file('issuing.pem'), chain.file(`${certificate}.pem`)];
  return run('openssl', ['verify', ...strict, ...trust, ...more, ...files]);
}

async function accepts(chain: Chain, verification: Verification): Promise<void> {
  const { code, output } = await verify(chain, verification);
  assert.equal(code, 0, output);
  assert.match(output, /: OK/);
}

async function refuses(chain: Chain, verification: Verification, words: RegExp): Promise<void> {
  const { code, output } = await verify(chain, verification);
  assert.notEqual(code, 0, output);
  assert.match(output, words);
}

for (const chain of world.chains) {
  const { keyType } = chain;

  test(`openssl verify accepts a chain of ${keyType} strictly, also by CRLs, and refuses it once it is revoked`, async (context) => {
    const outcome = await verify(chain, { certificate: 'leaf' });
    if (!knows(context, 'openssl verify', keyType, outcome.code === 0, outcome)) return;
    const isImpostor = /authority and subject key identifier mismatch|unable to get|signature failure/;
    await refuses(chain, { certificate: 'leaf', anchor: 'impostor' }, isImpostor);
    await refuses(chain, { certificate: 'leaf', host: 'other.example.com' }, /hostname mismatch/);
    const ways = [
      ['-crl_check', '-CRLfile', chain.file('crls.pem')],
      ['-crl_check_all', '-CRLfile', chain.file('crls.pem')],
      // openssl fetches the CRL itself, from the address in the certificate.
      ['-crl_check', '-crl_download'],
    ];
    for (const more of ways) {
      await accepts(chain, { certificate: 'leaf', more });
      await accepts(chain, { certificate: 'lost', more });
    }
    const before = join(chain.folder, 'before.crl.pem');
    writeFileSync(before, readFileSync(chain.file('issuing.crl.pem')));
    await chain.lose();
    for (const more of ways) {
      await accepts(chain, { certificate: 'leaf', more });
      await refuses(chain, { certificate: 'lost', more }, /certificate revoked/);
    }
    // Whoever holds the CRL from before learns it from the delta CRL alone.
    const crls = join(chain.folder, 'delta-and-before.pem');
    writeFileSync(crls, [before, chain.file('delta.crl.pem')].map((path) => readFileSync(path, 'utf8')).join(''));
    const deltas = ['-crl_check', '-use_deltas', '-extended_crl', '-CRLfile', crls];
    await accepts(chain, { certificate: 'leaf', more: deltas });
    await refuses(chain, { certificate: 'lost', more: deltas }, /certificate revoked/);
  });

  test(`openssl crl verifies the CRLs of ${keyType}`, async (context) => {
    for (const name of ['root', 'issuing', 'delta'] as const) {
      const outcome = await verifyCrl(chain, name);
      if (!knows(context, 'openssl crl', keyType, /verify OK/.test(outcome.output), outcome)) return;
    }
    const text = await must('openssl', ['crl', '-inform', 'DER', '-in', chain.file('issuing.crl'), '-noout', '-text']);
    assert.match(text, /X509v3 CRL Number/);
    assert.match(text, /Full Name:\s+URI:http/);
  });

  test(`openssl ocsp verifies the answers of ${keyType}: good, revoked and unknown, by POST and GET`, async (context) => {
    const leaf = ['-cert', chain.file('leaf.pem')];
    const outcome = await ask(chain, { about: leaf });
    if (!knows(context, 'openssl ocsp', keyType, /Response verify OK/.test(outcome.output), outcome)) return;
    await answers(chain, { about: leaf }, /leaf\.pem: good/);
    await answers(chain, { about: leaf, more: ['-sha256'] }, /leaf\.pem: good/);
    await answers(chain, { about: leaf, more: ['-no_nonce'] }, /leaf\.pem: good/);
    await answers(chain, { about: ['-cert', chain.file('issuing.pem')], issuer: 'root' }, /issuing\.pem: good/);
    await answers(chain, { about: ['-serial', '0x1234'] }, /0x1234: unknown/);
    await answersByGet(chain, leaf, /leaf\.pem: good/);
    await chain.lose();
    const both = [...leaf, '-cert', chain.file('lost.pem')];
    const words = /leaf\.pem: good[^]*lost\.pem: revoked[^]*Reason: keyCompromise/;
    await answers(chain, { about: both }, words);
    await answersByGet(chain, both, words);
  });

  test(`openssl opens the PKCS#12 and PKCS#7 files of ${keyType}`, async (context) => {
    const pkcs12 = ['pkcs12', '-in', chain.file('leaf.p12'), '-noenc', '-passin'];
    const wrong = await run('openssl', [...pkcs12, 'pass:incorrect horse']);
    assert.notEqual(wrong.code, 0);
    assert.match(wrong.output, /invalid password/);
    const pkcs7 = await must('openssl', ['pkcs7', '-inform', 'DER', '-in', chain.file('leaf.p7b'), '-print_certs']);
    assert.equal(certificatesIn(pkcs7).length, 3);
    const outcome = await run('openssl', [...pkcs12, `pass:${password}`]);
    if (!knows(context, 'openssl pkcs12', keyType, outcome.code === 0, outcome)) return;
    const [leaf, ...above] = certificatesIn(outcome.stdout);
    assert.equal(leaf, readFileSync(chain.file('leaf.pem'), 'utf8'));
    assert.equal(above.length, 2);
    const key = await must('openssl', ['pkey', '-pubout'], { input: outcome.stdout });
    assert.equal(key, await must('openssl', ['x509', '-in', chain.file('leaf.pem'), '-noout', '-pubkey']));
  });
}

function certificatesIn(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----\n/g) ?? [];
}

async function verifyCrl(chain: Chain, name: 'root' | 'issuing' | 'delta'): Promise<Outcome> {
  const issuer = name === 'root' ? 'root' : 'issuing';
  const trust = ['-CAfile', chain.file(`${issuer}.pem`), '-no-CApath', '-no-CAstore'];
  return run('openssl', ['crl', '-inform', 'DER', '-in', chain.file(`${name}.crl`), '-noout', ...trust]);
}

interface Question {
  readonly issuer?: 'root' | 'issuing';
  readonly about: readonly string[];
  readonly more?: readonly string[];
}

/** Asks the responder, or with `-respin` reads an answer. */
function ask(chain: Chain, { issuer = 'issuing', about, more = [] }: Question): Promise<Outcome> {
  const url = issuer === 'root' ? chain.urls.rootOcsp : chain.urls.ocsp;
  const from = more.includes('-respin') ? [] : ['-url', url];
  const trust = ['-CAfile', chain.file('root.pem'), '-no-CApath', '-no-CAstore'];
  return run('openssl', ['ocsp', '-issuer', chain.file(`${issuer}.pem`), ...trust, ...more, ...from, ...about]);
}

/** Its answer is verified, and says this. */
async function answers(chain: Chain, question: Question, words: RegExp): Promise<void> {
  const { code, output } = await ask(chain, question);
  assert.equal(code, 0, output);
  assert.match(output, /Response verify OK/);
  // openssl sends a nonce unless told otherwise, and warns when it does not come back.
  assert.doesNotMatch(output, /WARNING/);
  assert.match(output, words);
}

/** The request in the path, in base64 (RFC 6960 appendix A.1); openssl itself knows POST only. */
async function answersByGet(chain: Chain, about: readonly string[], words: RegExp): Promise<void> {
  const [request, answer] = [join(chain.folder, 'request.der'), join(chain.folder, 'answer.der')];
  await must('openssl', ['ocsp', '-issuer', chain.file('issuing.pem'), ...about, '-no_nonce', '-reqout', request]);
  const path = encodeURIComponent(readFileSync(request).toString('base64'));
  writeFileSync(answer, await fetchBytes(`${chain.urls.ocsp}/${path}`));
  await answers(chain, { about, more: ['-respin', answer, '-no_nonce'] }, words);
}
