import { z } from 'zod';
import { toRfc3339 } from '#core/clock.ts';
import { duration, formatDuration } from '#core/duration.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { defineOperation } from '#core/operation.ts';
import type { DatabaseDeps } from '#database/deps.ts';
import { roleResource, type StoredRole } from '#database/directory.ts';
import type { Facts } from '#lease/contract.ts';
import { reachBehind } from '#database/entitlement.ts';
import { assertActive } from '#database/life.ts';
import { credentialOf, type Login, makeLogin, noCertificate } from '#database/login.ts';
import { mint, type MintPlan, newUser, planMint, userOf } from '#database/mint.ts';
import { planCredentials as plan } from '#database/plan.ts';
import { roleName } from '#database/role-schema.ts';
import { explained } from '#database/target-failure.ts';
import { decideTerms, refusalError } from '#database/terms.ts';

/** Leasing a database user, and the same without leasing. */

const input = z.strictObject({
  role: roleName,
  ttl: duration.optional().describe('Life; default: default_ttl of the role'),
  csr: z
    .string()
    .min(64)
    .max(65_536)
    .optional()
    .describe(
      'For roles with credential certificate: PKCS#10 request, PEM, that brings the key; without names. Absent: a key is made',
    ),
  purpose: z.string().min(1).max(200).optional().describe('Why it is needed; kept in the audit and the lease'),
});
type Input = z.output<typeof input>;

const resource = ({ role }: Input) => roleResource(role);
const facts = ({ ttl, purpose }: Input) => ({ ttl, purpose });

const issueOutput = z.strictObject({
  lease_id: z.string().describe('Renew or revoke the credentials by it'),
  username: z.string(),
  password: z.string().optional().describe('Shown once and kept nowhere; absent where the login is by certificate'),
  certificate: z.string().optional().describe('Client certificate for the login, PEM; it ends with the lease'),
  chain: z.array(z.string()).optional().describe('Certificates above it, PEM, nearest first'),
  private_key: z
    .string()
    .optional()
    .describe('Key of the certificate, PKCS#8, PEM. Shown once and kept nowhere; absent when a CSR was given'),
  server_ca: z
    .string()
    .optional()
    .describe('Certificates that that of the server leads to, PEM, where the connection names them'),
  connection_url: z
    .string()
    .describe(
      'Address with user name and password, for clients that take one; without a password where the login is by certificate (libpq: sslcert, sslkey, sslrootcert)',
    ),
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
  cli: {
    alias: 'credentials',
    headline: { field: 'connection_url', beside: ['lease_id', 'expires_at'], unless: 'certificate' },
  },
  effect: 'additive',
  openWorld: true,
  sensitive: ['password', 'private_key', 'connection_url'],
  resource,
  facts,
  async intend(grant, request, deps: DatabaseDeps) {
    const role = await deps.directory.requireRole(grant.namespace, request.role);
    await reachBehind(deps, grant, role.role);
    const connection = await deps.directory.requireConnection(grant.namespace, role.role.connection);
    assertActive(`role ${request.role}`, role.row);
    assertActive(`connection ${role.role.connection}`, connection.row);
    if (request.csr !== undefined && role.role.certificate_role === undefined) throw noCertificate(role.role);
    const terms = termsFor(grant, role, request);
    const { plan: minting, changes } = await planMint(deps, grant, role, connection, terms);
    const { lease } = minting;
    return { plan: minting, changes, audit: { lease_id: lease.id, username: lease.subject, target: lease.target } };
  },
  async run(grant, request, deps: DatabaseDeps, { lease, connection, role, terms }: MintPlan) {
    const { definition } = connection;
    const name = userOf(lease.subject, connection, role.role);
    const login = await makeLogin(deps, role.role, lease, request.csr);
    const user = newUser(name, credentialOf(login), role.role, lease.expires_at);
    const database = role.role.database ?? definition.database;
    let url = '';
    await explained(connection.row.name, () =>
      mint(deps, connection, lease, async (target) => {
        await target.createUser(user);
        url = target.connectionUrl(name, login.kind === 'password' ? login.password : undefined, database);
      }),
    );
    // Nobody would have the password, and it is kept nowhere.
    if (grant.signal?.aborted === true) {
      await deps.leases.abandon(lease, 0, 'revoked');
      throw goneAway();
    }
    const output: z.output<typeof issueOutput> = {
      lease_id: lease.id,
      username: lease.subject,
      ...shown(login),
      ...(definition.tls_ca === undefined ? {} : { server_ca: definition.tls_ca }),
      connection_url: url,
      host: definition.host,
      port: definition.port,
      database: database ?? null,
      issued_at: toRfc3339(lease.issued_at),
      expires_at: toRfc3339(lease.expires_at),
      max_expires_at: toRfc3339(lease.max_expires_at),
      ...(terms.adjustments.length > 0 ? { adjustments: [...terms.adjustments] } : {}),
    };
    const issued = login.kind === 'password' ? {} : { serial_number: login.issued.serialNumber };
    return {
      output,
      changes: deps.leases.activate(lease, { ...(JSON.parse(lease.facts) as Facts), ...issued }),
      // The lease was ended while its user was made: nobody gets the password, and the user need not wait to be removed.
      undone: () => deps.leases.abandon(lease, 0),
      audit: { lease_id: lease.id, username: lease.subject, expires_at: output.expires_at, ...issued },
    };
  },
});

function goneAway(): AppError {
  return new AppError('wrong_state', 'The caller went away while the user was made, so it is removed again.', {
    hint: 'Ask for new credentials, and wait for them.',
  });
}

/** What only the requester is given. */
function shown(login: Login): Partial<z.output<typeof issueOutput>> {
  if (login.kind === 'password') return { password: login.password };
  const { certificate, chain, privateKey } = login.issued;
  return { certificate, chain: [...chain], ...(privateKey === undefined ? {} : { private_key: privateKey }) };
}

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
    await reachBehind(deps, grant, role.role);
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
