import type { Client } from 'pg';
import { AppError } from '#core/errors.ts';
import { applyMigrations } from '#storage/migrate.ts';
import { backupPostgres } from '#storage/postgres/backup.ts';
import {
  checkServer,
  connect,
  readTableTypes,
  schemaConnection,
  type TableTypes,
} from '#storage/postgres/connection.ts';
import { toStoreError } from '#storage/postgres/errors.ts';
import { createListener } from '#storage/postgres/listener.ts';
import { createReader } from '#storage/postgres/reader.ts';
import { createStatementNames } from '#storage/postgres/sql.ts';
import { createWriter } from '#storage/postgres/writer.ts';
import { loadLinker } from '#storage/linker.ts';
import type { LinkerModule, Migration, Store, StoreLog } from '#storage/store.ts';
import { createUnitQueue } from '#storage/unit-queue.ts';
import { createWatchers } from '#storage/watchers.ts';

export interface PostgresOptions {
  readonly url: string;
  readonly linker: LinkerModule;
  readonly migrations: readonly Migration[];
  /** Names this process among those on the same database. */
  readonly nodeId: string;
  readonly log: StoreLog;
}

const maxUnits = 500;

/** The number of the advisory lock around migrations; "chancery" in hexadecimal would be longer than 64 bits. */
export const migrationLock = 0x63_68_61_6e;

/** Opens the store in a database, whose schema is made or brought up to date. */
export async function openPostgresStore({ url, linker, migrations, nodeId, log }: PostgresOptions): Promise<Store> {
  const types = await prepareSchema(url, migrations, log);
  const watchers = createWatchers(log);
  const listener = await createListener(url, nodeId, watchers, log).catch((error: unknown) => {
    throw toStoreError(error);
  });
  const writing = createWritingConnection(url, log);
  const write = createWriter({
    connection: writing.use,
    discard: writing.discard,
    names: createStatementNames(),
    notice: listener.notice,
    types,
    linker: await loadLinker(linker),
    watchers,
    log,
  });
  const queue = createUnitQueue(write, maxUnits);
  const { close: closeReader, ...reader } = createReader(url, log);
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await queue.close();
    await Promise.all([listener.close(), writing.close(), closeReader()]);
  };
  return {
    kind: 'postgres',
    ...reader,
    commit: queue.commit,
    watch: watchers.watch,
    backup: (path, progress) => backupPostgres({ url, migrations, log }, path, progress),
    ping: async () => void (await reader.first('SELECT seq FROM audit_head WHERE id = 1', [])),
    close: () => (closing ??= close()),
  };
}

async function prepareSchema(url: string, migrations: readonly Migration[], log: StoreLog): Promise<TableTypes> {
  let client: Client | undefined;
  try {
    client = await connect(url, 'long', log);
    await checkServer(client, log);
    await client.query('BEGIN');
    await client.query(`SELECT pg_advisory_xact_lock(${migrationLock})`);
    await applyMigrations(schemaConnection(client), migrations);
    await client.query('INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, $1) ON CONFLICT DO NOTHING', [
      Buffer.alloc(32),
    ]);
    await client.query('COMMIT');
    return await readTableTypes(client);
  } catch (error) {
    throw cannotOpen(error);
  } finally {
    await client?.end().catch(() => undefined);
  }
}

function cannotOpen(error: unknown): unknown {
  const mapped = toStoreError(error);
  if (!(mapped instanceof AppError) || mapped.code !== 'unavailable') return mapped;
  const reason =
    error instanceof Error && error.message !== '' ? error.message : String((error as { code?: string }).code);
  return new AppError('unavailable', `The database of the store cannot be opened: ${reason}.`, {
    hint: 'Check CHANCERY_STORAGE, that the server runs, and that the user may create tables in the database.',
    cause: error,
  });
}

/** One connection for writing, made when it is needed and kept. Only the writer uses it, one batch at a time. */
function createWritingConnection(
  url: string,
  log: StoreLog,
): { use: () => Promise<Client>; discard: (client: Client) => void; close: () => Promise<void> } {
  let open: Promise<Client> | undefined;
  let current: Client | undefined;
  const use = (): Promise<Client> => {
    open ??= connect(url, 'write', log, { pipeline: true }).then(
      (client) => {
        const forget = (): void => {
          if (current === client) open = current = undefined;
        };
        client.once('error', forget);
        client.once('end', forget);
        return (current = client);
      },
      (error: unknown) => {
        open = undefined;
        throw error;
      },
    );
    return open;
  };
  return {
    use,
    discard(client) {
      if (current === client) open = current = undefined;
      void client.end().catch(() => undefined);
    },
    close: async () => {
      await current?.end().catch(() => undefined);
    },
  };
}
