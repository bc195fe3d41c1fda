import { z } from 'zod';
import { type Change, update } from '#core/change.ts';
import { toRfc3339 } from '#core/clock.ts';
import type { Grant } from '#core/grant.ts';
import { defineOperation } from '#core/operation.ts';
import { connectionName } from '#database/connection-schema.ts';
import type { DatabaseDeps } from '#database/deps.ts';
import { type Connection, connectionResource, readConnectionRow } from '#database/directory.ts';
import type { RevocationFacts } from '#database/mint.ts';
import { compare } from '#database/reconciliation.ts';
import type { ListedUser } from '#database/target.ts';
import { explained } from '#database/target-failure.ts';
import { usernamePrefix } from '#database/username.ts';
import type { LeaseTerms } from '#lease/contract.ts';

/** At most so many are shown and taken over at a time; call again for the rest. */
const mostShown = 1000;

export const reconcileConnection = defineOperation({
  id: 'database.reconcile_connection',
  title: 'Reconcile a connection',
  summary:
    'Compares the leased users at the server with the leases, both ways. Users that no lease stands for are reported, or become leases that are ended; leases whose users are gone are marked.',
  input: z.strictObject({
    name: connectionName,
    orphans: z
      .enum(['report', 'revoke'])
      .default('report')
      .describe('revoke: users that no lease stands for are removed by the sweeper, like expired ones'),
  }),
  output: z.strictObject({
    name: z.string(),
    user_prefix: z.string(),
    users: z.number().int().describe('Users of this prefix at the server'),
    orphans: z
      .array(
        z.strictObject({
          username: z.string(),
          host: z.string().nullable(),
          expires_at: z.string().nullable(),
          sessions: z.number().int(),
        }),
      )
      .describe('Users that no lease stands for; at most 1,000'),
    missing: z
      .array(z.strictObject({ lease_id: z.string(), username: z.string() }))
      .describe('Active leases whose users are not at the server; at most 1,000'),
    revoking: z.number().int().describe('Orphans that are being removed now'),
  }),
  http: { method: 'POST', path: '/database/connections/{name}/reconcile' },
  effect: 'destructive',
  idempotent: true,
  openWorld: true,
  resource: ({ name }) => connectionResource(name),
  async run(grant, input, deps: DatabaseDeps) {
    const connection = await readConnectionRow(deps.store, grant.namespace, input.name);
    const found = await explained(input.name, () =>
      deps.pools.use(connection, (target) => compare(deps, grant, connection, target)),
    );
    const orphans = found.orphans.slice(0, mostShown);
    const missing = found.missing.slice(0, mostShown);
    const adopted = input.orphans === 'revoke' && orphans.length > 0;
    const terms = orphans.map((user) => orphanTerms(connection, user));
    const changes = [
      ...missing.map(({ id }) => markMissing(id, grant)),
      ...(adopted ? await deps.leases.adopt(grant, terms) : []),
    ];
    return {
      output: {
        name: input.name,
        user_prefix: usernamePrefix(connection.row.tag),
        users: found.users,
        orphans: orphans.map(viewUser),
        missing: missing.map(({ id, subject }) => ({ lease_id: id, username: subject })),
        revoking: adopted ? orphans.length : 0,
      },
      changes,
      audit: {
        users: found.users,
        orphans: found.orphans.length,
        missing: found.missing.length,
        revoking: adopted ? orphans.length : 0,
      },
    };
  },
});

function viewUser({ username, host, expiresAt, sessions }: ListedUser) {
  return {
    username,
    host: host ?? null,
    // PostgreSQL has users without an end, and such whose end is before 1970.
    expires_at: expiresAt === undefined || !Number.isFinite(expiresAt) ? null : toRfc3339(expiresAt),
    sessions,
  };
}

function markMissing(id: string, grant: Grant): Change {
  const message = `Its user was not at the server at ${toRfc3339(grant.now)}.`;
  return update('leases', { last_error: message }, { id, namespace: grant.namespace, state: 'active' });
}

function orphanTerms({ row, definition }: Connection, user: ListedUser): LeaseTerms {
  const revocation: RevocationFacts = {
    connection: row.id,
    statements: [],
    ...(user.host === undefined ? {} : { host: user.host }),
  };
  return {
    engine: 'database',
    role: `database/orphans/${row.name}`,
    target: connectionResource(row.name),
    subject: user.username,
    facts: { engine: definition.engine, host: definition.host, port: definition.port, database: null },
    revocation,
    ttl: 1,
    maxTtl: 1,
    caps: {},
  };
}
