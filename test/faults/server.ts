import assert from 'node:assert/strict';
import { spawn as startProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type ChildServer, foundPki, spawnChancery } from '#test/chancery.ts';
import { compileCache } from '#test/compile-cache.ts';

export interface FaultOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly folder?: string;
  readonly command?: readonly string[];
}

export type Spawn = (options?: FaultOptions) => Promise<ChildServer>;

export function spawner(context: TestContext, fixed: FaultOptions = {}): Spawn {
  return (options = {}) => spawnChancery(context, { ...fixed, ...options, env: { ...fixed.env, ...options.env } });
}

/** A folder that is removed when the test ends. */
export function temporaryFolder(context: TestContext, what: string): string {
  const folder = mkdtempSync(join(tmpdir(), `chancery-${what}-`));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * Starts a server and kills it when files of its folder were made, renamed or removed that many times. Resolves to
 * whether it was killed before it listened.
 */
export async function killAtStart(folder: string, steps: number): Promise<boolean> {
  const main = join(import.meta.dirname, '../../src/main.ts');
  const child = startProcess(process.execPath, ['--disable-warning=ExperimentalWarning', main], {
    env: {
      PATH: process.env['PATH'],
      CHANCERY_DATA: folder,
      CHANCERY_LISTEN: '127.0.0.1:0',
      CHANCERY_LOG_LEVEL: 'warn',
      ...compileCache,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let seen = 0;
  const watcher = watch(folder, (kind) => {
    if (kind === 'rename' && ++seen === steps) child.kill('SIGKILL');
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    if (output.includes(' listens on ')) child.kill('SIGKILL');
  });
  await once(child, 'close');
  watcher.close();
  return !output.includes(' listens on ');
}

/** A server with authorities and the role `web`, stopped as it should be, so that its folder is ready to be tried. */
export async function foundServer(spawn: Spawn): Promise<ChildServer> {
  const server = await spawn();
  await foundPki(server);
  await server.stop();
  assert.equal(server.process.exitCode, 0, server.output());
  return server;
}

/** Nothing that the server wrote is the trace of a mistake: an exception that nobody caught, a promise that nobody awaited. */
export function assertNoCrash(server: ChildServer): void {
  assert.doesNotMatch(server.output(), /unhandled|uncaught|triggerUncaughtException|Node\.js v\d/i);
}
