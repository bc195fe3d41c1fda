import { timingSafeEqual } from 'node:crypto';
import type { DispatchDeps, SystemCredentials } from '#core/dispatch.ts';
import { AppError } from '#core/errors.ts';
import type { Narrowing, Principal } from '#core/principal.ts';
import { createCache } from '#storage/cache.ts';
import type { CredentialRow, PrincipalRow } from '#storage/core-tables.ts';
import type { Store } from '#storage/store.ts';
import { type Chain, chainOfSecret, endOfChain, isRevoked } from './chain.ts';
import { hasChecksum, hashSecret, isSecretForm } from './secret.ts';

export interface AuthenticateDeps {
  readonly store: Store;
}

/** A credential that was good when it was read; only time can end it without a change of the tables. */
interface Live {
  readonly principal: Principal;
  readonly hash: Buffer;
}

/**
 * The step of dispatch that says who is asking. Unknown, revoked, expired, of a disabled or deleted principal: all are
 * `unauthenticated` with the same words, so that a found token cannot be asked what it once was.
 *
 * What is good is kept by its hash until credentials or principals change; what is not is looked up every time, so
 * that bad tokens cannot push good ones out.
 */
export function createAuthenticate({ store }: AuthenticateDeps): DispatchDeps['authenticate'] {
  const live = createCache<string, Live | undefined>(store, ['credentials', 'principals'], (hash) =>
    loadLive(store, hash),
  );
  return async (credentials, now) => {
    if (credentials.kind === 'system') return systemPrincipal(credentials);
    if (credentials.kind === 'none') throw noToken();
    if (!isSecretForm(credentials.token)) throw badToken();
    const digest = hashSecret(credentials.token);
    const key = digest.toString('hex');
    const found = live.peek(key) ?? (hasChecksum(credentials.token) ? await live.get(key) : undefined);
    if (found === undefined || !timingSafeEqual(found.hash, digest)) throw badToken();
    const { expiresAt } = found.principal;
    if (expiresAt !== undefined && expiresAt <= now) throw badToken();
    return found.principal;
  };
}

async function loadLive(store: Store, hash: string): Promise<Live | undefined> {
  const chain = await chainOfSecret(store, hash);
  const [shown] = chain ?? [];
  if (chain === undefined || shown === undefined || isRevoked(chain)) return undefined;
  const row = await store.first<PrincipalRow>('SELECT * FROM principals WHERE id = ? AND namespace = ?', [
    shown.principal_id,
    shown.namespace,
  ]);
  if (row === undefined || row.disabled !== 0) return undefined;
  return { principal: toPrincipal(row, shown, chain), hash: Buffer.from(shown.secret_hash, 'hex') };
}

function toPrincipal(row: PrincipalRow, shown: CredentialRow, chain: Chain): Principal {
  return Object.freeze({
    id: row.id,
    name: row.name,
    namespace: row.namespace,
    kind: row.kind,
    policies: JSON.parse(row.policies) as string[],
    credentialId: shown.id,
    narrowings: chain.flatMap(narrowingOf),
    expiresAt: endOfChain(chain),
    purpose: chain.find((credential) => credential.purpose !== null)?.purpose ?? undefined,
  });
}

function narrowingOf({ operations, resources, denied_resources: denied }: CredentialRow): Narrowing[] {
  if (operations === null && resources === null && denied === null) return [];
  return [
    {
      operations: globsOf(operations),
      resources: globsOf(resources),
      ...(denied === null ? {} : { denied: globsOf(denied) }),
    },
  ];
}

function globsOf(json: string | null): string[] {
  return json === null ? ['**'] : (JSON.parse(json) as string[]);
}

/** Background work. What each job may do is decided by `authorize`, by its name. */
function systemPrincipal({ job, namespace, onBehalfOf }: SystemCredentials): Principal {
  const nothing = { policies: [], narrowings: [] };
  return { id: 'system', name: job, namespace, kind: 'system', credentialId: 'system', ...nothing, onBehalfOf };
}

function badToken(): AppError {
  return new AppError('unauthenticated', 'The token is not valid.', {
    hint: 'It may be mistyped, expired or revoked; ask an administrator of the namespace for a new one.',
  });
}

function noToken(): AppError {
  return new AppError('unauthenticated', 'No token was given.', {
    hint: 'Send it as "Authorization: Bearer chy_…".',
  });
}
