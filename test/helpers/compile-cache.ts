import { join } from 'node:path';

/**
 * For the environment of a program of ours that a test starts: it finds its modules compiled, which more than halves the
 * processor time of a start.
 */
export const compileCache = {
  NODE_COMPILE_CACHE:
    process.env['NODE_COMPILE_CACHE'] ?? join(import.meta.dirname, '../../node_modules/.cache/compiled'),
};
