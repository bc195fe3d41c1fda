import type { FastifyInstance } from 'fastify';

/**
 * Remembers every route, so that a path with the wrong method can be answered with 405 and Allow (RFC 9110 §15.5.6);
 * Fastify itself knows only "not found". Call it before any route is registered.
 */
export function rememberMethods(app: FastifyInstance): (path: string) => string[] {
  const routes: { readonly segments: readonly string[]; readonly methods: readonly string[] }[] = [];
  app.addHook('onRoute', ({ url, method }) => {
    routes.push({ segments: url.split('/'), methods: Array.isArray(method) ? method : [method] });
  });
  return (path) => {
    const segments = path.split('/');
    const found = routes.filter((route) => matches(route.segments, segments)).flatMap(({ methods }) => methods);
    return [...new Set(found)].sort();
  };
}

/** Whether a path fits a pattern of Fastify's: `:name` is any segment, a last `*` any rest. */
function matches(pattern: readonly string[], path: readonly string[]): boolean {
  const open = pattern.at(-1) === '*';
  if (open ? path.length < pattern.length : path.length !== pattern.length) return false;
  const fixed = open ? pattern.slice(0, -1) : pattern;
  return fixed.every((segment, index) => (segment.startsWith(':') ? path[index] !== '' : segment === path[index]));
}
