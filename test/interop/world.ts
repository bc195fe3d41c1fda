import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type KeyType, keyTypes } from '#pki/x509/algorithm.ts';
import { decodeCertificate } from '#pki/x509/certificate.ts';
import { extensionValue } from '#pki/x509/extension.ts';
import { oids } from '#pki/x509/oid.ts';
import { decodeOnePem, encodePem } from '#pki/x509/pem.ts';
import { type InProcess, startChancery } from '#test/chancery.ts';

/** A real server with a root, an intermediate and certificates of every key type, and the files that tools read. */

export const hostName = 'leaf.example.com';
export const lostHostName = 'lost.example.com';
export const password = 'correct horse';

export interface World {
  readonly server: InProcess;
  readonly folder: string;
  readonly chains: readonly Chain[];
  close(): Promise<void>;
}

/** A root, the intermediate below it, and two server certificates; all but the second have keys of one type. */
export interface Chain {
  readonly keyType: KeyType;
  readonly folder: string;
  /** Path of a file in the folder. */
  file(name: FileName): string;
  /** As they stand in the certificates. */
  readonly urls: Urls;
  /** Revokes `lost` and fetches the CRLs. */
  lose(): Promise<void>;
}

interface Urls {
  readonly rootCrl: string;
  readonly crl: string;
  readonly rootOcsp: string;
  readonly ocsp: string;
}

/**
 * `impostor.pem` is a root with the name of the root and another key. `chain.pem` is leaf and intermediate, `full.pem`
 * these and the root. The CRLs are as they were fetched last; `crls.pem` holds those of root and intermediate.
 */
type FileName =
  | `${'root' | 'issuing' | 'leaf' | 'lost' | 'impostor' | 'chain' | 'full' | 'lost-chain' | 'crls'}.pem`
  | `leaf.${'key' | 'p12' | 'p7b'}`
  | 'lost.key'
  | `${'root' | 'issuing' | 'delta'}.crl${'' | '.pem'}`;

interface Wishes {
  /** pkcs12: the key of the leaf is in `leaf.p12`; pem: it is in `leaf.key`. */
  readonly keys: 'pkcs12' | 'pem';
}

