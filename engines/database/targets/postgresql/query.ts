import { type Client, type Connection, DatabaseError, type FieldDef, type Submittable, types } from 'pg';
import {
  collectRows,
  floatingNumber,
  onlyReads,
  plainText,
  type QueryResult,
  type QueryValue,
  type ReadQuery,
  type RowCollector,
  timeUp,
  watchSession,
  wholeNumber,
} from '#database/query.ts';
import { type ClientCertificate, TargetError, type UserName } from '#database/target.ts';
import { adminDatabase, type Connections } from './connection.ts';
import { serverText, toTargetError } from './errors.ts';
import { identifier } from './quote.ts';

/**
 * One statement of somebody else, as a leased user. What keeps it from writing is the server: it runs inside of a
 * transaction block that is READ ONLY, so that neither DO nor a procedure may commit and go on as it likes (both may
 * outside of a block), by the extended protocol, which takes one statement (§55.2.3), and the block is rolled back.
 * LISTEN, which never takes effect, keeps it from being made a prepared transaction, which would stay.
 */
export async function runQuery(
  connections: Connections,
  user: UserName,
  proof: string | ClientCertificate,
  query: ReadQuery,
): Promise<QueryResult> {
  identifier(user.username);
  const { settings } = connections;
  const database = query.database ?? adminDatabase(settings);
  const client = await connections.connectAs(user.username, proof, database, sessionFor(query));
  const rows = collectRows(query);
  // The types know only the fields that applications should use.
  const { connection } = client as Client & { readonly connection: Connection & { readonly stream: Socket } };
  const watch = watchSession(connection.stream, query, rows);
  const statement = submission(query, rows, watch.end);
  try {
    await watch.run(client.query('BEGIN READ ONLY; LISTEN chancery_query'));
    client.query(statement.submittable);
    await watch.run(statement.done);
    await watch.run(client.query('ROLLBACK'));
    const columns = await watch.run(describe(client, statement.fields()));
    await client.end();
    return { columns, rows: rows.rows, truncatedBy: rows.truncatedBy };
  } catch (error) {
    watch.end();
    if (rows.truncatedBy === null) throw toQueryError(error, query);
    return { columns: statement.fields().map(builtIn), rows: rows.rows, truncatedBy: rows.truncatedBy };
  } finally {
    watch.stop();
  }
}

interface Socket {
  readonly bytesRead: number;
  destroy(): unknown;
}

/** What the user itself may have been given to work with stays (search path, role); what shapes the answer is set. */
function sessionFor({ timeout }: ReadQuery) {
  const options = [
    `statement_timeout=${timeout}`,
    `idle_in_transaction_session_timeout=${timeout}`,
    'default_transaction_read_only=on',
    'client_min_messages=error',
    'datestyle=ISO',
    'timezone=UTC',
    'bytea_output=hex',
  ];
  return { statementTimeout: timeout, options: options.map((setting) => `-c ${setting}`).join(' ') };
}

interface Submission {
  readonly submittable: Submittable;
  readonly done: Promise<void>;
  fields(): readonly FieldDef[];
}

type Told = (string | null)[];

/**
 * Parse, Bind, Describe, Execute with a limit of rows, Sync, in one go: a portal that is suspended at its limit is never
 * asked for more. The driver's own query would ask on.
 */
function submission(query: ReadQuery, rows: RowCollector, endSession: () => void): Submission {
  const done = Promise.withResolvers<void>();
  done.promise.catch(() => undefined);
  let fields: readonly FieldDef[] = [];
  const settle = (error?: Error): void => {
    submittable.callback?.();
    if (error === undefined) done.resolve();
    else done.reject(error);
  };
  const submittable = {
    /** The driver sets it, and keeps a timer until it is called. */
    callback: undefined as (() => void) | undefined,
    submit(connection: Wire) {
      connection.stream.cork();
      connection.parse({ text: query.sql, name: '', types: [] });
      connection.bind({ values: query.parameters.map(parameterText) });
      connection.describe({ type: 'P', name: '' });
      connection.execute({ rows: query.maxRows + 1 });
      connection.sync();
      connection.stream.uncork();
    },
    handleRowDescription(message: { readonly fields: readonly FieldDef[] }) {
      ({ fields } = message);
    },
    handleDataRow(message: { readonly fields: Told }) {
      const row = message.fields.map((text, index) => readValue(text, fields[index]?.dataTypeID));
      // What was too many bytes is not waited for; a row too many is the last that comes.
      if (!rows.add(row) && rows.truncatedBy === 'bytes') endSession();
    },
    handlePortalSuspended: () => rows.cut('rows'),
    handleCommandComplete: () => undefined,
    handleEmptyQuery: () => undefined,
    handleCopyInResponse: (connection: Wire) => connection.sendCopyFail('COPY is not taken here'),
    handleCopyData: () => settle(new TargetError('statement', 'COPY is not taken here.', { hint: 'Use SELECT.' })),
    handleError: settle,
    handleReadyForQuery: () => settle(),
  };
  return { submittable: submittable as unknown as Submittable, done: done.promise, fields: () => fields };
}

