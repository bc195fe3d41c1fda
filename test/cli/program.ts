import { runCli } from '#cli/main.ts';
import { operations } from './operations.ts';

/** The CLI as a process of its own, as src/chancery.ts starts it, over the operations of the test. */
process.exitCode = await runCli({
  operations,
  argv: process.argv.slice(2),
  env: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  localCommands: {},
  version: '0.1.0',
});
