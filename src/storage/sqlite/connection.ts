import { constants, DatabaseSync, type StatementSync } from 'node:sqlite';
import type { SchemaConnection } from '#storage/migrate.ts';

/** Opens a file with the settings that hold for every connection of ours. */
export function openFile(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { enableForeignKeyConstraints: false, timeout: 250 });
  // FULL: a commit is on the disk when it returns (measured: NORMAL lost hundreds of acknowledged commits on power loss).
  // No mmap: an error of the disk shall be an error, not a SIGBUS; measured, it is no faster with this page cache.
  // wal_autocheckpoint: at 64 MiB of log, for when the checkpoint thread does not keep up (checkpointer.ts).
  database.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA cache_size = -65536;
    PRAGMA mmap_size = 0;
    PRAGMA temp_store = MEMORY;
    PRAGMA wal_autocheckpoint = 16384;
    PRAGMA trusted_schema = OFF;
  `);
  return database;
}

/**
 * Opens an empty file to be filled and then kept or thrown away as a whole, with a transaction begun. Nothing is synced
 * and no journal is written; a small cache makes the writing go on with the filling.
 */
export function newFile(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: false });
  database.exec('PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA cache_size = -8192; BEGIN');
  return database;
}

/** The connection as migrations want it. */
export function schemaConnection(database: DatabaseSync): SchemaConnection {
  return {
    dialect: 'sqlite',
    execute: (sql) => Promise.resolve(database.exec(sql)),
    query: (sql, parameters) => Promise.resolve(database.prepare(sql).all(...parameters)),
  };
}

/** Tables of ours in a file, with their columns, in the order of their names. */
export function listTables(database: DatabaseSync): Map<string, string[]> {
  const rows = database
    .prepare(
      `SELECT t.name AS "table", c.name AS "column" FROM sqlite_schema t, pragma_table_info(t.name) c
       WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY t.name, c.cid`,
    )
    .all();
  const tables = new Map<string, string[]>();
  for (const row of rows) {
    const columns = tables.get(String(row['table']));
    if (columns) columns.push(String(row['column']));
    else tables.set(String(row['table']), [String(row['column'])]);
  }
  return tables;
}

/** Statements by their text, each prepared once. Texts are bounded, for lists of any length make texts of any number. */
export interface StatementCache {
  get(text: string): StatementSync;
}

const maxStatements = 500;

export function createStatementCache(prepare: (text: string) => StatementSync): StatementCache {
  const statements = new Map<string, StatementSync>();
  return {
    get(text) {
      const known = statements.get(text);
      if (known !== undefined) return known;
      if (statements.size >= maxStatements) statements.delete(statements.keys().next().value as string);
      const statement = prepare(text);
      statements.set(text, statement);
      return statement;
    },
  };
}

/** Prepares statements that can only read: SQLite asks at preparation what a statement will do, and here is the answer. */
export function createReadPreparer(database: DatabaseSync): (text: string) => StatementSync {
  const reads = new Set([
    constants.SQLITE_SELECT,
    constants.SQLITE_READ,
    constants.SQLITE_FUNCTION,
    constants.SQLITE_RECURSIVE,
  ]);
  let readOnly = false;
  database.setAuthorizer((action) => (readOnly && !reads.has(action) ? constants.SQLITE_DENY : constants.SQLITE_OK));
  return (text) => {
    readOnly = true;
    try {
      return database.prepare(text);
    } finally {
      readOnly = false;
    }
  };
}