/** The driver's connection, as far as it is used here (pg/lib/connection.js). */
interface Wire {
  readonly stream: { cork(): void; uncork(): void };
  parse(message: { text: string; name: string; types: readonly number[] }): void;
  bind(message: { values: readonly (string | null)[] }): void;
  describe(message: { type: 'P'; name: string }): void;
  execute(message: { rows: number }): void;
  sync(): void;
  sendCopyFail(reason: string): void;
}

function parameterText(value: QueryValue): string | null {
  return value === null ? null : String(value);
}

const { BOOL, INT2, INT4, INT8, OID, FLOAT4, FLOAT8 } = types.builtins;
const truth: number = BOOL;
const whole: ReadonlySet<number> = new Set([INT2, INT4, INT8, OID]);
const floating: ReadonlySet<number> = new Set([FLOAT4, FLOAT8]);

/** Numbers that fit, and truth values, as JSON has them; everything else as the server writes it. */
function readValue(text: string | null, type: number | undefined): QueryValue {
  if (text === null || type === undefined) return text;
  if (type === truth) return text === 't';
  if (whole.has(type)) return wholeNumber(text);
  return floating.has(type) ? floatingNumber(text) : text;
}

const names: ReadonlyMap<number, string> = new Map(
  Object.entries(types.builtins).map(([name, oid]) => [oid as number, name.toLowerCase()]),
);

function builtIn({ name, dataTypeID }: FieldDef) {
  return { name, type: names.get(dataTypeID) ?? `oid ${dataTypeID}` };
}

/** With the names of types that only this database knows. What the statement set is undone by now. */
async function describe(client: Client, fields: readonly FieldDef[]) {
  const unknown = [...new Set(fields.map(({ dataTypeID }) => dataTypeID))].filter((oid) => !names.has(oid));
  if (unknown.length === 0) return fields.map(builtIn);
  const { rows } = await client.query<{ oid: number; name: string }>(
    'SELECT oid, pg_catalog.format_type(oid, NULL) AS name FROM pg_catalog.pg_type WHERE oid = ANY ($1::pg_catalog.oid[])',
    [unknown],
  );
  const own = new Map(rows.map(({ oid, name }) => [oid, name]));
  return fields.map((field) => ({ name: field.name, type: own.get(field.dataTypeID) ?? builtIn(field).type }));
}

const hints: readonly (readonly [RegExp, string])[] = [
  [/^(?:25|2D)/, onlyReads],
  [/^42501$/, 'The role has no right to this; ask for one that has, or read something else.'],
  [/^42P01$/, 'information_schema.tables lists what there is.'],
  [/^42703$/, 'information_schema.columns lists what there is.'],
  [/^57P/, 'The session was ended at the server, perhaps since its lease was revoked.'],
];

/** Refusals in the server's words; of the login as well, which here is not the administrator's. */
function toQueryError(error: unknown, query: ReadQuery): TargetError {
  if (!(error instanceof DatabaseError)) return toTargetError(error, 'statement');
  const code = error.code ?? '';
  if (code === '57014') return timeUp(query, error);
  const hint = hints.find(([pattern]) => pattern.test(code))?.[1] ?? onlyReads;
  return new TargetError('statement', `PostgreSQL says: ${plainText(serverText(error))} (${code}).`, { hint });
}
