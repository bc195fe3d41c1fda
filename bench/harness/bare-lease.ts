import { createPool } from 'mysql2/promise';
import { Pool } from 'pg';
import { scramVerifier } from '#database/password.ts';
import type { TargetSettings } from '#database/target.ts';
import type { EngineName } from './lease-world.ts';

/** A bare driver that runs recorded SQL for other users: no lease, no audit, no HTTP. */
export interface BareDriver {
  mint(name: string): Promise<void>;
  revoke(name: string): Promise<void>;
  close(): Promise<void>;
}

export interface RecordedSql {
  /** The user for whom it was recorded. */
  readonly name: string;
  readonly mint: readonly string[];
  readonly revoke: readonly string[];
}

/** As many as our server uses for its own: 8 is the default, of which PostgreSQL uses a quarter for visits only. */
export const driverConnections = { postgresql: 6, mysql: 8 } as const;

/** With as many connections as the server of ours uses for its own. */
export function bareDriver(
  engine: EngineName,
  settings: TargetSettings,
  connections: number,
  sql: RecordedSql,
): BareDriver {
  return engine === 'postgresql' ? barePostgres(settings, connections, sql) : bareMysql(settings, connections, sql);
}

const verifier = /SCRAM-SHA-256\$[^']+/;

function barePostgres(
  { host, port, username, password, database }: TargetSettings,
  max: number,
  sql: RecordedSql,
): BareDriver {
  const pool = new Pool({ host, port, user: username, password, database, max });
  // The number of the role, which the first answer brings and the later texts name.
  const oid = sql.revoke
    .map((text) => /\b(?:usesysid|refobjid|oid) = (\d+)/.exec(text)?.[1])
    .find((found) => found !== undefined);
  return {
    async mint(name) {
      const secret = await scramVerifier('0123456789abcdef0123456789abcdef');
      for (const text of sql.mint) await pool.query(text.replaceAll(sql.name, name).replace(verifier, () => secret));
    },
    async revoke(name) {
      const client = await pool.connect();
      try {
        let number = '';
        for (const text of sql.revoke) {
          const mine = text.replaceAll(sql.name, name);
          const results = [await client.query(oid === undefined ? mine : mine.replaceAll(oid, number))].flat();
          number ||= String(results.flatMap(({ rows }) => rows).find((row) => 'oid' in row)?.oid ?? '');
        }
      } finally {
        client.release();
      }
    },
    close: () => pool.end(),
  };
}

function bareMysql(
  { host, port, username, password }: TargetSettings,
  connectionLimit: number,
  sql: RecordedSql,
): BareDriver {
  const pool = createPool({ host, port, user: username, password, connectionLimit });
  const run = async (texts: readonly string[], name: string): Promise<void> => {
    const client = await pool.getConnection();
    try {
      // What is refused here (the role that a user with one group does not have) was refused there.
      for (const text of texts) await client.query(text.replaceAll(sql.name, name)).catch(() => undefined);
    } finally {
      client.release();
    }
  };
  return { mint: (name) => run(sql.mint, name), revoke: (name) => run(sql.revoke, name), close: () => pool.end() };
}
