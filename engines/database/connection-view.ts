import { z } from 'zod';
import { toRfc3339 } from '#core/clock.ts';
import { formatDuration } from '#core/duration.ts';
import type { Connection } from './directory.ts';
import { usernamePrefix } from './username.ts';

/** A connection as it is shown; there is no field for a password. */
export const connectionOutput = z.strictObject({
  name: z.string(),
  engine: z.string(),
  description: z.string(),
  url: z.string().describe('The address, without a password'),
  host: z.string(),
  port: z.number().int(),
  database: z.string().nullable(),
  username: z.string().describe('The administrator'),
  tls: z.string(),
  tls_ca: z.string().nullable().describe('PEM'),
  tls_server_name: z.string().nullable(),
  max_connections: z.number().int(),
  connect_timeout: z.string(),
  statement_timeout: z.string(),
  max_leases: z.number().int().nullable(),
  user_prefix: z.string().describe('With this begin the names of all users that are leased from it'),
  state: z.enum(['active', 'draining']).describe('draining: it takes no more mints, and goes with its last lease'),
  root_rotated_at: z
    .string()
    .nullable()
    .describe('When Chancery last changed the password of the administrator; null: somebody else knows it'),
  root_rotation: z
    .enum(['none', 'open'])
    .describe('open: a rotation was begun and not seen to end; both passwords are kept, and it is finished by itself'),
  created_at: z.string(),
  updated_at: z.string(),
});

export function viewConnection({ row, definition }: Connection): z.output<typeof connectionOutput> {
  return {
    name: row.name,
    engine: definition.engine,
    description: definition.description,
    url: addressOf(definition),
    host: definition.host,
    port: definition.port,
    database: definition.database ?? null,
    username: definition.username,
    tls: definition.tls,
    tls_ca: definition.tls_ca ?? null,
    tls_server_name: definition.tls_server_name ?? null,
    max_connections: definition.max_connections,
    connect_timeout: formatDuration(definition.connect_timeout),
    statement_timeout: formatDuration(definition.statement_timeout),
    max_leases: definition.max_leases ?? null,
    user_prefix: usernamePrefix(row.tag),
    state: row.state,
    root_rotated_at: row.rotated_at === null ? null : toRfc3339(row.rotated_at),
    root_rotation: row.next_password === null ? 'none' : 'open',
    created_at: toRfc3339(row.created_at),
    updated_at: toRfc3339(row.updated_at),
  };
}

const schemes = { postgresql: 'postgresql', mysql: 'mysql' } as const;

function addressOf({ engine, host, port, database, username }: Connection['definition']): string {
  const where = host.includes(':') ? `[${host}]` : host;
  const path = database === undefined ? '' : encodeURIComponent(database);
  return `${schemes[engine]}://${encodeURIComponent(username)}@${where}:${port}/${path}`;
}
