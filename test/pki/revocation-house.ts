import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import type { Clock } from '#core/clock.ts';
import { type CertificateList, decodeCrl } from '#engines/pki/x509/crl.ts';
import { foundPki, type InProcess, startChancery } from '#test/chancery.ts';

/** A server with a root, an issuing authority and a role, and OpenSSL as a relying party that trusts the root. */
export interface RevocationHouse extends InProcess {
  readonly clock: Clock & { advance(milliseconds: number): void };
  issue(fields?: object): Promise<IssuedCertificate>;
  /** The answer of the operation. */
  // oxlint-disable-next-line typescript/no-explicit-any -- as in chancery.ts
  revoke(issued: IssuedCertificate, body?: object): Promise<any>;
  /** The CRL of a shard of the authority `issuing`. */
  crl(shard?: number, kind?: 'full' | 'delta', issuerNumber?: number): Promise<CertificateList>;
  /** `openssl verify -crl_check`: its output. */
  verify(issued: IssuedCertificate): Promise<string>;
  /** `openssl ocsp`: its output. */
  ocsp(issued: IssuedCertificate, ...more: string[]): Promise<string>;
  /** Writes a file of the test's folder and returns its path. */
  file(name: string, content: string | Uint8Array): string;
}

export interface IssuedCertificate {
  readonly serial_number: string;
  readonly certificate: string;
  readonly chain: readonly string[];
  readonly private_key: string;
}

const run = promisify(execFile);

/** Output of both streams, whatever the exit code. */
export async function openssl(...parameters: string[]): Promise<string> {
  try {
    const { stdout, stderr } = await run('openssl', parameters);
    return stdout + stderr;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return stdout + stderr;
  }
}

export async function openRevocationHouse(
  context: TestContext,
  options: { readonly keyType?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<RevocationHouse> {
  let offset = 0;
  const clock = { now: () => Date.now() + offset, advance: (milliseconds: number) => void (offset += milliseconds) };
  const server = await startChancery(context, { clock, ...(options.env ? { env: options.env } : {}) });
  await foundPki(server, options.keyType, { max_ttl: '30d' });
  const folder = mkdtempSync(join(tmpdir(), 'chancery-openssl-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = (name: string, content: string | Uint8Array) => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  };
  const fetchCrl = async (shard: number, kind: 'full' | 'delta', issuerNumber: number) => {
    const name = `${issuerNumber}-${shard}${kind === 'delta' ? '-delta' : ''}.crl`;
    const reply = await fetch(`${server.url}/pki/issuing/crl/${name}`);
    if (reply.status !== 200) throw new Error(`${name}: ${reply.status}`);
    return Buffer.from(await reply.arrayBuffer());
  };
  const material = (issued: IssuedCertificate) => {
    const leaf = file('leaf.pem', issued.certificate);
    const issuer = file('issuer.pem', issued.chain[0] ?? '');
    const chain = file('chain.pem', issued.chain.join(''));
    return { leaf, issuer, chain };
  };
  return {
    ...server,
    clock,
    file,
    issue: async (fields = {}) =>
      (await server.ok('POST', 'pki/certificates', {
        role: 'web',
        dns_names: ['a.example.com'],
        ...fields,
      })) as IssuedCertificate,
    revoke: (issued, body = {}) => server.ok('POST', `pki/certificates/${issued.serial_number}/revoke`, body),
    crl: async (shard = 0, kind = 'full', issuerNumber = 1) => decodeCrl(await fetchCrl(shard, kind, issuerNumber)),
    async verify(issued) {
      const { leaf, chain } = material(issued);
      const der = file('crl.der', await fetchCrl(0, 'full', 1));
      const pem = join(folder, 'crl.pem');
      await openssl('crl', '-inform', 'der', '-in', der, '-out', pem);
      return openssl('verify', '-crl_check', '-CAfile', chain, '-CRLfile', pem, leaf);
    },
    ocsp(issued, ...more) {
      const { leaf, issuer, chain } = material(issued);
      const url = `${server.url}/pki/issuing/ocsp`;
      return openssl('ocsp', ...more, '-issuer', issuer, '-cert', leaf, '-url', url, '-CAfile', chain);
    },
  };
}
