import { AppError } from '#core/errors.ts';
import { coreMigrations } from '#storage/migrations/core.ts';
import type { Migration, Parameter } from '#storage/store.ts';

/** What migrations need of a database: one connection, inside whatever transaction the caller has opened. */
export interface SchemaConnection {
  readonly dialect: 'sqlite' | 'postgres';
  execute(sql: string): Promise<void>;
  query(sql: string, parameters: readonly Parameter[]): Promise<readonly Readonly<Record<string, unknown>>[]>;
}

/** The highest number applied in each area. */
export type SchemaVersion = ReadonlyMap<string, number>;

export const migrationsTable = 'schema_migrations';

/** Core's own migrations and the engines', each area in order. Throws when an area has a gap: that is a mistake of ours. */
export function allMigrations(engines: readonly Migration[]): readonly Migration[] {
  const migrations = [...new Set([...coreMigrations, ...engines])];
  for (const [area, steps] of byArea(migrations)) {
    const wrong = steps.findIndex((step, index) => step.number !== index + 1);
    if (wrong !== -1) throw new TypeError(`the migrations of ${area} are not numbered 1, 2, 3 … without gaps`);
  }
  return migrations;
}

/** What the database holds already; throws the database's error when it never held a schema of ours. */
export async function readVersion(connection: SchemaConnection): Promise<SchemaVersion> {
  const rows = await connection.query(`SELECT area, MAX(number) AS number FROM ${migrationsTable} GROUP BY area`, []);
  return new Map(rows.map((row) => [String(row['area']), Number(row['number'])]));
}

/** Throws `wrong_state` when the database was written by a version of Chancery that knows more than this one. */
export function refuseNewer(applied: SchemaVersion, migrations: readonly Migration[]): void {
  const known = byArea(migrations);
  for (const [area, number] of applied) {
    const newest = known.get(area)?.length ?? 0;
    if (number <= newest) continue;
    const knows = newest === 0 ? `knows no area ${area}` : `knows ${area} up to ${newest}`;
    throw new AppError('wrong_state', `The store has the schema ${area} ${number}, but this version ${knows}.`, {
      hint: 'Start the version of Chancery that wrote it, or a later one; there is no way back to an older schema.',
    });
  }
}

/** Applies what is missing; `upTo` stops at that version. The caller's transaction makes it all or nothing. */
export async function applyMigrations(
  connection: SchemaConnection,
  migrations: readonly Migration[],
  upTo?: SchemaVersion,
): Promise<void> {
  await connection.execute(
    toDialect(
      connection.dialect,
      `CREATE TABLE IF NOT EXISTS ${migrationsTable} (
        area TEXT NOT NULL, number BIGINT NOT NULL, title TEXT NOT NULL, applied_at BIGINT NOT NULL,
        PRIMARY KEY (area, number))`,
    ),
  );
  const applied = await readVersion(connection);
  refuseNewer(applied, migrations);
  for (const migration of migrations) {
    const { area, number, title, statements } = migration;
    if (number <= (applied.get(area) ?? 0)) continue;
    if (upTo !== undefined && number > (upTo.get(area) ?? 0)) continue;
    for (const statement of statements) await connection.execute(toDialect(connection.dialect, statement));
    await connection.query(`INSERT INTO ${migrationsTable} (area, number, title, applied_at) VALUES (?, ?, ?, ?)`, [
      area,
      number,
      title,
      Date.now(),
    ]);
  }
}

/**
 * Puts the words of types into the dialect, so that both databases hold and compare the same: whole numbers of 64 bits,
 * text that sorts by its bytes (not by the locale of the PostgreSQL cluster), and tables that refuse a wrong type
 * (SQLite's STRICT).
 */
function toDialect(dialect: SchemaConnection['dialect'], sql: string): string {
  if (dialect === 'postgres') {
    return sql
      .replace(/\bBLOB\b/g, 'bytea')
      .replace(/\bINTEGER\b/g, 'bigint')
      .replace(/\bTEXT\b/g, 'text COLLATE "C"');
  }
  const typed = sql.replace(/\bBIGINT\b/g, 'INTEGER');
  return /^\s*CREATE TABLE\b/.test(typed) ? `${typed} STRICT` : typed;
}

function byArea(migrations: readonly Migration[]): Map<string, Migration[]> {
  const areas = new Map<string, Migration[]>();
  for (const migration of migrations) {
    const steps = areas.get(migration.area);
    if (steps) steps.push(migration);
    else areas.set(migration.area, [migration]);
  }
  return areas;
}
