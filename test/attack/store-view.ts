import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { TestContext } from 'node:test';

/**
 * Looks into the store of a running server beside it. Through SQLite only: any other descriptor of the file that this
 * process closed would drop the server's locks (POSIX, fcntl).
 */
export interface StoreView {
  /** One hash per table over all its rows, or over those of one namespace. Derived tables and the audit are left out. */
  digest(namespace?: string): Readonly<Record<string, string>>;
  /** Audit events that came by a request and not from a background job. */
  requestEvents(): number;
  /** All audit events, background jobs included. */
  allEvents(): number;
  rows(sql: string): readonly Record<string, unknown>[];
}

/** What background jobs make anew from other tables at any moment; the audit is counted apart. */
const leftOut = new Set([
  'audit_events',
  'audit_head',
  'lease_brake',
  'pki_crls',
  'pki_crl_states',
  'pki_ocsp_signers',
]);

export function viewStore(context: TestContext, folder: string): StoreView {
  const database = new DatabaseSync(join(folder, 'chancery.db'), { readOnly: true });
  context.after(() => database.close());
  const rows = (sql: string) => database.prepare(sql).all() as Record<string, unknown>[];
  const count = (where: string) => Number(rows(`SELECT count(*) AS n FROM audit_events ${where}`)[0]?.['n']);
  const tables = rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    .map(({ name }) => String(name))
    .filter((name) => !leftOut.has(name));
  const hasNamespace = new Set(
    tables.filter((table) => rows(`PRAGMA table_info(${table})`).some(({ name }) => name === 'namespace')),
  );
  return {
    rows,
    requestEvents: () => count("WHERE transport <> 'system'"),
    allEvents: () => count(''),
    digest(namespace) {
      const wanted = namespace === undefined ? tables : tables.filter((table) => hasNamespace.has(table));
      const where = namespace === undefined ? '' : ` WHERE namespace = '${namespace}'`;
      return Object.fromEntries(wanted.map((table) => [table, hashOf(rows(`SELECT * FROM ${table}${where}`))]));
    },
  };
}

function hashOf(rows: readonly Record<string, unknown>[]): string {
  const texts = rows.map((row) =>
    JSON.stringify(row, (_key, value: unknown) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
    ),
  );
  return `${rows.length} ${createHash('sha256').update(texts.sort().join('\n')).digest('hex')}`;
}
