import { randomBytes } from 'node:crypto';
import type { Connection, FieldPacket, TypeCastField } from 'mysql2';
import {
  collectRows,
  hexText,
  onlyReads,
  plainText,
  type QueryResult,
  type QueryValue,
  type ReadQuery,
  type RowCollector,
  timeUp,
  watchSession,
} from '#database/query.ts';
import { type ClientCertificate, TargetError, type UserName } from '#database/target.ts';
import { asTargetError } from './errors.ts';
import { connect, leave, type MysqlSettings } from './session.ts';

/**
 * One statement of somebody else, as a leased user. A transaction that is READ ONLY is not enough: a procedure, and on
 * MariaDB any block (`BEGIN NOT ATOMIC … END` is one statement), may COMMIT, make the session READ WRITE, and write. So the
 * transaction is an XA one: until XA END names it, the server refuses everything that would end it or begin another, and
 * its name is random. It is prepared by nobody, and rolled back afterwards, which must succeed. The statement goes by the
 * binary protocol, which takes one. A user who may read the name where the server tells it could end the transaction, so
 * no statement of such a one is run. Where one found another way, which is looked for after it, its answer is not told.
 */
export async function runQuery(
  settings: MysqlSettings,
  user: UserName,
  proof: string | ClientCertificate,
  query: ReadQuery,
): Promise<QueryResult> {
  const login = typeof proof === 'string' ? { password: proof } : { password: '', clientCertificate: proof };
  const connection = await connect({ ...settings, username: user.username, ...login, database: query.database }, {});
  // What the server says after the last answer is for nobody.
  connection.on('error', () => undefined);
  const rows = collectRows(query);
  const { stream } = connection as unknown as { readonly stream: { readonly bytesRead: number; destroy(): unknown } };
  const watch = watchSession(stream, query, rows);
  let columns: readonly FieldPacket[] = [];
  try {
    const name = await watch.run(setUp(connection, query));
    const read = execute(connection, query, rows, (fields) => (columns = fields), watch.end);
    await watch.run(read);
    await watch.run(rollBack(connection, name));
    await leave(connection);
  } catch (error) {
    connection.destroy();
    if (rows.truncatedBy === null || error instanceof LeftError) throw toQueryError(error, query);
  } finally {
    watch.stop();
  }
  return { columns: columns.map(describe), rows: rows.rows, truncatedBy: rows.truncatedBy };
}

/** Resolves with the name of the transaction. `sql_select_limit` keeps the server from sending what would be thrown away; a LIMIT of the statement goes before it. */
async function setUp(connection: Connection, { timeout, maxRows }: ReadQuery): Promise<string> {
  const session = connection.promise();
  const [[row]] = (await session.query('SELECT VERSION() AS version')) as unknown as [{ version: string }[]];
  const mariadb = /mariadb/i.test(row?.version ?? '');
  const limit = mariadb ? `max_statement_time = ${timeout / 1000}` : `max_execution_time = ${timeout}`;
  const wait = Math.max(1, Math.ceil(timeout / 1000));
  await session.query(
    `SET SESSION time_zone = '+00:00', lock_wait_timeout = ${wait}, sql_select_limit = ${maxRows + 1}, ${limit}`,
  );
  await session.query('SET SESSION TRANSACTION READ ONLY');
  const name = `X'${randomBytes(16).toString('hex')}'`;
  try {
    await session.query(`XA START ${name}`);
  } catch (cause) {
    throw new TargetError('statement', 'This server cannot keep a statement from writing: it has no XA transactions.', {
      hint: 'Lease a user of a role that may only read, and run the statement as that user.',
      cause,
    });
  }
  if (await showsItsName(connection)) throw nameShown();
  return name;
}

/**
 * Ends the transaction, which only works when it is still the one that was begun. That nothing has ended it meanwhile and
 * begun one of its name, the counters of the session say: they count every try. Throws TargetError when it was left.
 */
async function rollBack(connection: Connection, name: string): Promise<void> {
  const session = connection.promise();
  await session.query('SET SESSION sql_select_limit = DEFAULT');
  const [rows] = (await session.query("SHOW SESSION STATUS LIKE 'Com\\_xa\\_%'").catch(refusedByServer)) as unknown as [
    { Variable_name: string; Value: string }[],
  ];
  const counted = new Map(rows.map((row) => [row.Variable_name.toLowerCase(), Number(row.Value)]));
  const others = ['com_xa_end', 'com_xa_rollback', 'com_xa_prepare', 'com_xa_commit'];
  const untouched = counted.get('com_xa_start') === 1 && others.every((counter) => counted.get(counter) === 0);
  try {
    await session.query(`XA END ${name}`);
    await session.query(`XA ROLLBACK ${name}`);
  } catch (cause) {
    // Nothing of a transaction that a deadlock or a timeout rolled back is left to be rolled back.
    if (!untouched || !rolledBack.has((cause as { errno?: number }).errno ?? 0)) throw new LeftError(cause);
  }
  if (!untouched) throw new LeftError();
}

/** XA_RBROLLBACK, XA_RBTIMEOUT, XA_RBDEADLOCK. */
const rolledBack: ReadonlySet<number> = new Set([1402, 1613, 1614]);

class LeftError extends TargetError {
  constructor(cause?: unknown) {
    super('statement', 'The statement reached for the transaction that keeps it from writing.', {
      hint: 'Its answer is not told, and what it did may stay: look at what the role may write, and take it from the role.',
      cause,
    });
  }
}

