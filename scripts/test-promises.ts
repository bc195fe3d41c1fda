/**
 * Loaded into the process of every test file, before `node:test`. To know which test an exception that nobody caught
 * belongs to, the runner follows every promise by async_hooks: a fifth of the processor time of a file that sends many
 * requests. Followed without promises (sockets, timers and tests still are), such an exception may be told at the
 * file instead of at its test; it fails the run all the same.
 */
import hooks from 'node:async_hooks';
import { syncBuiltinESMExports } from 'node:module';

const createHook = hooks.createHook;

if (process.env['NODE_TEST_CONTEXT'] !== undefined) {
  hooks.createHook = (callbacks) => createHook({ ...callbacks, trackPromises: false });
  syncBuiltinESMExports();
}
