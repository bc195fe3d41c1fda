import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { auditLinker } from '#audit/chain.ts';
import { createDispatch, type Dispatch, type DispatchDeps } from '#core/dispatch.ts';
import { makeGrant } from '#core/grant.ts';
import { newId } from '#core/ids.ts';
import type { BoundOperation } from '#core/operation.ts';
import type { Principal } from '#core/principal.ts';
import { localRootKey, type RootKey } from '#seal/root-key.ts';
import { openStore as openStoreAt } from '#storage/open.ts';
import type { Migration, Store } from '#storage/store.ts';

/** A clock that stands until it is moved. */
export interface TestClock {
  now(): number;
  advance(milliseconds: number): void;
}

export function testClock(start = Date.UTC(2026, 10, 21, 10)): TestClock {
  let now = start;
  return {
    now: () => now,
    advance: (milliseconds) => {
      now += milliseconds;
    },
  };
}

/** A folder that is removed when the test ends. */
export function temporaryFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Two tables that hold sealed values, as an engine would have them. */
export const vaultMigration: Migration = {
  area: 'vault',
  number: 1,
  title: 'sealed values of tests',
  statements: [
    'CREATE TABLE vaults (id TEXT PRIMARY KEY, secret BLOB, pin BLOB, label TEXT NOT NULL)',
    'CREATE TABLE safes (id TEXT PRIMARY KEY, secret TEXT)',
  ],
};
export const vaultColumns = [
  { table: 'vaults', key: 'id', column: 'secret' },
  { table: 'vaults', key: 'id', column: 'pin' },
  { table: 'safes', key: 'id', column: 'secret' },
] as const;

/** Opens a store on a file; the caller closes it. */
export function openStore(file: string): Promise<Store> {
  return openStoreAt({ url: `sqlite:${file}`, linker: auditLinker, migrations: [vaultMigration] });
}

/** A new store in a new folder, closed when the test ends. */
export async function temporaryStore(context: TestContext): Promise<{ store: Store; folder: string; file: string }> {
  const folder = temporaryFolder(context);
  const file = join(folder, 'chancery.db');
  const store = await openStore(file);
  context.after(() => store.close());
  return { store, folder, file };
}

/** A root key and a copy of its bytes to look for. */
export function newRootKey(): { rootKey: RootKey; bytes: Buffer } {
  const bytes = randomBytes(32);
  return { rootKey: localRootKey(Buffer.from(Uint8Array.from(bytes).buffer)), bytes };
}

/** The real dispatch over a store; who calls is the system or, for bearers, a human of the namespace that the token names. */
export function dispatchOver(store: Store, clock: { now(): number }): Dispatch {
  const deps: DispatchDeps = {
    clock,
    commit: (changes, events) => store.commit(changes, events),
    authenticate: async (credentials): Promise<Principal> => {
      const namespace =
        credentials.kind === 'system' ? credentials.namespace : credentials.kind === 'bearer' ? credentials.token : '';
      return {
        id: 'prn_test',
        name: 'tester',
        namespace,
        kind: credentials.kind === 'system' ? 'system' : 'human',
        policies: [],
        credentialId: 'crd_test',
        narrowings: [],
      };
    },
    authorize: async ({ principal, operation, resource, requestId, now }) => ({
      grant: makeGrant({
        principal,
        namespace: principal.namespace,
        operation: operation.id,
        resource,
        purpose: undefined,
        limits: {},
        requestId,
        sourceAddress: null,
        now,
      }),
      changes: [],
    }),
    idempotency: {
      find: async () => undefined,
      keep: () => ({ kind: 'delete', table: 'settings', where: { name: '' } }),
    },
  };
  return createDispatch(deps);
}

/** Calls an operation by its id as somebody of a namespace. */
export async function call(
  dispatch: Dispatch,
  operations: readonly BoundOperation[],
  id: string,
  input: unknown = {},
  namespace = 'root',
): Promise<Record<string, unknown>> {
  const operation = operations.find((entry) => entry.id === id);
  if (operation === undefined) throw new Error(`no operation ${id}`);
  const reply = await dispatch({
    operation,
    input,
    credentials: { kind: 'bearer', token: namespace },
    transport: 'rest',
    sourceAddress: '192.0.2.1',
    requestId: newId('req', 0),
  });
  return reply.output as Record<string, unknown>;
}
