import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Certificate, CertificateChainValidationEngine } from 'pkijs';
import { validateCertificate } from '#pki/validation/validate.ts';
import { decodePem } from '#pki/x509/pem.ts';
import { hostName } from './harness/csr.ts';
import { asyncRate, syncRate } from './harness/rates.ts';
import type { Benchmark } from './harness/settings.ts';
import { printTable, ratio } from './harness/table.ts';
import { apiRequest, measure, withServer } from './harness/world.ts';

/** Validation of a chain of three P-256 certificates. */
export const benchmark: Benchmark = {
  name: 'validate',
  summary:
    'certification paths validated per second, beside openssl verify, pkijs and the bare signature checks of Node',
  async run({ seconds, warmUp }) {
    await withServer({}, async (server) => {
      const issued = (await server.ok('POST', 'pki/certificates', { role: 'web', dns_names: [hostName(1)] })) as {
        certificate: string;
        chain: string[];
      };
      const pems = [issued.certificate, ...issued.chain];
      const bare = bareRate(pems, seconds);
      const openssl = opensslRates(pems, seconds);
      const pkijs = await pkijsRate(pems, seconds);
      const [leaf, ...above] = pems.map(
        (pem) => decodePem(pem, { label: 'CERTIFICATE', maxLength: 65_536, maxBlocks: 1 })[0],
      );
      const anchor = above.pop();
      if (!leaf || !anchor) throw new Error('the chain is too short');
      const engine = await asyncRate(seconds, 1, async () => {
        const { valid } = await validateCertificate({
          leaf,
          intermediates: above.filter((each) => each !== undefined),
          anchors: [anchor],
          at: Date.now(),
          name: { kind: 'dns', value: hostName(1) },
          purpose: 'server_auth',
          profile: 'rfc5280',
          checkRevocation: 'none',
        });
        if (!valid) throw new Error('the chain does not validate');
      });
      const request = apiRequest(server, 'POST', 'pki/certificates/validate', {
        certificate: pems.join(''),
        dns_name: hostName(1),
      });
      await measure(server, [request], { connections: 64, seconds: warmUp });
      const rest = await measure(server, [request], { connections: 64, seconds });
      printTable(
        'Validation of leaf, intermediate and root (P-256) with name and purpose',
        ['', 'per s', '÷ bare', 'p50 ms', 'p99 ms', 'CPU µs', 'main'],
        [
          [
            'over REST, revocation looked up, audited, 64 connections',
            rest.rate,
            ratio(rest.rate, bare),
            rest.p50,
            rest.p99,
            rest.cpu.total,
            rest.cpu.main,
          ],
          ['the validator on one thread', engine, ratio(engine, bare)],
          ['openssl verify, one process for 200 certificates', openssl.batched, ratio(openssl.batched, bare)],
          ['openssl verify, a process for each', openssl.single, ratio(openssl.single, bare)],
          ['pkijs, parsed each time; without name and purpose', pkijs, ratio(pkijs, bare)],
          ['bare: X509Certificate parsed, two signatures, name and dates', bare],
        ],
      );
    });
  },
};

/** Node's own X509Certificate, which looks at far less: no constraints, usages, policies, path building or revocation. */
function bareRate(pems: readonly string[], seconds: number): number {
  return syncRate(seconds, 10, () => {
    const [leaf, intermediate, root] = pems.map((pem) => new X509Certificate(pem));
    if (!leaf || !intermediate || !root) throw new Error('the chain is too short');
    const now = Date.now();
    const good =
      leaf.verify(intermediate.publicKey) &&
      intermediate.verify(root.publicKey) &&
      leaf.checkHost(hostName(1)) !== undefined &&
      [leaf, intermediate, root].every(
        ({ validFrom, validTo }) => Date.parse(validFrom) <= now && now < Date.parse(validTo),
      );
    if (!good) throw new Error('the chain does not validate');
  });
}

/** The chain engine of pkijs knows neither host names nor purposes; it reads the certificates anew, as the others do. */
function pkijsRate(pems: readonly string[], seconds: number): Promise<number> {
  const ders = pems.map((pem) => new X509Certificate(pem).raw);
  return asyncRate(seconds, 1, async () => {
    const [leaf, intermediate, root] = ders.map((der) => Certificate.fromBER(der));
    if (!leaf || !intermediate || !root) throw new Error('the chain is too short');
    const engine = new CertificateChainValidationEngine({ trustedCerts: [root], certs: [intermediate, leaf] });
    const { result, resultMessage } = await engine.verify();
    if (!result) throw new Error(`pkijs does not verify the chain: ${resultMessage}`);
  });
}

/** `openssl verify` with the same name and purpose: started anew each time, and told to do 200 at once. */
function opensslRates(pems: readonly string[], seconds: number): { readonly single: number; readonly batched: number } {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-bench-'));
  try {
    const files = ['leaf.pem', 'intermediate.pem', 'root.pem'].map((name) => join(folder, name));
    for (const [index, file] of files.entries()) writeFileSync(file, pems[index] ?? '');
    const [leaf = '', intermediate = '', root = ''] = files;
    const trust = ['-no-CApath', '-no-CAstore', '-CAfile', root, '-untrusted', intermediate];
    const words = ['verify', ...trust, '-purpose', 'sslserver', '-verify_hostname', hostName(1)];
    const verify = (count: number) => {
      const answer = execFileSync('openssl', [...words, ...Array.from({ length: count }, () => leaf)], {
        encoding: 'utf8',
      });
      if (answer.split(': OK').length !== count + 1) throw new Error('openssl does not verify the chain');
    };
    const batch = 200;
    return {
      single: syncRate(seconds, 1, () => verify(1)),
      batched: batch * syncRate(seconds, 1, () => verify(batch)),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
