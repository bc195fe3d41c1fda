import { parseArgs } from 'node:util';
import { benchmark as acme } from './acme.ts';
import { benchmark as crl } from './crl.ts';
import { benchmark as issue } from './issue.ts';
import { benchmark as lease } from './lease.ts';
import { benchmark as leaseBurst } from './lease-burst.ts';
import { benchmark as leaseStart } from './lease-start.ts';
import { benchmark as mcp } from './mcp.ts';
import { benchmark as ocsp } from './ocsp.ts';
import { benchmark as start } from './start.ts';
import { benchmark as steps } from './steps.ts';
import { benchmark as store } from './store.ts';
import { benchmark as validate } from './validate.ts';
import { describeLoad, describeMachine } from './harness/machine.ts';
import type { Benchmark, Settings } from './harness/settings.ts';

/** `npm run bench -- [name…] [flags]`: runs the named benchmarks, or all. Every figure of docs/performance.md is from here. */
const benchmarks: readonly Benchmark[] = [
  issue,
  steps,
  ocsp,
  crl,
  start,
  store,
  validate,
  lease,
  leaseBurst,
  leaseStart,
  mcp,
  acme,
];

const usage = `usage: npm run bench -- [name…] [--seconds 3] [--warm-up 2] [--connections 1,8,64] [--only sqlite,cfssl] [--large]

${benchmarks.map(({ name, summary }) => `  ${name.padEnd(12)} ${summary}`).join('\n')}

  --seconds      length of each single measurement
  --only         parts to measure: sqlite, postgres, cfssl; of lease: postgresql, mysql
  --large        1,000,000 rows instead of 100,000: minutes instead of seconds
  BENCH_CPU_PROFILE=<folder> in the environment has the servers write CPU profiles, one a thread
`;

process.exitCode = await main();

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: 'string', default: '3' },
      'warm-up': { type: 'string', default: '2' },
      connections: { type: 'string', default: '1,8,64' },
      only: { type: 'string' },
      large: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const unknown = positionals.filter((name) => !benchmarks.some((each) => each.name === name));
  if (values.help || unknown.length > 0) {
    process.stdout.write(unknown.length > 0 ? `there is no benchmark ${unknown.join(', ')}\n\n${usage}` : usage);
    return unknown.length > 0 ? 2 : 0;
  }
  const parts = values.only?.split(',');
  const settings: Settings = {
    seconds: Number(values.seconds),
    warmUp: Number(values['warm-up']),
    connections: values.connections.split(',').map(Number),
    large: values.large,
    wants: (part) => parts?.includes(part) ?? true,
  };
  process.stdout.write(`${describeMachine()}\n`);
  for (const benchmark of benchmarks) {
    if (positionals.length > 0 && !positionals.includes(benchmark.name)) continue;
    process.stdout.write(`\n== ${benchmark.name}: ${benchmark.summary} (${describeLoad()})\n`);
    await benchmark.run(settings);
  }
  return 0;
}
