import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '#test/free-port.ts';
import { findProgram, withFolder } from './machine.ts';

/** `cfssl serve` with a P-256 authority: the peer that neither stores nor audits nor asks who you are. */
export async function withCfssl<Result>(use: (origin: string) => Promise<Result>): Promise<Result | undefined> {
  const program = findProgram('cfssl');
  if (program === undefined) return undefined;
  return withFolder(async (folder) => {
    makeAuthority(program, folder);
    const port = await freePort();
    const child = spawn(
      program,
      ['serve', '-address', '127.0.0.1', '-port', String(port), '-loglevel', '4'].concat(
        ['-ca', join(folder, 'ca.pem'), '-ca-key', join(folder, 'ca-key.pem')],
        ['-config', join(folder, 'config.json')],
      ),
      { cwd: folder, stdio: 'ignore' },
    );
    const exited = once(child, 'exit');
    try {
      const origin = `http://127.0.0.1:${port}`;
      await untilUp(origin);
      return await use(origin);
    } finally {
      child.kill();
      await exited;
    }
  });
}

function makeAuthority(program: string, folder: string): void {
  const key = { algo: 'ecdsa', size: 256 };
  writeFileSync(join(folder, 'ca.json'), JSON.stringify({ CN: 'Peer', key, names: [{ O: 'Peer' }] }));
  const usages = ['digital signature', 'server auth'];
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ signing: { default: { usages, expiry: '24h' } } }));
  const made = execFileSync(program, ['genkey', '-initca', join(folder, 'ca.json')], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const { cert, key: privateKey } = JSON.parse(made.toString()) as { cert: string; key: string };
  writeFileSync(join(folder, 'ca.pem'), cert);
  writeFileSync(join(folder, 'ca-key.pem'), privateKey, { mode: 0o600 });
}

async function untilUp(origin: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await fetch(origin);
      return;
    } catch (error) {
      if (tries === 100) throw error;
      await sleep(50);
    }
  }
}
