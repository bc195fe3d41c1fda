import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditEvent } from '#core/audit-event.ts';
import type { Insert, Row } from '#core/change.ts';
import type { AppError, ErrorCode } from '#core/errors.ts';
import { openStore } from '#storage/open.ts';
import type { Migration, Store } from '#storage/store.ts';
import { startPostgres, type PostgresServer } from '#test/postgres.ts';
import { linker, nextHash } from './linker.ts';

/** What the tests of the store share: a small table, a real linker, and both backends behind one face. */

export const thingMigration: Migration = {
  area: 'things',
  number: 1,
  title: 'things',
  statements: [
    `CREATE TABLE things (
      id TEXT PRIMARY KEY, namespace TEXT NOT NULL, name TEXT, amount BIGINT NOT NULL, data BLOB,
      UNIQUE (namespace, name))`,
    'CREATE TABLE others (id TEXT PRIMARY KEY, amount BIGINT NOT NULL)',
  ],
};

export interface ThingRow {
  id: string;
  namespace: string;
  name: string | null;
  amount: number;
  data: Uint8Array | null;
}

export interface Tables {
  things: ThingRow;
  others: { id: string; amount: number };
  audit_events: { seq: number; id: string; hash: Uint8Array };
}

export function event(id: string): AuditEvent {
  return {
    id,
    at: 1_800_000_000_000,
    namespace: 'root',
    requestId: 'req_1',
    principal: 'alice',
    principalKind: 'agent',
    credentialId: 'key_1',
    operation: 'things.make_thing',
    resource: `things/${id}`,
    outcome: 'ok',
    code: null,
    transport: 'rest',
    sourceAddress: '127.0.0.1',
    purpose: null,
    details: { size: 1 },
  };
}

export function insertThing(id: string, more: Row = {}): Insert {
  return {
    kind: 'insert',
    table: 'things',
    row: { id, namespace: 'root', name: id, amount: 0, data: null, ...more },
  };
}

/** Checks every link of the chain from the first event, and that the head is the last one. Returns the ids in order. */
export async function verifyChain(store: Pick<Store, 'all' | 'first'>): Promise<string[]> {
  const rows = await store.all<Tables['audit_events']>('SELECT seq, id, hash FROM audit_events ORDER BY seq', []);
  let last: Uint8Array = new Uint8Array(32);
  for (const [index, row] of rows.entries()) {
    assert.equal(row.seq, index + 1, 'the chain has a gap');
    last = nextHash(last, row.id);
    assert.ok(Buffer.from(row.hash).equals(last), `the hash of event ${row.seq} does not follow from the one before`);
  }
  const head = await store.first<{ seq: number; hash: Uint8Array }>('SELECT seq, hash FROM audit_head', []);
  assert.equal(head?.seq, rows.length);
  assert.ok(Buffer.from(head.hash).equals(last));
  return rows.map((row) => row.id);
}

export interface Backend {
  readonly kind: Store['kind'];
  start(): Promise<void>;
  stop(): Promise<void>;
  /** The address of a store with nothing in it. */
  newUrl(): Promise<string>;
}

export function sqliteBackend(): Backend {
  let folder = '';
  let count = 0;
  return {
    kind: 'sqlite',
    start: async () => {
      folder = mkdtempSync(join(tmpdir(), 'chancery-store-'));
    },
    stop: async () => rmSync(folder, { recursive: true, force: true }),
    newUrl: async () => `sqlite:${join(folder, `store-${++count}.db`)}`,
  };
}

export function postgresBackend(): Backend & { server(): PostgresServer } {
  let server: PostgresServer | undefined;
  const running = (): PostgresServer => {
    assert.ok(server, 'the PostgreSQL of the tests was not started');
    return server;
  };
  return {
    kind: 'postgres',
    server: running,
    start: async () => {
      server = await startPostgres();
    },
    stop: async () => running().stop(),
    newUrl: async () => running().createDatabase(),
  };
}

/** Opens a store, with the table of things. */
export function openThings(url: string, more: readonly Migration[] = []): Promise<Store> {
  return openStore({ url, linker, migrations: [thingMigration, ...more] });
}

/** An expectation for `assert.rejects`: an AppError of this code. */
export function appError(code: ErrorCode, message?: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.equal((error as AppError).code, code, `expected ${code}: ${String(error)}`);
    if (message) assert.match((error as AppError).message, message);
    return true;
  };
}

export async function things(store: Store): Promise<ThingRow[]> {
  return store.all<ThingRow>('SELECT id, namespace, name, amount, data FROM things ORDER BY id', []);
}
