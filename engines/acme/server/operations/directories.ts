import { z } from 'zod';
import { insert, remove, update } from '#core/change.ts';
import { toRfc3339 } from '#core/clock.ts';
import { formatDuration } from '#core/duration.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { defineOperation } from '#core/operation.ts';
import { cutPage, decodeCursor, nextCursor, pageInput } from '#core/page.ts';
import type { ServerDeps } from '#acme/server/deps.ts';
import { directoryUrl, isOfRole, readDirectoryRow } from '#acme/server/directories.ts';
import { type DirectorySettings, defaultSettings, directorySettings, parseSettings } from '#acme/server/settings.ts';
import type { DirectoryRow } from '#acme/server/tables.ts';
import { directoryResource, directoryUrlField, reachRole, roleName } from './fields.ts';

/** How the directories of roles are set up. Every role has one; what nobody configured has the defaults. */

const view = z.strictObject({
  role: roleName,
  directory_url: directoryUrlField,
  configured: z.boolean().describe('false: the defaults hold'),
  external_account_required: z.boolean(),
  challenge_types: z.array(z.string()),
  allowed_address_ranges: z.array(z.string()),
  terms_of_service: z.string().nullable(),
  website: z.string().nullable(),
  caa_identities: z.array(z.string()),
  check_caa: z.boolean(),
  profiles: z.record(z.string(), z.strictObject({ description: z.string(), role: z.string() })),
  authorization_lifetime: z.string(),
  order_lifetime: z.string(),
  ended_accounts_kept: z.string(),
  validation_attempts: z.number().int(),
  limits: z.strictObject({
    accounts_per_address: z.number().int(),
    orders_per_account: z.number().int(),
    failed_validations: z.number().int(),
    pending_authorizations: z.number().int(),
  }),
  updated_at: z.string().nullable(),
});

function show(
  baseUrl: string,
  { namespace }: Pick<Grant, 'namespace'>,
  role: string,
  settings: DirectorySettings,
  updatedAt: number | null,
): z.output<typeof view> {
  return {
    role,
    directory_url: directoryUrl(baseUrl, namespace, role),
    configured: updatedAt !== null,
    ...settings,
    authorization_lifetime: formatDuration(settings.authorization_lifetime),
    order_lifetime: formatDuration(settings.order_lifetime),
    ended_accounts_kept: formatDuration(settings.ended_accounts_kept),
    updated_at: updatedAt === null ? null : toRfc3339(updatedAt),
  };
}

export const configureDirectory = defineOperation({
  id: 'acme.configure_directory',
  title: 'Configure an ACME directory',
  summary:
    'Sets up how a role of the PKI is served to ACME clients. All settings are replaced; what is left out has its default. The role itself says which names are certified.',
  input: directorySettings.extend({ role: roleName }),
  output: view,
  http: { method: 'PUT', path: '/acme/directories/{role}' },
  effect: 'mutating',
  idempotent: true,
  resource: directoryResource,
  async run(grant, { role, ...settings }, deps: ServerDeps) {
    for (const each of rolesOf(role, settings)) await reachRole(deps, grant, each);
    await assertSettings(deps, grant, role, settings);
    const stored = await readDirectoryRow(deps.store, grant.namespace, role);
    const row: DirectoryRow = {
      namespace: grant.namespace,
      role,
      settings: JSON.stringify(settings),
      version: (stored?.version ?? 0) + 1,
      updated_at: grant.now,
    };
    const where = { namespace: grant.namespace, role, version: stored?.version ?? 0 };
    return {
      output: show(deps.baseUrl, grant, role, settings, grant.now),
      changes: [
        stored === undefined
          ? insert('acme_server_directories', { ...row })
          : update('acme_server_directories', { ...row }, where, { expect: 1 }),
      ],
      audit: {
        external_account_required: settings.external_account_required,
        allowed_address_ranges: settings.allowed_address_ranges.join(','),
      },
    };
  },
});

