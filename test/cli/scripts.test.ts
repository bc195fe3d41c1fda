import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parseScript, runStep, writeInput } from './script.ts';
import type { TestServer } from './server.ts';
import { startServer, token } from './server.ts';

/*
 * Every session of test/cli/*.txt, step by step, against a real server. After a wanted change of words,
 * CLI_SCRIPTS=write rewrites what the sessions expect; read the difference before you commit it.
 */

const folder = import.meta.dirname;
const home = process.cwd();
const rewrite = process.env['CLI_SCRIPTS'] === 'write';

describe('sessions of the command line', () => {
  let server: TestServer;
  before(async () => {
    process.umask(0o022);
    server = await startServer();
  });
  after(() => server.close());

  for (const file of readdirSync(folder).filter((name) => name.endsWith('.txt'))) {
    test(`the session ${file} goes as it is written`, async () => {
      const work = mkdtempSync(join(tmpdir(), 'chancery-cli-'));
      process.chdir(work);
      try {
        await runScript(join(folder, file), { CHANCERY_URL: server.url, CHANCERY_TOKEN: token });
      } finally {
        process.chdir(home);
        rmSync(work, { recursive: true });
      }
    });
  }
});

async function runScript(path: string, env: Readonly<Record<string, string>>): Promise<void> {
  const written: string[] = [];
  for (const line of parseScript(readFileSync(path, 'utf8'))) {
    written.push(line.text);
    if (line.file !== undefined) await writeInput(line.file.path, line.file.content);
    if (line.step === undefined) continue;
    const actual = await runStep(line.step, env);
    const stdin =
      line.step.stdin === ''
        ? []
        : line.step.stdin
            .replace(/\n$/, '')
            .split('\n')
            .map((text) => `< ${text}`);
    written.push(...stdin, ...(actual === '' ? [] : [actual]));
    if (!rewrite) assert.equal(actual, line.step.expected, `${line.step.title}: ${line.step.command}`);
  }
  if (rewrite) writeFileSync(path, `${written.join('\n')}\n`);
}
