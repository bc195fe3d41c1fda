/**
 * Loaded into the process of every test file: one that still runs after twenty minutes is ended, and says so.
 * The runner's own `--test-timeout` ends a test, but waits for ever for a file that something keeps alive.
 */
const LONGEST_MS = 1_200_000;

if (process.env['NODE_TEST_CONTEXT'] !== undefined) {
  setTimeout(() => {
    process.stderr.write(`${process.argv[1]} still runs after ${LONGEST_MS / 60_000} minutes: ended.\n`);
    process.exit(1);
  }, LONGEST_MS).unref();
}
