import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

/** Runs the official suite and reads what it found, check by check. */

export interface Finding {
  readonly id: string;
  readonly status: 'SUCCESS' | 'FAILURE' | 'WARNING' | 'SKIPPED' | 'INFO';
  readonly errorMessage?: string;
}

export interface SuiteRun {
  /** Of the suite's own process. */
  readonly exitCode: number | null;
  readonly output: string;
  /** Scenario → its checks. */
  readonly scenarios: ReadonlyMap<string, readonly Finding[]>;
}

const suite = join(import.meta.dirname, '../../../node_modules/@modelcontextprotocol/conformance/dist/index.js');

export async function runSuite(context: TestContext, url: string, args: readonly string[]): Promise<SuiteRun> {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-conformance-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const child = spawn(process.execPath, [suite, 'server', '--url', `${url}/mcp`, '-o', folder, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  context.after(() => void child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [exitCode] = (await once(child, 'close')) as [number | null];
  return { exitCode, output, scenarios: readResults(folder) };
}

function readResults(folder: string): Map<string, Finding[]> {
  const runs = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) =>
    path.endsWith('checks.json'),
  );
  return new Map(
    runs.map((path) => {
      const scenario = /server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z/.exec(path)?.[1] ?? path;
      return [scenario, JSON.parse(readFileSync(join(folder, path), 'utf8')) as Finding[]];
    }),
  );
}