async function assertSettings(
  { issuer, delegation }: ServerDeps,
  grant: Grant,
  role: string,
  settings: DirectorySettings,
): Promise<void> {
  const { namespace } = grant;
  if ((await issuer.roleSince(namespace, role)) === undefined) throw noRole(role);
  for (const [profile, { role: other }] of Object.entries(settings.profiles))
    if ((await issuer.roleSince(namespace, other)) === undefined)
      throw new AppError('invalid_request', `The role ${other} of profile ${profile} does not exist.`, {
        hint: 'pki.list_roles lists the roles.',
      });
  if (settings.check_caa && settings.caa_identities.length === 0)
    throw new AppError('invalid_request', 'check_caa needs caa_identities: no record could allow this authority.', {
      hint: 'Give the DNS names by which CAA records name it.',
    });
  // Tenants share the network of the installation, and must not look around in it.
  if (namespace !== 'root' && settings.allowed_address_ranges.length > 0)
    throw new AppError(
      'denied',
      'Only the namespace root may let validation connect to addresses that are not public.',
      {
        hint: 'Leave allowed_address_ranges out, or have external account keys skip validation.',
      },
    );
  // Accounts without a binding are asked for no right of their own: whoever opens a directory gives away theirs.
  if (settings.external_account_required) return;
  for (const each of rolesOf(role, settings))
    await delegation.assertMayItself(grant, { operation: 'pki.issue_certificate', resource: `pki/roles/${each}` });
}

function rolesOf(role: string, { profiles }: DirectorySettings): Set<string> {
  return new Set([role, ...Object.values(profiles).map((profile) => profile.role)]);
}

function noRole(role: string): AppError {
  return new AppError('not_found', `There is no role ${role} in this namespace.`, {
    hint: 'pki.list_roles lists the roles; each has a directory.',
  });
}

export const getDirectory = defineOperation({
  id: 'acme.get_directory',
  title: 'Get an ACME directory',
  summary: 'Shows how a role of the PKI is served to ACME clients, and the URL that they are given.',
  input: z.strictObject({ role: roleName }),
  output: view,
  http: { method: 'GET', path: '/acme/directories/{role}' },
  effect: 'read',
  resource: directoryResource,
  async run(grant, { role }, deps: ServerDeps) {
    await reachRole(deps, grant, role);
    const since = await deps.issuer.roleSince(grant.namespace, role);
    if (since === undefined) throw noRole(role);
    const stored = await readDirectoryRow(deps.store, grant.namespace, role);
    const row = stored !== undefined && isOfRole(stored, since) ? stored : undefined;
    const settings = row === undefined ? defaultSettings : parseSettings(row.settings);
    return { output: show(deps.baseUrl, grant, role, settings, row?.updated_at ?? null) };
  },
});

export const listDirectories = defineOperation({
  id: 'acme.list_directories',
  title: 'List configured ACME directories',
  summary: 'Lists the directories that were configured, by role. Every other role has one with the defaults.',
  input: z.strictObject({ ...pageInput }),
  output: z.strictObject({ directories: z.array(view), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/acme/directories' },
  cli: { columns: ['role', 'directory_url', 'external_account_required', 'challenge_types'] },
  effect: 'read',
  resource: () => 'acme/directories',
  async run(grant, { limit, cursor }, deps: ServerDeps) {
    const after = cursor === undefined ? '' : decodeCursor(cursor, 'string');
    const rows = await deps.store.all<DirectoryRow>(
      'SELECT * FROM acme_server_directories WHERE namespace = ? AND role > ? ORDER BY role LIMIT ?',
      [grant.namespace, after, limit + 1],
    );
    const page = cutPage(rows, limit, ({ role }) => role);
    const directories: z.output<typeof view>[] = [];
    for (const row of page.items)
      if (isOfRole(row, await deps.issuer.roleSince(grant.namespace, row.role)))
        directories.push(show(deps.baseUrl, grant, row.role, parseSettings(row.settings), row.updated_at));
    return { output: { directories, next_cursor: page.next_cursor } };
  },
});

export const resetDirectory = defineOperation({
  id: 'acme.reset_directory',
  title: 'Reset an ACME directory',
  summary: 'Puts a directory back to the defaults: closed to new accounts without an external account key.',
  input: z.strictObject({ role: roleName }),
  output: z.strictObject({ role: z.string() }),
  http: { method: 'DELETE', path: '/acme/directories/{role}' },
  effect: 'destructive',
  idempotent: true,
  resource: directoryResource,
  async run(grant, { role }, deps: ServerDeps) {
    await reachRole(deps, grant, role);
    const where = { namespace: grant.namespace, role };
    return { output: { role }, changes: [remove('acme_server_directories', where)] };
  },
});

export const directoryOperations = [configureDirectory, getDirectory, listDirectories, resetDirectory];
