import { z } from 'zod';
import { duration, formatDuration } from '#core/duration.ts';
import { AppError } from '#core/errors.ts';
import { name } from '#core/ids.ts';
import { identifier, maybe, overlongNames, removable, withDefault, within } from './fields.ts';
import { checkPasswordPolicy, passwordLimits } from './password.ts';
import { checkStatements, statementLimits } from './statement.ts';
import type { TargetKind } from './target.ts';
import { checkUsernameTemplate, defaultUsernameTemplate, usernameTemplateLimit } from './username.ts';

/** What a role is made of: what users it makes, and how long they live. */

const longestLife = 366 * 86_400;

const statement = z
  .string()
  .min(1)
  .max(statementLimits.length)
  .refine((text) => !text.includes('\u0000') && text.isWellFormed(), 'no NUL and no half characters');
const statements = (what: string) => z.array(statement).max(statementLimits.count).describe(what);
const life = (what: string) => duration.refine(...within(1, longestLife)).describe(what);
const count = (what: string) => z.number().int().min(1).max(1_000_000).describe(what);

/** Of the passwords that are made for its users. */
export const passwordPolicy = z
  .strictObject({
    length: z.number().int().min(passwordLimits.shortest).max(passwordLimits.longest).describe('Characters, 12 to 128'),
    classes: z
      .array(
        z.strictObject({
          characters: z.string().min(1).max(94).describe('Printable ASCII'),
          minimum: z.number().int().min(0).max(passwordLimits.longest).describe('How many of them at least'),
        }),
      )
      .min(1)
      .max(10)
      .describe('A password is made of the characters of all classes'),
  })
  .describe('How passwords are made; default: 32 letters, digits, - and _, at least one of each');

const fields = {
  description: z.string().max(500).describe('What it is for'),
  member_of: z
    .array(identifier)
    .max(32)
    .transform((names) => [...new Set(names)])
    .describe('Group roles that its users are members of; they hold the privileges'),
  creation_statements: statements(
    'SQL that makes a user, instead of the built-in: a list of statements with {{name}}, {{password}} and {{expiration}}, which are quoted here. PostgreSQL: search_path is pg_catalog',
  ),
  revocation_statements: statements(
    'SQL that runs when a user is removed, after its sessions have ended and before it is dropped; with {{name}}',
  ),
  credential: z
    .enum(['password', 'certificate'])
    .describe('With what its users log in: a password, or a client certificate whose common name is the user name'),
  default_ttl: life('Life when none is asked for; default 1h, or max_ttl if that is shorter'),
  max_ttl: life('Longest life, renewals included'),
} as const;

/** Fields that may be absent. */
const optionalFields = {
  username_template: z
    .string()
    .min(1)
    .max(usernameTemplateLimit)
    .describe(
      'User names after their prefix: a-z, 0-9, _, {{role}}, {{principal}}, {{time}}, and {{random}} once; default {{role}}_{{random}}',
    ),
  password_policy: passwordPolicy,
  certificate_role: name.describe(
    'Role of the PKI that issues the client certificates; it must list the user_prefix of the connection with * in allowed_common_names',
  ),
  database: identifier.describe('Database that connection URLs name; default: that of the connection'),
  host: z
    .string()
    .min(1)
    .max(255)
    .regex(/^[A-Za-z0-9%_.:/-]+$/, 'a host, an address or a pattern with % and _')
    .describe('MySQL: the hosts from which its users may connect; default %'),
  connection_limit: z
    .number()
    .int()
    .min(1)
    .max(10_000)
    .describe('Most sessions of one user at a time; default: no bound'),
  statement_timeout: duration
    .refine(...within(1, 86_400))
    .describe('PostgreSQL: longest time for one statement of a user; default: the one of the server'),
  idle_in_transaction_timeout: duration
    .refine(...within(1, 86_400))
    .describe('PostgreSQL: longest time that a transaction of a user may be idle; default: the one of the server'),
  act_as: identifier.describe('PostgreSQL: role in whose name its sessions act, so that what they make belongs to it'),
  reassign_to: identifier.describe('PostgreSQL: who gets what a user leaves behind; default: it is dropped'),
  max_leases: count('Most live leases of this role at a time; default: no bound'),
  max_leases_per_principal: count(
    'Most live leases that a principal may have, of all roles together, to be given one of this; default: no bound',
  ),
} as const;

export const roleName = name.describe('Name of the role');

/** The fields of a role as a request gives them. */
const roleFields = {
  name: roleName,
  connection: name.describe('Name of the connection'),
  description: withDefault(fields.description, ''),
  member_of: withDefault(fields.member_of, []),
  creation_statements: withDefault(fields.creation_statements, []),
  revocation_statements: withDefault(fields.revocation_statements, []),
  credential: withDefault(fields.credential, 'password'),
  username_template: maybe(optionalFields.username_template),
  certificate_role: maybe(optionalFields.certificate_role),
  password_policy: maybe(optionalFields.password_policy),
  database: maybe(optionalFields.database),
  host: maybe(optionalFields.host),
  connection_limit: maybe(optionalFields.connection_limit),
  statement_timeout: maybe(optionalFields.statement_timeout),
  idle_in_transaction_timeout: maybe(optionalFields.idle_in_transaction_timeout),
  act_as: maybe(optionalFields.act_as),
  reassign_to: maybe(optionalFields.reassign_to),
  default_ttl: maybe(fields.default_ttl),
  max_ttl: withDefault(fields.max_ttl, '24h'),
  max_leases: maybe(optionalFields.max_leases),
  max_leases_per_principal: maybe(optionalFields.max_leases_per_principal),
} as const;

