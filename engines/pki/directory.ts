import { AppError } from '#core/errors.ts';
import { createCache } from '#storage/cache.ts';
import type { Store } from '#storage/store.ts';
import type { Sealer } from '#seal/sealer.ts';
import { loadIssuers, type SigningIssuer } from './issuer.ts';
import { type CompiledRole, compileRole } from './role-compile.ts';
import { roleSchema } from './role-schema.ts';
import type { AuthoritySettings } from './authority-schema.ts';
import type { AuthorityRow, PkiTables } from './tables.ts';
import { type PkiUrls, pkiUrls } from './urls.ts';

/**
 * What issuance looks up for every request, held in memory until a table changes: authorities with their issuers,
 * compiled roles, blocked keys. Everything in it is immutable; keys are opened when they are first used.
 */
export interface Directory {
  /** Undefined when there is none of this name in the namespace. */
  authority(namespace: string, name: string): Promise<Authority | undefined>;
  /** Throws `not_found`. */
  requireAuthority(namespace: string, name: string): Promise<Authority>;
  /** Throws `not_found`. */
  requireRole(namespace: string, name: string): Promise<CompiledRole>;
  /** Every authority of a namespace, by name. */
  authorities(namespace: string): Promise<readonly Authority[]>;
  /** SHA-256 of the SubjectPublicKeyInfo of every key that must not be certified, hex. */
  blockedKeys(namespace: string): Promise<ReadonlySet<string>>;
  close(): void;
}

export interface Authority {
  readonly row: AuthorityRow;
  readonly settings: AuthoritySettings;
  readonly urls: PkiUrls;
  /** By number, oldest first; those that still have a life. */
  readonly issuers: readonly SigningIssuer[];
  /** The one that signs certificates; undefined while pending or retired. */
  readonly active: SigningIssuer | undefined;
  /** Name of the authority above its active issuer, if that is ours. */
  readonly parent: string | null;
}

interface DirectoryDeps {
  readonly store: Store;
  readonly sealer: Sealer;
  readonly baseUrl: string;
}

const authorityTables = ['pki_authorities', 'pki_issuers', 'pki_cross_certificates'];

export function createDirectory(deps: DirectoryDeps): Directory {
  const { store } = deps;
  // Keys are `namespace/name`; neither part can hold a slash.
  const authorities = createCache(store, authorityTables, (key: string) => loadAuthority(deps, key));
  const roles = createCache(store, ['pki_roles'], (key: string) => loadRole(store, key));
  const blocked = createCache(store, ['pki_blocked_keys'], (namespace: string) => loadBlockedKeys(store, namespace));
  return {
    authority: (namespace, name) => authorities.get(`${namespace}/${name}`),
    async requireAuthority(namespace, name) {
      const authority = await authorities.get(`${namespace}/${name}`);
      if (authority) return authority;
      throw new AppError('not_found', `There is no authority ${name}.`, {
        hint: 'pki.list_authorities shows those that exist.',
      });
    },
    async requireRole(namespace, name) {
      const role = await roles.get(`${namespace}/${name}`);
      if (role) return role;
      throw new AppError('not_found', `There is no role ${name}.`, { hint: 'pki.list_roles shows those that exist.' });
    },
    async authorities(namespace) {
      const rows = await store
        .tables<PkiTables>()
        .selectFrom('pki_authorities')
        .select('name')
        .where('namespace', '=', namespace)
        .orderBy('name')
        .execute();
      const loaded = await Promise.all(rows.map((row) => authorities.get(`${namespace}/${row.name}`)));
      return loaded.filter((authority) => authority !== undefined);
    },
    blockedKeys: (namespace) => blocked.get(namespace),
    close() {
      authorities.close();
      roles.close();
      blocked.close();
    },
  };
}

function split(key: string): [namespace: string, name: string] {
  const at = key.indexOf('/');
  return [key.slice(0, at), key.slice(at + 1)];
}

async function loadAuthority(deps: DirectoryDeps, key: string): Promise<Authority | undefined> {
  const [namespace, name] = split(key);
  const row = await deps.store
    .tables<PkiTables>()
    .selectFrom('pki_authorities')
    .selectAll()
    .where('namespace', '=', namespace)
    .where('name', '=', name)
    .executeTakeFirst();
  if (!row) return undefined;
  const issuers = await loadIssuers(deps, row.id);
  const parentId = issuers.findLast((issuer) => issuer.row.parent_id !== null)?.row.parent_id;
  return {
    row,
    settings: JSON.parse(row.settings) as AuthoritySettings,
    urls: pkiUrls(deps.baseUrl, namespace, name),
    issuers,
    active: row.state === 'active' ? issuers.find((issuer) => issuer.row.state === 'active') : undefined,
    parent: parentId ? await authorityOfIssuer(deps.store, parentId) : null,
  };
}

async function authorityOfIssuer(store: Store, issuerId: string): Promise<string | null> {
  const sql = 'SELECT a.name FROM pki_issuers i JOIN pki_authorities a ON a.id = i.authority_id WHERE i.id = ?';
  return (await store.first<{ name: string }>(sql, [issuerId]))?.name ?? null;
}

async function loadRole(store: Store, key: string): Promise<CompiledRole | undefined> {
  const row = await store.first<{ definition: string }>(
    'SELECT definition FROM pki_roles WHERE namespace = ? AND name = ?',
    split(key),
  );
  return row && compileRole(roleSchema.parse(JSON.parse(row.definition)));
}

async function loadBlockedKeys(store: Store, namespace: string): Promise<ReadonlySet<string>> {
  const rows = await store.all<{ spki_sha256: string }>(
    'SELECT spki_sha256 FROM pki_blocked_keys WHERE namespace = ?',
    [namespace],
  );
  return new Set(rows.map((row) => row.spki_sha256));
}
