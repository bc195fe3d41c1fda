import 'reflect-metadata';
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { X509Certificate, X509Crl } from '@peculiar/x509';
import { askWithOwnReader, readWithOwnReader } from './own-ocsp.ts';
import { expect, WrongOutcome } from './screen.ts';

/** Readers of CRLs and OCSP answers that share no code with Chancery, as far as this machine has them. */

export interface Paths {
  readonly root: string;
  readonly issuing: string;
  readonly leaf: string;
}

export type Status = 'good' | 'revoked';

export interface Checkers {
  /** Who looks at the path and its CRLs. */
  readonly crlReader: string;
  /** Who asks the OCSP responder. */
  readonly ocspReader: string;
  /** Path, signatures, and the CRLs of leaf and intermediate. */
  readonly checkCrls: (crls: readonly string[]) => Promise<Status>;
  /** Asks the responder, and verifies its answer. */
  readonly checkOcsp: (url: string) => Promise<Status>;
  /** Reads and verifies an OCSP answer that came another way, DER. */
  readonly readOcsp: (answer: Buffer) => Promise<Status>;
}

/** openssl when it is on PATH, else @peculiar/x509, which reads CRLs but no OCSP. Files are written below `folder`. */
export async function createCheckers(folder: string, pems: Paths): Promise<Checkers> {
  const version = await openssl(['version']).catch(() => undefined);
  if (version === undefined)
    return {
      crlReader: '@peculiar/x509',
      ocspReader: 'Chancery itself (there is no openssl on PATH)',
      checkCrls: (crls) => readCrls(pems, crls),
      checkOcsp: (url) => askWithOwnReader(url, pems.issuing, pems.leaf),
      readOcsp: async (answer) => readWithOwnReader(answer, pems.issuing, pems.leaf),
    };
  const files = await write(folder, pems);
  const reader = version.split(' ').slice(0, 2).join(' ');
  return {
    crlReader: reader,
    ocspReader: reader,
    checkCrls: (crls) => verifyWithOpenssl(folder, files, crls),
    checkOcsp: (url) => askWithOpenssl(files, ['-url', url]),
    readOcsp: async (answer) => {
      const file = join(folder, 'answer.der');
      await writeFile(file, answer);
      return askWithOpenssl(files, ['-respin', file]);
    },
  };
}

async function write(folder: string, pems: Paths): Promise<Paths> {
  await mkdir(folder, { recursive: true });
  const path = async (name: keyof Paths) => {
    const file = join(folder, `${name}.pem`);
    await writeFile(file, pems[name]);
    return file;
  };
  return { root: await path('root'), issuing: await path('issuing'), leaf: await path('leaf') };
}

/** The streams of openssl together; its own words are the verdict. */
async function openssl(words: readonly string[]): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)('openssl', words, { timeout: 20_000 });
  return stdout + stderr;
}

/** What openssl said, whether it was content or not. */
async function verdict(words: readonly string[]): Promise<string> {
  return openssl(words).catch((error: unknown) => {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    return stdout + stderr;
  });
}

/** One after the other, from the intermediate down: each is looked for in the CRL of who issued it. */
async function verifyWithOpenssl(folder: string, files: Paths, crls: readonly string[]): Promise<Status> {
  const crlFile = join(folder, 'crls.pem');
  await writeFile(crlFile, crls.join(''));
  const trust = ['-CAfile', files.root, '-untrusted', files.issuing, '-CRLfile', crlFile];
  for (const file of [files.issuing, files.leaf]) {
    const said = await verdict(['verify', '-x509_strict', '-crl_check', ...trust, file]);
    if (said.includes('certificate revoked')) return 'revoked';
    expect(said.trimEnd() === `${file}: OK`, `openssl verify finds something else: ${said.trim()}`);
  }
  return 'good';
}

/** `how`: where the answer comes from. */
async function askWithOpenssl(files: Paths, how: readonly string[]): Promise<Status> {
  const trust = ['-CAfile', files.root, '-verify_other', files.issuing];
  const said = await verdict(['ocsp', '-issuer', files.issuing, '-cert', files.leaf, ...how, ...trust]);
  expect(said.includes('Response verify OK'), `openssl ocsp does not accept the answer: ${said.trim()}`);
  if (said.includes(`${files.leaf}: good`)) return 'good';
  if (said.includes(`${files.leaf}: revoked`)) return 'revoked';
  throw new WrongOutcome(`openssl ocsp finds something else: ${said.trim()}`);
}

async function readCrls(pems: Paths, crls: readonly string[]): Promise<Status> {
  const authorities = [new X509Certificate(pems.issuing), new X509Certificate(pems.root)];
  const certificates = [new X509Certificate(pems.leaf), ...authorities];
  let status: Status = 'good';
  for (const crl of crls.map((pem) => new X509Crl(pem))) {
    const issuer = authorities.find((authority) => authority.subject === crl.issuer);
    expect(issuer !== undefined, `A CRL is by ${crl.issuer}, which is no authority of this path.`);
    expect(await crl.verify({ publicKey: issuer.publicKey }), `The signature of the CRL of ${crl.issuer} is wrong.`);
    expect(crl.nextUpdate !== undefined && crl.nextUpdate > new Date(), `The CRL of ${crl.issuer} is out of date.`);
    if (certificates.some((each) => each.issuer === crl.issuer && crl.findRevoked(each.serialNumber) !== null))
      status = 'revoked';
  }
  return status;
}

/** DER to PEM. */
export function crlPem(der: Uint8Array<ArrayBuffer>): string {
  const base64 = Buffer.from(der).toString('base64').replaceAll(/.{64}/g, '$&\n').trimEnd();
  return `-----BEGIN X509 CRL-----\n${base64}\n-----END X509 CRL-----\n`;
}
