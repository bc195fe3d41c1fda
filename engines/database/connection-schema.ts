import { isIP } from 'node:net';
import { z } from 'zod';
import { duration } from '#core/duration.ts';
import { AppError } from '#core/errors.ts';
import { name } from '#core/ids.ts';
import { parseConnectionUrl } from './connection-url.ts';
import { identifier, maybe, overlongNames, removable, withDefault, within } from './fields.ts';
import type { EngineName, TargetTls } from './target.ts';

/** What a connection is made of, as a request gives it and as it is stored. */

/** RFC 1123 names, underscores too (Docker makes such), and addresses. */
const hostname = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/;
const host = z
  .string()
  .min(1)
  .max(253)
  .transform((text) => text.toLowerCase())
  .refine((text) => isIP(text) !== 0 || hostname.test(text), 'not a host name or an address')
  .describe('Host name or address of the server');

const certificates = z
  .string()
  .min(64)
  .max(65_536)
  .regex(/-----BEGIN CERTIFICATE-----/, 'PEM certificates')
  .describe('Certificates that the chain of the server must lead to, PEM; default: those of the system');

export const engineName = z.enum(['postgresql', 'mysql']).describe('Kind of server; MariaDB is mysql');

const tlsMode = z
  .enum(['verify-full', 'verify-ca', 'require', 'disable'])
  .describe(
    'verify-full (default): encrypted, certificate and host name verified. verify-ca: the name is not. require: encrypted only. disable: plain text, the default on the loopback interface only',
  );

/** The administrator's; it goes in and never comes out. */
const password = z
  .string()
  .min(1)
  .max(512)
  .describe('Password of the administrator; kept sealed and shown by nothing. rotate-root replaces it');

const fields = {
  description: z.string().max(500).describe('What it is for'),
  host,
  port: z.number().int().min(1).max(65_535).describe('Port; default 5432 or 3306'),
  database: identifier.describe('Database that the administrator connects to, and that connection URLs name'),
  username: identifier.describe('The administrator: who makes and removes users'),
  tls: tlsMode,
  tls_ca: certificates,
  tls_server_name: z
    .string()
    .regex(hostname, 'not a host name')
    .describe('Name in the certificate of the server, where it is not the host'),
  max_connections: z
    .number()
    .int()
    .min(1)
    .max(64)
    .describe('Most connections at a time that Chancery holds, per node; default 8'),
  connect_timeout: duration.refine(...within(1, 10)).describe('Longest wait for a connection, 1s to 10s; default 5s'),
  statement_timeout: duration
    .refine(...within(1, 15))
    .describe('Longest time that one statement of Chancery may take, 1s to 15s; default 10s'),
  max_leases: z.number().int().min(1).max(1_000_000).describe('Most live leases at a time; default: no bound'),
} as const;

const addressFields = ['host', 'port', 'database', 'username', 'tls'] as const;

const verify = z
  .boolean()
  .default(true)
  .describe('Whether to connect and log in before it is saved, and to refuse it when that fails');

export const connectionName = name.describe('Name of the connection');

const url = z
  .string()
  .min(1)
  .max(2048)
  .describe(
    'Address instead of host, port, database, username and tls: postgres://user@host:5432/database. A password in it is taken out and sealed',
  );

export const createConnectionInput = z.strictObject({
  name: connectionName,
  engine: maybe(engineName),
  description: withDefault(fields.description, ''),
  url: maybe(url),
  host: maybe(fields.host),
  port: maybe(fields.port),
  database: maybe(fields.database),
  username: maybe(fields.username),
  password: maybe(password),
  tls: maybe(fields.tls),
  tls_ca: maybe(fields.tls_ca),
  tls_server_name: maybe(fields.tls_server_name),
  max_connections: withDefault(fields.max_connections, 8),
  connect_timeout: withDefault(fields.connect_timeout, '5s'),
  statement_timeout: withDefault(fields.statement_timeout, '10s'),
  max_leases: maybe(fields.max_leases),
  verify,
});

export const updateConnectionInput = z.strictObject({
  name: connectionName,
  description: maybe(fields.description),
  host: maybe(fields.host),
  port: maybe(fields.port),
  database: removable(fields.database),
  username: maybe(fields.username),
  password: maybe(password),
  tls: maybe(fields.tls),
  tls_ca: removable(fields.tls_ca),
  tls_server_name: removable(fields.tls_server_name),
  max_connections: maybe(fields.max_connections),
  connect_timeout: maybe(fields.connect_timeout),
  statement_timeout: maybe(fields.statement_timeout),
  max_leases: removable(fields.max_leases),
  verify,
});
type Changes = Omit<z.output<typeof updateConnectionInput>, 'name' | 'password' | 'verify'>;

/** What is stored. Parsing what was parsed changes nothing. */
export const connectionSchema = z
  .strictObject({
    engine: engineName,
    ...fields,
    database: maybe(fields.database),
    tls_ca: maybe(fields.tls_ca),
    tls_server_name: maybe(fields.tls_server_name),
    max_leases: maybe(fields.max_leases),
  })
  .superRefine((connection, context) => {
    for (const { field, message } of contradictions(connection))
      context.addIssue({ code: 'custom', path: [field], message });
  });