/** To be closed at the end. */
export async function foundWorld(wishes: Wishes): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-interop-'));
  mkdirSync(join(folder, 'server'));
  const server = await startChancery(undefined, { folder: join(folder, 'server') });
  const close = async (): Promise<void> => {
    await server.stop();
    rmSync(folder, { recursive: true });
  };
  try {
    const found = (keyType: KeyType) => foundChain(server, keyType, join(folder, keyType), wishes);
    return { server, folder, chains: await Promise.all(keyTypes.map(found)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function foundChain(server: InProcess, keyType: KeyType, folder: string, { keys }: Wishes): Promise<Chain> {
  mkdirSync(folder);
  const file = (name: FileName): string => join(folder, name);
  const write = (name: FileName, content: string | Uint8Array): void => writeFileSync(file(name), content);
  const { root, issuing, impostor } = await foundAuthorities(server, keyType);
  const form = keys === 'pem' ? {} : { format: 'pkcs12', password };
  const leaf = await issue(server, { role: keyType, key_type: keyType, dns_names: [hostName], ...form });
  // The key of a certificate says nothing about how it is revoked; this one is quick to make.
  const lost = await issue(server, { role: keyType, key_type: 'ec-p256', dns_names: [lostHostName] });
  for (const [name, pem] of Object.entries({ root, issuing, impostor, leaf: leaf.pem, lost: lost.pem }))
    write(`${name as 'root'}.pem`, pem);
  write('chain.pem', `${leaf.pem}${issuing}`);
  write('full.pem', `${leaf.pem}${issuing}${root}`);
  write('lost-chain.pem', `${lost.pem}${issuing}`);
  write('lost.key', lost.key ?? '');
  if (leaf.key !== undefined) write('leaf.key', leaf.key);
  if (leaf.pkcs12 !== undefined) write('leaf.p12', leaf.pkcs12);
  write('leaf.p7b', await pkcs7Of(server, leaf.serialNumber));
  const urls = { ...urlsOf(leaf.pem, 'crl', 'ocsp'), ...urlsOf(issuing, 'rootCrl', 'rootOcsp') };
  await fetchCrls(urls, write);
  return {
    keyType,
    folder,
    file,
    urls,
    async lose() {
      await server.ok('POST', `pki/certificates/${lost.serialNumber}/revoke`, { reason: 'key_compromise' });
      await fetchCrls(urls, write);
    },
  };
}

interface Authorities {
  readonly root: string;
  readonly issuing: string;
  readonly impostor: string;
}

async function foundAuthorities(server: InProcess, keyType: KeyType): Promise<Authorities> {
  const found = async (name: string, fields: object): Promise<string> => {
    const request = { name: `${name}-${keyType}`, organization: 'Interop Test', country: 'DE', ...fields };
    return (await server.ok('POST', 'pki/authorities', request)).certificate as string;
  };
  const common_name = `Root ${keyType}`;
  const root = await found('root', { kind: 'root', common_name, key_type: keyType });
  const below = { kind: 'intermediate', parent: `root-${keyType}`, max_path_length: 0 };
  const issuing = await found('issuing', { ...below, common_name: `Issuing ${keyType}`, key_type: keyType });
  await server.ok('POST', 'pki/roles', {
    name: keyType,
    authority: `issuing-${keyType}`,
    allowed_domains: ['example.com'],
    allow_subdomains: true,
    key_types: [keyType, 'ec-p256'],
    // Written for RSA keys only: NSS wants it of servers (see nss.test.ts).
    key_usages: ['digital_signature', 'key_encipherment'],
    extended_key_usages: ['server_auth', 'client_auth'],
  });
  return { root, issuing, impostor: await found('impostor', { kind: 'root', common_name }) };
}

interface Issued {
  readonly serialNumber: string;
  readonly pem: string;
  readonly key: string | undefined;
  readonly pkcs12: Buffer | undefined;
}

async function issue(server: InProcess, request: object): Promise<Issued> {
  const issued: Readonly<Record<string, string>> = await server.ok('POST', 'pki/certificates', request);
  const { serial_number = '', certificate = '', private_key, pkcs12 } = issued;
  return {
    serialNumber: serial_number,
    pem: certificate,
    key: private_key,
    pkcs12: pkcs12 === undefined ? undefined : Buffer.from(pkcs12, 'base64'),
  };
}

async function pkcs7Of(server: InProcess, serialNumber: string): Promise<Buffer> {
  const { pkcs7 } = await server.ok('GET', `pki/certificates/${serialNumber}?format=pkcs7`);
  return Buffer.from(pkcs7 as string, 'base64');
}

/** Where the certificate says that its status is published. */
function urlsOf<Crl extends string, Ocsp extends string>(
  pem: string,
  crl: Crl,
  ocsp: Ocsp,
): Record<Crl | Ocsp, string> {
  const { extensions } = decodeCertificate(decodeOnePem(pem, 'CERTIFICATE', 65_536));
  const [point] = extensionValue(extensions, 'crl_distribution_points') ?? [];
  const access = extensionValue(extensions, 'authority_info_access') ?? [];
  const location = access.find(({ method }) => method === oids.accessOcsp)?.location;
  const [name] = point?.name?.fullName ?? [];
  if (name?.kind !== 'uri' || location?.kind !== 'uri') throw new Error('the certificate names no CRL or no OCSP');
  return { [crl]: name.value, [ocsp]: location.value } as Record<Crl | Ocsp, string>;
}

async function fetchCrls(urls: Urls, write: (name: FileName, content: string | Uint8Array) => void): Promise<void> {
  const pems = { root: '', issuing: '', delta: '' };
  const addresses = { root: urls.rootCrl, issuing: urls.crl, delta: urls.crl.replace('.crl', '-delta.crl') };
  for (const name of ['root', 'issuing', 'delta'] as const) {
    const der = await fetchBytes(addresses[name]);
    pems[name] = encodePem('X509 CRL', der);
    write(`${name}.crl`, der);
    write(`${name}.crl.pem`, pems[name]);
  }
  write('crls.pem', `${pems.root}${pems.issuing}`);
}

/** The body of a public address; throws when there is none. */
export async function fetchBytes(url: string): Promise<Buffer> {
  const reply = await fetch(url);
  if (reply.status !== 200) throw new Error(`${url}: ${reply.status}`);
  return Buffer.from(await reply.arrayBuffer());
}
