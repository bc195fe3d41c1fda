import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';

/** BIND, authoritative for one zone that a TSIG key may change, in a temporary folder on the loopback interface. */
export interface BindServer {
  readonly port: number;
  readonly zone: string;
  close(): Promise<void>;
}

export interface BindKey {
  readonly name: string;
  readonly algorithm: string;
  /** base64 */
  readonly secret: string;
}

export async function startBind(zone: string, keys: readonly BindKey[]): Promise<BindServer> {
  const folder = await mkdtemp(join(tmpdir(), 'chancery-bind-'));
  const port = await freePort();
  await writeFile(join(folder, 'zone'), zoneFile);
  await writeFile(join(folder, 'named.conf'), configuration({ folder, port, zone, keys }));
  const child = spawn('named', ['-g', '-n', '1', '-c', join(folder, 'named.conf')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const close = async () => {
    await stop(child);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await running(child);
  } catch (thrown) {
    await close();
    throw thrown;
  }
  return { port, zone, close };
}

const zoneFile = `$TTL 60
@ IN SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 1
@ IN NS ns.invalid.
`;

function configuration(given: { folder: string; port: number; zone: string; keys: readonly BindKey[] }): string {
  const { folder, port, zone, keys } = given;
  const grants = keys.map(({ name }) => `grant ${name} zonesub TXT;`);
  return `
    options {
      directory "${folder}"; pid-file "${folder}/pid"; session-keyfile "${folder}/session.key";
      listen-on port ${port} { 127.0.0.1; }; listen-on-v6 { none; };
      recursion no; dnssec-validation no; allow-transfer { none; };
    };
    controls { };
    ${keys.map(({ name, algorithm, secret }) => `key "${name}" { algorithm ${algorithm}; secret "${secret}"; };`).join('\n')}
    zone "${zone}" { type primary; file "${folder}/zone"; update-policy { ${grants.join(' ')} }; };
  `;
}

function running(child: ChildProcess): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let log = '';
  const giveUp = setTimeout(() => reject(new Error(`named is not running yet: ${log.slice(-2000)}`)), 20_000);
  child.stderr?.on('data', (chunk) => {
    log = (log + String(chunk)).slice(-10_000);
    if (/ running\s*$/m.test(log)) resolve();
  });
  child.on('error', reject);
  child.on('exit', () => reject(new Error(`named did not start: ${log.slice(-2000)}`)));
  return promise.finally(() => clearTimeout(giveUp));
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
