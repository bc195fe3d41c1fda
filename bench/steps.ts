import { hash } from 'node:crypto';
import { lintCertificate } from '#pki/lint/certificate.ts';
import { createIssuanceGuard } from '#pki/validation/issuance-guard.ts';
import { sign, verify } from '#pki/x509/algorithm.ts';
import { decodeCertificate } from '#pki/x509/certificate.ts';
import { generateKeyPair } from '#pki/x509/key.ts';
import { decodeOnePem } from '#pki/x509/pem.ts';
import { decodeUnprovenRequest, proveRequest } from '#pki/x509/request.ts';
import { importPublicKey } from '#pki/x509/spki.ts';
import { makeRequests } from './harness/csr.ts';
import { fastest, fastestAsync } from './harness/rates.ts';
import type { Benchmark } from './harness/settings.ts';
import { type Cell, printTable } from './harness/table.ts';
import { withServer } from './harness/world.ts';

/** What the dear steps of one issuance cost by themselves, on one thread: what no way of arranging them can go below. */
export const benchmark: Benchmark = {
  name: 'steps',
  summary: 'the dear steps of one issuance, each by itself on one thread',
  async run() {
    const [csr = ''] = await makeRequests(1);
    const chain = await withServer({}, async (server) => {
      const issued = await server.ok('POST', 'pki/certificates', { role: 'web', csr });
      const pems = [issued['certificate'], ...(issued['chain'] as unknown[])];
      return pems.map((pem) => decodeOnePem(String(pem), 'CERTIFICATE', 65_536));
    });
    printTable('P-256; µs of the fastest of many rounds', ['step', 'thread', 'µs'], await measureSteps(csr, chain));
  },
};

async function measureSteps(csr: string, [der = Buffer.alloc(0), ...above]: Buffer[]): Promise<Cell[][]> {
  const certificate = decodeCertificate(der);
  const { tbs, signatureAlgorithm } = certificate;
  const guard = createIssuanceGuard(above);
  const request = decodeUnprovenRequest(decodeOnePem(csr, 'CERTIFICATE REQUEST', 65_536));
  const { privateKey, spki } = await generateKeyPair('ec-p256');
  const publicKey = importPublicKey({ ...request.key, spki });
  const signature = sign(privateKey, 'ec-p256', tbs);
  return [
    ['make a key', 'signing', await fastestAsync(() => generateKeyPair('ec-p256'))],
    [
      'read a CSR (PEM, DER, key checks)',
      'main',
      fastest(() => decodeUnprovenRequest(decodeOnePem(csr, 'CERTIFICATE REQUEST', 65_536))),
    ],
    ['import its key', 'signing', fastest(() => importPublicKey(request.key))],
    ['import its key and verify its signature', 'signing', fastest(() => proveRequest(request))],
    ['lint the TBSCertificate', 'signing', fastest(() => lintCertificate(tbs, { kind: 'leaf', profile: 'rfc5280' }))],
    ['sign it', 'signing', fastest(() => sign(privateKey, 'ec-p256', tbs))],
    ['read the certificate', 'signing', fastest(() => decodeCertificate(der))],
    ['verify its signature', 'signing', fastest(() => verify(publicKey, signatureAlgorithm, tbs, signature))],
    ['validate it under its chain', 'signing', fastest(() => guard.check(certificate, 'leaf'))],
    ['SHA-256 of a key', 'main', fastest(() => hash('sha256', spki))],
  ];
}
