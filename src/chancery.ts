import { readFileSync } from 'node:fs';
import { isForClaim } from '#cli/claim-words.ts';
import { runCli } from '#cli/main.ts';
import { fromManifest } from '#cli/manifest.ts';
import { version } from './version.ts';

/** The CLI. It reads the operations from a generated file, so that it starts without loading the server. */
const operations = fromManifest(readFileSync(new URL('./cli/operations.json', import.meta.url), 'utf8'));

process.exitCode = await runCli({
  operations,
  argv: process.argv.slice(2),
  env: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  version,
  localCommands: {
    mcp: {
      summary: 'Serve MCP on stdin and stdout, for an agent on this machine',
      run: async (context) => (await import('./mcp-command.ts')).runMcpCommand(context),
    },
    run: {
      summary: 'Run a command with a database user that lives as long as it runs',
      run: async (context) => (await import('#cli/with-credentials.ts')).runWithCredentials(context),
    },
    claim: {
      summary: 'Bring secrets that MCP kept into a file or the environment of a command',
      takes: isForClaim,
      run: async (context) => (await import('#cli/claim.ts')).runClaim(context),
    },
    server: {
      summary: 'Run, restore or verify a server on this machine',
      run: async (context) => (await import('./server-command.ts')).runServerCommand(context),
    },
  },
});
