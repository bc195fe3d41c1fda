import { z } from 'zod';
import { toRfc3339 } from '#core/clock.ts';
import { formatDuration } from '#core/duration.ts';
import type { StoredRole } from './directory.ts';
import { defaultTtl, passwordPolicy } from './role-schema.ts';

const optionalText = z.string().nullable();
const optionalCount = z.number().int().nullable();

/** A role as it is shown. */
export const roleOutput = z.strictObject({
  name: z.string(),
  connection: z.string(),
  description: z.string(),
  member_of: z.array(z.string()),
  creation_statements: z.array(z.string()).describe('Empty: the built-in statements'),
  revocation_statements: z.array(z.string()),
  credential: z.string(),
  certificate_role: optionalText.describe('Role of the PKI that issues the client certificates'),
  username_template: optionalText,
  password_policy: passwordPolicy.nullable(),
  database: optionalText,
  host: optionalText,
  connection_limit: optionalCount,
  statement_timeout: optionalText,
  idle_in_transaction_timeout: optionalText,
  act_as: optionalText,
  reassign_to: optionalText,
  default_ttl: z.string(),
  max_ttl: z.string(),
  max_leases: optionalCount,
  max_leases_per_principal: optionalCount,
  state: z.enum(['active', 'draining']).describe('draining: it takes no more mints, and goes with its last lease'),
  created_at: z.string(),
  updated_at: z.string(),
});

export function viewRole({ row, role }: StoredRole): z.output<typeof roleOutput> {
  return {
    name: role.name,
    connection: role.connection,
    description: role.description,
    member_of: role.member_of,
    creation_statements: role.creation_statements,
    revocation_statements: role.revocation_statements,
    credential: role.credential,
    certificate_role: role.certificate_role ?? null,
    username_template: role.username_template ?? null,
    password_policy: role.password_policy ?? null,
    database: role.database ?? null,
    host: role.host ?? null,
    connection_limit: role.connection_limit ?? null,
    statement_timeout: lengthOf(role.statement_timeout),
    idle_in_transaction_timeout: lengthOf(role.idle_in_transaction_timeout),
    act_as: role.act_as ?? null,
    reassign_to: role.reassign_to ?? null,
    default_ttl: formatDuration(defaultTtl(role)),
    max_ttl: formatDuration(role.max_ttl),
    max_leases: role.max_leases ?? null,
    max_leases_per_principal: role.max_leases_per_principal ?? null,
    state: row.state,
    created_at: toRfc3339(row.created_at),
    updated_at: toRfc3339(row.updated_at),
  };
}

function lengthOf(seconds: number | undefined): string | null {
  return seconds === undefined ? null : formatDuration(seconds);
}
