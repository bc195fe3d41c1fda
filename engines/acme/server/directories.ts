import { name as nameSchema } from '#core/ids.ts';
import type { Issuer } from '#core/issuer.ts';
import { createCache } from '#storage/cache.ts';
import type { Store } from '#storage/store.ts';
import { type DirectorySettings, defaultSettings, parseSettings } from './settings.ts';
import type { DirectoryRow } from './tables.ts';

/** A directory: every role of the PKI has one, whether or not somebody configured it. */
export interface Directory {
  readonly namespace: string;
  readonly role: string;
  /** When its role was made, in milliseconds. Accounts and keys from before belong to an earlier role of the name. */
  readonly since: number;
  readonly settings: DirectorySettings;
  readonly configured: boolean;
  /** Absolute URL of what lies below the directory: `new-order`, `order/ord_1`. */
  readonly url: (path: string) => string;
}

export interface Directories {
  /** By the first segment of a path: `web`, or `tenant~web`. Undefined when there is no such role. */
  at(segment: string): Promise<Directory | undefined>;
  of(namespace: string, role: string): Promise<Directory | undefined>;
  close(): void;
}

export interface DirectoryParts {
  readonly store: Store;
  readonly issuer: Issuer;
  /** Origin without a slash at the end. */
  readonly baseUrl: string;
}

const rootNamespace = 'root';

/** Held in memory until a role or a directory changes. */
export function createDirectories(parts: DirectoryParts): Directories {
  const cache = createCache(parts.store, ['pki_roles', 'acme_server_directories'], (key: string) => load(parts, key));
  const of = (namespace: string, role: string) => cache.get(`${namespace}/${role}`);
  return {
    of,
    async at(segment) {
      const [first = '', second] = segment.split('~');
      const [namespace, role] = second === undefined ? [rootNamespace, first] : [first, second];
      // What is no name is looked up nowhere; `root~web` would be a second URL for one directory.
      if (!nameSchema.safeParse(role).success || !nameSchema.safeParse(namespace).success) return undefined;
      if (second !== undefined && namespace === rootNamespace) return undefined;
      return of(namespace, role);
    },
    close: () => cache.close(),
  };
}

/** The path segment of a directory. */
export function segmentOf(namespace: string, role: string): string {
  return namespace === rootNamespace ? role : `${namespace}~${role}`;
}

export function directoryUrl(baseUrl: string, namespace: string, role: string): string {
  return `${baseUrl}/acme/${segmentOf(namespace, role)}/directory`;
}

async function load({ store, issuer, baseUrl }: DirectoryParts, key: string): Promise<Directory | undefined> {
  const [namespace = '', role = ''] = key.split('/');
  const since = await issuer.roleSince(namespace, role);
  if (since === undefined) return undefined;
  const found = await readDirectoryRow(store, namespace, role);
  // How an earlier role of the name was opened says nothing about this one.
  const row = found !== undefined && isOfRole(found, since) ? found : undefined;
  const base = `${baseUrl}/acme/${segmentOf(namespace, role)}/`;
  return {
    namespace,
    role,
    since,
    settings: row === undefined ? defaultSettings : parseSettings(row.settings),
    configured: row !== undefined,
    url: (path) => base + path,
  };
}

/** Whether settings were made for the role that there is, and not for an earlier one of its name. */
export function isOfRole({ updated_at: made }: DirectoryRow, since: number | undefined): boolean {
  return since !== undefined && made >= since;
}

export function readDirectoryRow(store: Store, namespace: string, role: string): Promise<DirectoryRow | undefined> {
  return store.first<DirectoryRow>('SELECT * FROM acme_server_directories WHERE namespace = ? AND role = ?', [
    namespace,
    role,
  ]);
}
