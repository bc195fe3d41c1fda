import { X509Certificate } from 'node:crypto';
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
  summary: 'certification paths validated per second, beside the bare signature checks of Node',
  async run({ seconds, warmUp }) {
    await withServer({}, async (server) => {
      const issued = (await server.ok('POST', 'pki/certificates', { role: 'web', dns_names: [hostName(1)] })) as {
        certificate: string;
        chain: string[];
      };
      const pems = [issued.certificate, ...issued.chain];
      const bare = bareRate(pems, seconds);
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
