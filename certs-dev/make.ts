/**
 * `npm run certs-dev`: a development root, an intermediate and a certificate for this machine, made by Chancery itself
 * into certs-dev/out (or the folder that is given). The authority stays the same from run to run, so it is trusted once;
 * a certificate that is still good for half of its life is left as it is.
 */
import { type KeyObject, createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';

const names = { dns_names: ['localhost'], ip_addresses: ['127.0.0.1', '::1'] };

/** Below a week, so that they name no CRL and no responder (short_lived): no server is left to answer here. */
const life = '6d';

const authorities = [
  { name: 'root', kind: 'root', common_name: 'Chancery development root', ttl: '10y' },
  {
    name: 'issuing',
    kind: 'intermediate',
    parent: 'root',
    common_name: 'Chancery development',
    max_path_length: 0,
    ttl: '5y',
  },
];
const role = {
  name: 'localhost',
  authority: 'issuing',
  allowed_domains: names.dns_names,
  allowed_ip_ranges: ['127.0.0.1/32', '::1/128'],
  max_ttl: life,
  default_ttl: life,
  short_lived: true,
};

interface Files {
  /** The root, for those who are to trust it. */
  readonly root: string;
  /** Certificate and intermediate, for the server. */
  readonly certificate: string;
  readonly key: string;
}

function filesIn(folder: string): Files {
  return {
    root: join(folder, 'root.pem'),
    certificate: join(folder, 'localhost.pem'),
    key: join(folder, 'localhost.key'),
  };
}

/** Makes what is missing or worn in `folder`. Resolves to whether anything was made. */
export async function makeCertificates(folder: string, now = Date.now()): Promise<boolean> {
  if (isGood(filesIn(folder), now)) return false;
  mkdirSync(folder, { recursive: true });
  // Loaded when there is something to make: it takes longer than to see that there is nothing.
  const { start } = await import('#chancery/main.ts');
  const { loadConfig } = await import('#chancery/config.ts');
  const { pino } = await import('pino');
  const data = join(folder, 'chancery');
  const settings = {
    CHANCERY_DATA: data,
    CHANCERY_LISTEN: '127.0.0.1:0',
    CHANCERY_PUBLIC_URL: 'http://localhost:8420',
  };
  const chancery = await start(loadConfig(settings, folder), { log: pino({ level: 'error' }, process.stderr) });
  try {
    const call = client(chancery.url, readFileSync(join(data, 'admin.token'), 'utf8').trim());
    for (const authority of authorities) await call('pki/authorities', authority, 'already_exists');
    await call('pki/roles', role, 'already_exists');
    write(filesIn(folder), await call('pki/certificates', { role: role.name, ...names }));
  } finally {
    await chancery.close();
  }
  return true;
}

/** Whether they are there, belong together, hold the names and have half of their life left. */
function isGood(files: Files, now: number): boolean {
  const root = readCertificate(files.root);
  const leaf = readCertificate(files.certificate);
  const key = readKey(files.key);
  if (!root || !leaf || !key || !leaf.checkPrivateKey(key)) return false;
  const holdsNames =
    names.dns_names.every((name) => leaf.checkHost(name)) &&
    names.ip_addresses.every((address) => leaf.checkIP(address));
  const middle = (leaf.validFromDate.getTime() + leaf.validToDate.getTime()) / 2;
  return holdsNames && now < middle && now < root.validToDate.getTime();
}

/** What cannot be read is made anew. */
function readCertificate(file: string): X509Certificate | undefined {
  return attempt(() => new X509Certificate(readFileSync(file)));
}

function readKey(file: string): KeyObject | undefined {
  return attempt(() => createPrivateKey(readFileSync(file)));
}

function attempt<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

interface Issued {
  readonly certificate: string;
  /** The intermediate, then the root. */
  readonly chain: readonly [string, string];
  readonly private_key: string;
}

function client(url: string, token: string) {
  return async (path: string, body: object, mayBe?: string): Promise<Issued> => {
    const reply = await fetch(`${url}/v1/${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const answer = (await reply.json()) as Issued & { readonly code?: string; readonly detail?: string };
    if (!reply.ok && answer.code !== mayBe)
      throw new Error(answer.detail ?? `${path} was answered with ${reply.status}`);
    return answer;
  };
}

function write(files: Files, { certificate, chain: [issuing, root], private_key }: Issued): void {
  replace(files.root, root, 0o644);
  replace(files.key, private_key, 0o600);
  replace(files.certificate, certificate + issuing, 0o644);
}

/** Never half a file, and never for a moment with another mode. */
function replace(file: string, text: string, mode: number): void {
  writeFileSync(`${file}.new`, text, { mode });
  renameSync(`${file}.new`, file);
}

function howToUse(files: Files): string {
  const [root, certificate, key] = [files.root, files.certificate, files.key].map((file) => relative('', file));
  return `
  ${root}  the development root, to be trusted by clients
  ${certificate}  the certificate of the server, with its intermediate
  ${key}  the private key of the server (mode 0600)

  Chancery  CHANCERY_TLS_CERT=${certificate} CHANCERY_TLS_KEY=${key} npm start
  its CLI   CHANCERY_URL=https://localhost:8420 CHANCERY_CA_FILE=${root} bin/chancery auth whoami
  curl      curl --cacert ${root} https://localhost:8420/healthz
  Node      NODE_EXTRA_CA_CERTS=${root} node client.js
`;
}

if (import.meta.main) {
  const folder = resolve(process.argv[2] ?? join(import.meta.dirname, 'out'));
  const files = filesIn(folder);
  const made = await makeCertificates(folder);
  const until = new X509Certificate(readFileSync(files.certificate)).validToDate.toISOString().slice(0, 10);
  const what = `for ${[...names.dns_names, ...names.ip_addresses].join(', ')}, until ${until}`;
  console.log(
    `${made ? 'Made a certificate' : 'There is a good certificate'} ${what}. Run this again to renew it.\n${howToUse(files)}`,
  );
}
