/** `npm test`: every test of the repository, or those whose path contains one of the arguments. */
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

const wanted = process.argv.slice(2);
const files = globSync('test/**/*.test.ts')
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();
if (files.length === 0) {
  process.stderr.write(`no test file matches ${wanted.join(' ')}\n`);
  process.exit(2);
}

// Every file runs in a process of its own and needs the same modules: they are compiled once.
const compiled = join(import.meta.dirname, '../node_modules/.cache/compiled');

const runner = spawn(
  process.execPath,
  [
    '--test',
    `--test-concurrency=${availableParallelism()}`,
    '--test-timeout=600000',
    `--import=${join(import.meta.dirname, 'test-deadline.ts')}`,
    '--disable-warning=ExperimentalWarning',
    ...files,
  ],
  { stdio: 'inherit', env: { NODE_COMPILE_CACHE: compiled, ...process.env } },
);
runner.on('exit', (code, signal) => process.exit(code ?? (signal === null ? 1 : 128)));
