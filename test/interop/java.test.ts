import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { must, run } from './tools.ts';
import { knows } from './verdict.ts';
import { type Chain, foundWorld, hostName, password } from './world.ts';

/** Java: its validator of paths with CRL and with OCSP, and `keytool`. */

const world = await foundWorld({ keys: 'pkcs12' });
after(() => world.close());

/** `leaf under root by crl` and so on, with what Java says. */
type Verdicts = ReadonlyMap<string, string>;

/** One Java machine for all chains: starting and compiling takes longer than the rest. */
async function judgeAll(): Promise<ReadonlyMap<string, Verdicts>> {
  const program = join(import.meta.dirname, 'cert-paths.java');
  const folders = world.chains.map(({ folder }) => folder);
  const text = await must('java', ['-Dcom.sun.security.enableCRLDP=true', program, ...folders]);
  const verdicts = new Map<string, Map<string, string>>();
  for (const line of text.trim().split('\n')) {
    const [folder = '', certificate, anchor, way, verdict = ''] = line.split('\t');
    const mine = verdicts.get(folder) ?? new Map<string, string>();
    verdicts.set(folder, mine.set(`${certificate} under ${anchor} by ${way}`, verdict));
  }
  return verdicts;
}

const before = await judgeAll();
await Promise.all(world.chains.map((chain) => chain.lose()));
const afterwards = await judgeAll();

const ways = ['crl', 'ocsp'] as const;

for (const chain of world.chains) {
  const { keyType } = chain;

  test(`Java's validator accepts a chain of ${keyType} by CRL and by OCSP, and refuses it once it is revoked`, (context) => {
    const verdict = (verdicts: ReadonlyMap<string, Verdicts>, what: string): string =>
      verdicts.get(chain.folder)?.get(what) ?? 'nothing';
    for (const way of ways) {
      const output = verdict(before, `leaf under root by ${way}`);
      if (!knows(context, 'java CertPathValidator', keyType, output === 'valid', { output })) return;
      assert.equal(verdict(before, `lost under root by ${way}`), 'valid');
      assert.match(verdict(before, `leaf under impostor by ${way}`), /CertPathValidatorException/);
      assert.equal(verdict(afterwards, `leaf under root by ${way}`), 'valid');
      assert.match(verdict(afterwards, `lost under root by ${way}`), /revoked, reason: KEY_COMPROMISE/);
    }
  });

  test(`keytool prints certificate and CRL of ${keyType}, and opens the PKCS#12 file`, async (context) => {
    await printsWithKeytool(chain);
    const store = ['-list', '-v', '-storetype', 'PKCS12', '-keystore', chain.file('leaf.p12'), '-storepass'];
    const [opened, wrong] = await Promise.all([
      run('keytool', [...store, password]),
      run('keytool', [...store, 'incorrect horse']),
    ]);
    assert.match(wrong.output, /keystore password was incorrect/);
    assert.ok(knows(context, 'keytool -list', keyType, opened.code === 0, opened));
    assert.match(opened.stdout, /Entry type: PrivateKeyEntry\nCertificate chain length: 3\n/);
  });
}

async function printsWithKeytool(chain: Chain): Promise<void> {
  const { fingerprint256 } = new X509Certificate(readFileSync(chain.file('leaf.pem')));
  const [certificate, crl] = await Promise.all([
    must('keytool', ['-printcert', '-file', chain.file('leaf.pem')]),
    must('keytool', ['-printcrl', '-file', chain.file('issuing.crl')]),
  ]);
  assert.ok(certificate.includes(fingerprint256), certificate);
  assert.match(certificate, new RegExp(`DNSName: ${hostName}`));
  assert.match(crl, /X\.509 CRL v2[^]*Revoked Certificates: 1\n[^]*Reason Code: KEY_COMPROMISE[^]*CRL Number/);
}
