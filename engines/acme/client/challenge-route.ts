import type { PublicRoute } from '#core/engine.ts';
import type { Store } from '#storage/store.ts';

const token = /^[A-Za-z0-9_-]{1,512}$/;

/** RFC 8555 §8.3. The answers stand in the store, so that any node gives them, whichever works on the order. */
export function challengeRoute(store: Store): PublicRoute {
  return {
    method: 'GET',
    path: '/.well-known/acme-challenge/:token',
    summary: 'Answers http-01 challenges of our own orders at outside ACME authorities',
    async handle({ params }) {
      const asked = params['token'] ?? '';
      const row = token.test(asked)
        ? await store.first<{ key_authorization: string }>(
            `SELECT key_authorization FROM acme_client_challenges WHERE token = ? AND type = 'http-01'`,
            [asked],
          )
        : undefined;
      const headers = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };
      if (row === undefined) return { status: 404, headers, body: '' };
      return {
        status: 200,
        headers: { ...headers, 'content-type': 'application/octet-stream' },
        body: row.key_authorization,
      };
    },
  };
}
