/** `npm test`: every test of the repository, or those whose path contains one of the arguments. */
import { chmodSync, globSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

/** They take longest, the longest first: begun at last, one of them would go on alone when all others are done. */
const longest = [
  'test/faults/kill.test.ts',
  'test/attack/tenants.test.ts',
  'test/faults/restore.test.ts',
  'test/faults/corruption.test.ts',
  'test/faults/lease-nodes.test.ts',
  'test/faults/kill-postgres.test.ts',
  'test/faults/store-away.test.ts',
  'test/faults/power-cut.test.ts',
  'test/server-command.test.ts',
  'test/faults/kill-first-start.test.ts',
  'test/interop/java.test.ts',
  'test/attack/bad-fields.test.ts',
  'test/faults/lease-steps-postgresql.test.ts',
  'test/lease/nodes.test.ts',
  'test/faults/fsync.test.ts',
  'test/faults/lease-kill-postgresql.test.ts',
  'test/interop/lint.test.ts',
];

const wanted = process.argv.slice(2);
const files = globSync('test/**/*.test.ts')
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort((left, right) => rank(left) - rank(right) || (left < right ? -1 : 1));
if (files.length === 0) {
  process.stderr.write(`no test file matches ${wanted.join(' ')}\n`);
  process.exit(2);
}

function rank(file: string): number {
  const index = longest.indexOf(file);
  return index === -1 ? longest.length : index;
}

/** Data folders of database servers, made by the first file that needs one and copied by the others. */
const templates = mkdtempSync(join(tmpdir(), 'chancery-templates-'));
chmodSync(templates, 0o711);
process.once('exit', () => rmSync(templates, { recursive: true, force: true }));

const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());

const preload = (name: string) => `--import=${join(import.meta.dirname, name)}`;

run({
  files,
  // Files wait for servers, disks and clocks about half of their time.
  concurrency: availableParallelism() * 2,
  timeout: 1_200_000,
  signal: stopping.signal,
  execArgv: [preload('test-deadline.ts'), preload('test-promises.ts'), '--disable-warning=ExperimentalWarning'],
  env: {
    // Every file runs in a process of its own and needs the same modules: they are compiled once.
    NODE_COMPILE_CACHE: join(import.meta.dirname, '../node_modules/.cache/compiled'),
    CHANCERY_TEST_TEMPLATES: templates,
    ...process.env,
  },
})
  .on('test:summary', ({ success }) => {
    if (!success) process.exitCode = 1;
  })
  .compose(spec)
  .pipe(process.stdout);