const probe = z
  .boolean()
  .default(true)
  .describe(
    'Whether to make a user, log in as it and remove it before the role is saved, and to refuse it when that fails',
  );

/** A role, strictly. Parsing what was parsed changes nothing, so the parsed form is what is stored. */
export const roleSchema = z.strictObject(roleFields).superRefine((role, context) => {
  if (role.default_ttl !== undefined && role.default_ttl > role.max_ttl)
    context.addIssue({
      code: 'custom',
      path: ['default_ttl'],
      message: `${formatDuration(role.default_ttl)} is longer than max_ttl, ${formatDuration(role.max_ttl)}`,
    });
  for (const { field, message } of loginContradictions(role))
    context.addIssue({ code: 'custom', path: [field], message });
});

interface Contradiction {
  readonly field: string;
  readonly message: string;
}

function loginContradictions(role: Role): Contradiction[] {
  if (role.credential === 'password')
    return role.certificate_role === undefined
      ? []
      : [{ field: 'certificate_role', message: 'is for credential certificate' }];
  const found: Contradiction[] = [];
  if (role.certificate_role === undefined)
    found.push({ field: 'certificate_role', message: 'is needed for credential certificate' });
  if (role.password_policy !== undefined)
    found.push({ field: 'password_policy', message: 'means nothing for credential certificate' });
  if (role.creation_statements.some((text) => /\{\{\s*password\s*\}\}/.test(text)))
    found.push({ field: 'creation_statements', message: 'must not use {{password}}: there is none' });
  return found;
}

export type Role = z.output<z.ZodObject<typeof roleFields, z.core.$strict>>;

export const createRoleInput = z.strictObject({ ...roleFields, probe });

/** Changes to a role. Null removes. */
export const updateRoleInput = z.strictObject({
  name: roleName,
  connection: maybe(roleFields.connection),
  description: maybe(fields.description),
  member_of: maybe(fields.member_of),
  creation_statements: maybe(fields.creation_statements),
  revocation_statements: maybe(fields.revocation_statements),
  credential: maybe(fields.credential),
  username_template: removable(optionalFields.username_template),
  certificate_role: removable(optionalFields.certificate_role),
  password_policy: removable(optionalFields.password_policy),
  database: removable(optionalFields.database),
  host: removable(optionalFields.host),
  connection_limit: removable(optionalFields.connection_limit),
  statement_timeout: removable(optionalFields.statement_timeout),
  idle_in_transaction_timeout: removable(optionalFields.idle_in_transaction_timeout),
  act_as: removable(optionalFields.act_as),
  reassign_to: removable(optionalFields.reassign_to),
  default_ttl: removable(fields.default_ttl),
  max_ttl: maybe(fields.max_ttl),
  max_leases: removable(optionalFields.max_leases),
  max_leases_per_principal: removable(optionalFields.max_leases_per_principal),
  probe,
});

/** The role that remains of a base when what is given is laid over it; null removes. Throws `invalid_request`. */
export function layRole(base: Partial<Role>, given: Readonly<Record<string, unknown>>): Role {
  const { probe: _probe, ...changes } = given;
  const kept = Object.entries({ ...base, ...defined(changes) }).filter(([, value]) => value !== null);
  const result = roleSchema.safeParse(Object.fromEntries(kept));
  if (result.success) return result.data;
  throw contradiction(result.error.issues.map(({ path, message }) => ({ at: `/${path.join('/')}`, message })));
}

function defined(fieldsGiven: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fieldsGiven).filter(([, value]) => value !== undefined));
}

export function contradiction(details: readonly { at: string; message: string }[]): AppError {
  return new AppError('invalid_request', `${details[0]?.at}: ${details[0]?.message}.`, {
    details,
    hint: 'Change the fields together.',
  });
}

const onlyPostgresql = ['act_as', 'reassign_to', 'statement_timeout', 'idle_in_transaction_timeout'] as const;
const onlyMysql = ['host'] as const;

/** What only the kind of the server can tell. Throws `invalid_request`. */
export function checkRole(role: Role, { engine, usernameLimit }: TargetKind): void {
  const foreign = (engine === 'postgresql' ? onlyMysql : onlyPostgresql).filter((field) => role[field] !== undefined);
  if (foreign.length > 0)
    throw contradiction(foreign.map((field) => ({ at: `/${field}`, message: `means nothing on ${engine}` })));
  const { member_of, database, act_as, reassign_to } = role;
  const overlong = overlongNames(engine, { member_of, database, act_as, reassign_to });
  if (overlong.length > 0) throw contradiction(overlong.map(({ field, message }) => ({ at: `/${field}`, message })));
  checkUsernameTemplate(role.username_template ?? defaultUsernameTemplate, usernameLimit);
  if (role.password_policy !== undefined) checkPasswordPolicy(role.password_policy);
  checkStatements(role.creation_statements, engine, 'creation', '/creation_statements');
  checkStatements(role.revocation_statements, engine, 'revocation', '/revocation_statements');
}

export function defaultTtl(role: Role): number {
  return role.default_ttl ?? Math.min(3600, role.max_ttl);
}