/** Where the server tells statements and transactions of a session, for those who may read it. */
const tellers = [
  ...['current', 'history', 'history_long'].flatMap((when) => [
    `SELECT 1 FROM performance_schema.events_transactions_${when} WHERE XID_GTRID IS NOT NULL LIMIT 1`,
    `SELECT 1 FROM performance_schema.events_statements_${when} WHERE SQL_TEXT LIKE 'XA START%' LIMIT 1`,
  ]),
  "SELECT 1 FROM mysql.general_log WHERE thread_id = CONNECTION_ID() AND argument LIKE 'XA START%' LIMIT 1",
];

/** Whether this user could read the name of its transaction; what it may not read, or what is not there, is an error. */
async function showsItsName(connection: Connection): Promise<boolean> {
  for (const sql of tellers) {
    const [rows] = await connection.promise().query(sql).catch(refusedByServer);
    if ((rows as unknown[]).length > 0) return true;
  }
  return false;
}

function refusedByServer(error: unknown): [unknown[]] {
  if ((error as { errno?: number; sqlState?: string }).sqlState === undefined) throw error;
  return [[]];
}

function nameShown(): TargetError {
  return new TargetError('statement', 'The role may read what would let a statement write, so none is run.', {
    hint: 'Take SELECT on performance_schema and on mysql.general_log from the role, or lease a user that may only read.',
  });
}

/** Resolves with the last row of the first result; a procedure may have several. */
function execute(
  connection: Connection,
  query: ReadQuery,
  rows: RowCollector,
  onFields: (fields: readonly FieldPacket[]) => void,
  endSession: () => void,
): Promise<void> {
  const done = Promise.withResolvers<void>();
  let results = 0;
  const command = connection.execute({
    sql: query.sql,
    values: [...query.parameters],
    rowsAsArray: true,
    dateStrings: true,
    typeCast: readValue,
  });
  command.on('fields', (fields: readonly FieldPacket[] | undefined) => {
    results += 1;
    if (results === 1 && fields !== undefined) onFields(fields);
  });
  command.on('result', (row: unknown) => {
    if (results !== 1 || !Array.isArray(row)) return;
    // What is one too many is the last, but for a LIMIT of the statement; of what goes beyond the bytes no more is wanted.
    if (rows.add(row as QueryValue[]) || rows.truncatedBy === 'rows') return;
    endSession();
    done.resolve();
  });
  command.on('error', (error: Error) => done.reject(error));
  command.on('end', () => done.resolve());
  return done.promise;
}

/** Numbers that fit as JSON has them; everything else as text, octets in hex. */
function readValue(field: TypeCastField, next: () => unknown): QueryValue {
  if (field.type === 'GEOMETRY') return octets(field.buffer());
  const isJson = field.type === 'JSON' || (field as { readonly extendedFormat?: string }).extendedFormat === 'json';
  const value: unknown = isJson ? field.string('utf8') : next();
  if (value === null || value === undefined) return null;
  if (typeof value === 'number') return Number.isFinite(value) ? shortest(field, value) : String(value);
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  return value instanceof Uint8Array ? octets(value) : JSON.stringify(value);
}

/** A number of 32 bits, as short as it can be told; its 64 bits would show digits that nobody stored. */
function shortest({ type }: TypeCastField, value: number): number {
  return type === 'FLOAT' ? Number(value.toPrecision(7)) : value;
}

function octets(value: Uint8Array | null): string | null {
  return value === null ? null : hexText(value);
}

const binaryCharset = 63;

/**
 * Types by the numbers of the protocol, as the documentation of MySQL calls them; the second where the character set says
 * that the text is octets.
 */
const typeNames: Readonly<Record<number, readonly [text: string, binary?: string]>> = {
  0: ['decimal'],
  1: ['tinyint'],
  2: ['smallint'],
  3: ['int'],
  4: ['float'],
  5: ['double'],
  6: ['null'],
  7: ['timestamp'],
  8: ['bigint'],
  9: ['mediumint'],
  10: ['date'],
  11: ['time'],
  12: ['datetime'],
  13: ['year'],
  15: ['varchar', 'varbinary'],
  16: ['bit'],
  242: ['vector'],
  245: ['json'],
  246: ['decimal'],
  247: ['enum'],
  248: ['set'],
  249: ['text', 'blob'],
  250: ['text', 'blob'],
  251: ['text', 'blob'],
  252: ['text', 'blob'],
  253: ['varchar', 'varbinary'],
  254: ['char', 'binary'],
  255: ['geometry'],
};

function describe({ name, columnType, type, characterSet }: FieldPacket): { name: string; type: string } {
  const number = columnType ?? type ?? -1;
  const [text, binary] = typeNames[number] ?? [`type ${number}`];
  return { name, type: characterSet === binaryCharset ? (binary ?? text) : text };
}

const timeouts: ReadonlySet<number> = new Set([1205, 1317, 1969, 3024]);
const noRight: ReadonlySet<number> = new Set([1044, 1142, 1143, 1227, 1370]);

/** Refusals in the server's words. */
function toQueryError(error: unknown, query: ReadQuery): TargetError {
  if (error instanceof TargetError) return error;
  const { errno, sqlState, message } = error as { errno?: number; sqlState?: string; message: string };
  if (errno === undefined || sqlState === undefined) return asTargetError(error, 'the statement');
  if (timeouts.has(errno)) return timeUp(query, error);
  const hint = noRight.has(errno)
    ? 'The role has no right to this; ask for one that has, or read something else.'
    : errno === 1146
      ? 'information_schema.tables lists what there is.'
      : onlyReads;
  return new TargetError('statement', `The server says: ${plainText(message).slice(0, 500)} (${errno}).`, { hint });
}