export type ConnectionDefinition = z.output<typeof connectionSchema>;

export const defaultPorts: Readonly<Record<EngineName, number>> = { postgresql: 5432, mysql: 3306 };

/** The connection that a request describes, and the password, which is kept apart. Throws `invalid_request`. */
export function readConnection(input: z.output<typeof createConnectionInput>): {
  definition: ConnectionDefinition;
  password: string;
} {
  const { name: _name, url: text, password: given, verify: _verify, ...rest } = input;
  const address = text === undefined ? undefined : parseConnectionUrl(text);
  if (address !== undefined) refuseBoth(input, address.engine, address.password);
  const engine = input.engine ?? address?.engine;
  if (engine === undefined) throw missing('engine', 'postgresql or mysql');
  const secret = given ?? address?.password;
  if (secret === undefined) throw missing('password', 'the password of the administrator');
  if (Buffer.byteLength(secret) > 512) throw missing('password', 'one of at most 512 bytes');
  const username = input.username ?? address?.username;
  if (username === undefined) throw missing('username', 'the name of the administrator');
  const where = input.host ?? address?.host;
  if (where === undefined) throw missing('host', 'host, or url');
  return {
    password: secret,
    definition: parseDefinition({
      ...rest,
      engine,
      host: where,
      port: input.port ?? address?.port ?? defaultPorts[engine],
      database: input.database ?? address?.database,
      username,
      tls: input.tls ?? address?.tls ?? (isLoopback(where) ? 'disable' : 'verify-full'),
    }),
  };
}

/** A connection after changes. Throws `invalid_request` when they are at odds with what stays. */
export function changeConnection(definition: ConnectionDefinition, changes: Changes): ConnectionDefinition {
  const laid = Object.entries({ ...definition, ...changes }).filter(([, value]) => value !== undefined);
  return parseDefinition(Object.fromEntries(laid));
}

/** Null stands for what is not there. */
function parseDefinition(given: Readonly<Record<string, unknown>>): ConnectionDefinition {
  const present = Object.entries(given).filter(([, value]) => value !== undefined && value !== null);
  const result = connectionSchema.safeParse(Object.fromEntries(present));
  if (result.success) return result.data;
  const details = result.error.issues.map((issue) => ({ at: `/${issue.path.join('/')}`, message: issue.message }));
  throw new AppError('invalid_request', `${details[0]?.at}: ${details[0]?.message}.`, {
    details,
    hint: 'Change the fields together.',
  });
}

function refuseBoth(
  input: z.output<typeof createConnectionInput>,
  engine: EngineName,
  inUrl: string | undefined,
): void {
  const twice = addressFields.find((field) => input[field] !== undefined && field !== 'username' && field !== 'tls');
  if (twice !== undefined) throw both(twice);
  if (input.password !== undefined && inUrl !== undefined) throw both('password');
  if (input.engine !== undefined && input.engine !== engine) throw both('engine');
}

function both(field: string): AppError {
  const message = 'url says this as well';
  return new AppError('invalid_request', `/${field}: ${message}.`, {
    details: [{ at: `/${field}`, message }],
    hint: 'Give url, or the single fields.',
  });
}

function missing(field: string, what: string): AppError {
  return new AppError('invalid_request', `/${field}: is missing; give ${what}.`, {
    details: [{ at: `/${field}`, message: 'is missing' }],
    hint: 'Give url, or engine, host, username and password.',
  });
}

/** Traffic to these addresses never leaves the machine. */
export function isLoopback(where: string): boolean {
  return where === 'localhost' || where === '::1' || (isIP(where) === 4 && where.startsWith('127.'));
}

function contradictions(connection: {
  readonly engine: EngineName;
  readonly database?: string | undefined;
  readonly username: string;
  readonly tls: TargetTls['mode'];
  readonly tls_ca?: string | undefined;
  readonly tls_server_name?: string | undefined;
}): { field: string; message: string }[] {
  const { engine, database, username, tls, tls_ca, tls_server_name } = connection;
  const found = overlongNames(engine, { database, username });
  if (tls === 'verify-ca' && tls_ca === undefined)
    found.push({ field: 'tls_ca', message: 'verify-ca needs the certificates that the chain must lead to' });
  if (tls_ca !== undefined && !tls.startsWith('verify'))
    found.push({ field: 'tls_ca', message: `with tls ${tls} nothing is verified; leave it out or choose verify-full` });
  if (tls_server_name !== undefined && tls !== 'verify-full')
    found.push({ field: 'tls_server_name', message: `with tls ${tls} no name is verified` });
  return found;
}

export function tlsOf({ tls, tls_ca, tls_server_name }: ConnectionDefinition): TargetTls {
  if (tls === 'verify-full') return { mode: tls, ca: tls_ca, serverName: tls_server_name };
  if (tls === 'verify-ca') return { mode: tls, ca: tls_ca ?? '' };
  return { mode: tls };
}
