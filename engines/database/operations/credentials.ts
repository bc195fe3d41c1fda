import { z } from 'zod';
import { toRfc3339 } from '#core/clock.ts';
import { duration, formatDuration } from '#core/duration.ts';
import type { Grant } from '#core/grant.ts';
import { defineOperation } from '#core/operation.ts';
import type { DatabaseDeps } from '#database/deps.ts';
import { roleResource, type StoredRole } from '#database/directory.ts';
import { assertActive } from '#database/life.ts';
import { mint, type MintPlan, newUser, planMint, userOf } from '#database/mint.ts';
import { planCredentials as plan } from '#database/plan.ts';
import { roleName } from '#database/role-schema.ts';
import { explained } from '#database/target-failure.ts';
import { decideTerms, refusalError } from '#database/terms.ts';

/** Leasing a database user, and the same without leasing. */

const input = z.strictObject({
  role: roleName,
  ttl: duration.optional().describe('Life; default: default_ttl of the role'),
  purpose: z.string().min(1).max(200).optional().describe('Why it is needed; kept in the audit and the lease'),
});
type Input = z.output<typeof input>;

const resource = ({ role }: Input) => roleResource(role);
const facts = ({ ttl, purpose }: Input) => ({ ttl, purpose });

const issueOutput = z.strictObject({
  lease_id: z.string().describe('Renew or revoke the credentials by it'),
  username: z.string(),
  password: z.string().describe('Shown once and kept nowhere'),
  connection_url: z.string().describe('Address with user name and password, for clients that take one'),
  host: z.string(),
  port: z.number().int(),
  database: z.string().nullable(),
  issued_at: z.string(),
  expires_at: z.string().describe('When the user is removed and its sessions are ended, unless it is renewed before'),
  max_expires_at: z.string().describe('Renewals go no further than this'),
  adjustments: z.array(z.string()).optional().describe('What came out smaller than the default, and why'),
});

export const issueCredentials = defineOperation({
  id: 'database.issue_credentials',
  title: 'Lease a database user',
  summary:
    'Makes a database user by a role, for a time. When it ends, or is revoked, the sessions of the user are ended and the user is removed. Ask for a new one rather than keep one.',
  input,
  output: issueOutput,
  http: { method: 'POST', path: '/database/roles/{role}/credentials', status: 201, bodyLimit: 65_536 },
  cli: { alias: 'credentials', headline: { field: 'connection_url', beside: ['lease_id', 'expires_at'] } },
  effect: 'additive',
  openWorld: true,
  sensitive: ['password', 'connection_url'],
  resource,
  facts,
  async intend(grant, request, deps: DatabaseDeps) {
    const role = await deps.directory.requireRole(grant.namespace, request.role);
    const connection = await deps.directory.requireConnection(grant.namespace, role.role.connection);
    assertActive(`role ${request.role}`, role.row);
    assertActive(`connection ${role.role.connection}`, connection.row);
    const terms = termsFor(grant, role, request);
    const { plan: minting, changes } = await planMint(deps, grant, role, connection, terms);
    const { lease } = minting;
    return { plan: minting, changes, audit: { lease_id: lease.id, username: lease.subject, target: lease.target } };
  },
  async run(_grant, _request, deps: DatabaseDeps, { lease, connection, role, terms }: MintPlan) {
    const { definition } = connection;
    const name = userOf(lease.subject, connection, role.role);
    const { user, password } = newUser(name, role.role, lease.expires_at);
    const database = role.role.database ?? definition.database;
    let url = '';
    await explained(connection.row.name, () =>
      mint(deps, connection, lease, async (target) => {
        await target.createUser(user);
        url = target.connectionUrl(name, password, database);
      }),
    );
    const output: z.output<typeof issueOutput> = {
      lease_id: lease.id,
      username: lease.subject,
      password,
      connection_url: url,
      host: definition.host,
      port: definition.port,
      database: database ?? null,
      issued_at: toRfc3339(lease.issued_at),
      expires_at: toRfc3339(lease.expires_at),
      max_expires_at: toRfc3339(lease.max_expires_at),
      ...(terms.adjustments.length > 0 ? { adjustments: [...terms.adjustments] } : {}),
    };
    return {
      output,
      changes: deps.leases.activate(lease),
      // The lease was ended while its user was made: nobody gets the password, and the user need not wait to be removed.
      undone: () => deps.leases.abandon(lease, 0),
      audit: { lease_id: lease.id, username: lease.subject, expires_at: output.expires_at },
    };
  },
});

function termsFor(grant: Grant, { role }: StoredRole, request: Input) {
  const ruling = decideTerms(role, request.ttl, grant.limits, grant.now);
  if (!ruling.allowed) throw refusalError(role, ruling);
  return ruling.terms;
}

const planOutput = z.strictObject({
  allowed: z.boolean(),
  refusals: z
    .array(z.strictObject({ rule: z.string(), at: z.string(), message: z.string() }))
    .describe('Every rule that refuses; empty when allowed'),
  nearest_request: z
    .strictObject({ role: z.string(), ttl: z.string() })
    .nullable()
    .describe('The nearest request that would pass; null when none would, or when this one does'),
  advice: z.string().describe('One sentence: what to do next'),
  credentials: z
    .strictObject({
      connection: z.string(),
      member_of: z.array(z.string()),
      ttl: z.string(),
      expires_at: z.string(),
      max_expires_at: z.string(),
    })
    .nullable()
    .describe('What would be leased; null when refused'),
  adjustments: z.array(z.string()),
});

export const planCredentials = defineOperation({
  id: 'database.plan_credentials',
  title: 'Plan a lease',
  summary:
    'Decides a request for a database user without making one: what would be leased, or every rule that refuses and the nearest request that would pass.',
  input,
  output: planOutput,
  http: { method: 'POST', path: '/database/roles/{role}/credentials/plan', bodyLimit: 65_536 },
  effect: 'read',
  resource,
  facts,
  async run(grant, request, deps: DatabaseDeps) {
    const role = await deps.directory.requireRole(grant.namespace, request.role);
    const connection = await deps.directory.requireConnection(grant.namespace, role.role.connection);
    assertActive(`role ${request.role}`, role.row);
    assertActive(`connection ${role.role.connection}`, connection.row);
    const decided = await plan(deps, grant, role.role, connection, request.ttl);
    const { terms } = decided;
    return {
      output: {
        allowed: decided.refusals.length === 0,
        refusals: [...decided.refusals],
        nearest_request: decided.nearest,
        advice: decided.advice,
        credentials:
          terms === undefined
            ? null
            : {
                connection: role.role.connection,
                member_of: role.role.member_of,
                ttl: formatDuration(terms.ttl),
                expires_at: toRfc3339(grant.now + terms.ttl * 1000),
                max_expires_at: toRfc3339(grant.now + terms.maxTtl * 1000),
              },
        adjustments: [...(terms?.adjustments ?? [])],
      },
    };
  },
});

export const credentialOperations = [issueCredentials, planCredentials];
