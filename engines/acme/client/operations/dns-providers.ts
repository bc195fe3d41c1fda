import { z } from 'zod';
import { insert, remove, update } from '#core/change.ts';
import { toRfc3339 } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import { name, newId } from '#core/ids.ts';
import { defineOperation } from '#core/operation.ts';
import { nextCursor, pageInput } from '#core/page.ts';
import type { ClientDeps } from '#acme/client/deps.ts';
import { providerResource, requireProvider } from '#acme/client/dns-provider.ts';
import { sealBytes } from '#acme/client/keys.ts';
import type { AcmeClientTables, DnsProviderRow } from '#acme/client/tables.ts';
import { type DnsProviderSettings, dnsProviderSettings, splitSettings } from '#acme/dns/contract.ts';
import { pageByName } from '#storage/page-by-name.ts';

/** Who publishes TXT records for dns-01. Secrets are sealed and shown to nobody. */

const providerName = name.describe('Name of the DNS provider');
const named = z.strictObject({ name: providerName });
const settings = dnsProviderSettings.describe('Kind of the provider and what it needs; secrets are never shown again');

const providerOutput = z.strictObject({
  id: z.string(),
  name: z.string(),
  kind: z.string(),
  settings: z
    .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
    .describe('What it was given, without secrets'),
  created_at: z.string(),
  updated_at: z.string(),
});

function view(row: DnsProviderRow): z.output<typeof providerOutput> {
  const { kind: _kind, ...shown } = JSON.parse(row.definition) as Record<string, string | number | boolean>;
  return {
    id: row.id,
    name: row.name,
    kind: row.kind,
    settings: shown,
    created_at: toRfc3339(row.created_at),
    updated_at: toRfc3339(row.updated_at),
  };
}

function columnsOf({ sealer }: ClientDeps, id: string, given: DnsProviderSettings) {
  const { definition, secrets } = splitSettings(given);
  const place = { table: 'acme_dns_providers', row: id, column: 'secrets' } as const;
  return {
    kind: given.kind,
    definition: JSON.stringify(definition),
    secrets:
      Object.keys(secrets).length === 0 ? null : sealBytes(sealer, place, Buffer.from(JSON.stringify(secrets), 'utf8')),
  };
}

export const createDnsProvider = defineOperation({
  id: 'acme.create_dns_provider',
  title: 'Create a DNS provider',
  summary:
    'Makes known who publishes TXT records for dns-01: rfc2136, acme-dns, cloudflare, route53, or a webhook of your own. Its secrets are sealed and never shown.',
  input: z.strictObject({ name: providerName, settings }),
  output: providerOutput,
  http: { method: 'POST', path: '/acme/dns-providers', status: 201 },
  effect: 'additive',
  resource: providerResource,
  run(grant, input, deps: ClientDeps) {
    const id = newId('adp', grant.now);
    const row: DnsProviderRow = {
      id,
      namespace: grant.namespace,
      name: input.name,
      ...columnsOf(deps, id, input.settings),
      version: 1,
      created_at: grant.now,
      updated_at: grant.now,
    };
    const taken = () =>
      new AppError('already_exists', `There is a DNS provider ${input.name} already.`, {
        hint: 'Replace its settings with acme.update_dns_provider, or choose another name.',
      });
    return Promise.resolve({
      output: view(row),
      changes: [insert('acme_dns_providers', { ...row }, taken)],
      audit: { kind: row.kind },
    });
  },
});

export const getDnsProvider = defineOperation({
  id: 'acme.get_dns_provider',
  title: 'Get a DNS provider',
  summary: 'Shows a DNS provider, without its secrets.',
  input: named,
  output: providerOutput,
  http: { method: 'GET', path: '/acme/dns-providers/{name}' },
  effect: 'read',
  resource: providerResource,
  async run(grant, input, deps: ClientDeps) {
    return { output: view(await requireProvider(deps.store, grant.namespace, input.name)) };
  },
});

export const listDnsProviders = defineOperation({
  id: 'acme.list_dns_providers',
  title: 'List DNS providers',
  summary: 'Lists the DNS providers by name, without their secrets.',
  input: z.strictObject({ ...pageInput }),
  output: z.strictObject({ providers: z.array(providerOutput), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/acme/dns-providers' },
  cli: { columns: ['name', 'kind', 'created_at', 'updated_at'] },
  effect: 'read',
  resource: () => 'acme/dns-providers',
  async run(grant, input, deps: ClientDeps) {
    const query = deps.store
      .tables<AcmeClientTables>()
      .selectFrom('acme_dns_providers')
      .selectAll()
      .where('namespace', '=', grant.namespace);
    const page = await pageByName(query, input);
    return { output: { providers: page.items.map(view), next_cursor: page.next_cursor } };
  },
});

export const updateDnsProvider = defineOperation({
  id: 'acme.update_dns_provider',
  title: 'Replace the settings of a DNS provider',
  summary: 'Replaces all settings of a DNS provider, secrets included, as when its token was changed.',
  input: z.strictObject({ name: providerName, settings }),
  output: providerOutput,
  http: { method: 'PUT', path: '/acme/dns-providers/{name}' },
  effect: 'mutating',
  idempotent: true,
  resource: providerResource,
  async run(grant, input, deps: ClientDeps) {
    const row = await requireProvider(deps.store, grant.namespace, input.name);
    const set = { ...columnsOf(deps, row.id, input.settings), version: row.version + 1, updated_at: grant.now };
    return {
      output: view({ ...row, ...set }),
      changes: [update('acme_dns_providers', set, { id: row.id, version: row.version }, { expect: 1 })],
      audit: { kind: set.kind },
    };
  },
});

export const deleteDnsProvider = defineOperation({
  id: 'acme.delete_dns_provider',
  title: 'Delete a DNS provider',
  summary: 'Forgets a DNS provider and its secrets. No order or renewal may need it.',
  input: named,
  output: z.strictObject({ name: z.string(), deleted: z.literal(true) }),
  http: { method: 'DELETE', path: '/acme/dns-providers/{name}' },
  effect: 'destructive',
  resource: providerResource,
  async run(grant, input, deps: ClientDeps) {
    const row = await requireProvider(deps.store, grant.namespace, input.name);
    await assertUnused(deps, row);
    return {
      output: { name: row.name, deleted: true as const },
      changes: [remove('acme_dns_providers', { id: row.id, version: row.version }, { expect: 1 })],
    };
  },
});

async function assertUnused({ store }: ClientDeps, { namespace, name: provider }: DnsProviderRow): Promise<void> {
  // Names hold nothing that LIKE or JSON would read in another way, but for the underscore, which finds too much at worst.
  const pattern = `%"dns_provider":"${provider}"%`;
  const order = await store.first<{ id: string }>(
    `SELECT id FROM acme_client_orders WHERE namespace = ? AND next_action_at IS NOT NULL AND definition LIKE ? LIMIT 1`,
    [namespace, pattern],
  );
  const certificate = await store.first<{ id: string }>(
    `SELECT id FROM acme_certificates WHERE namespace = ? AND renew = 1 AND state = 'valid' AND definition LIKE ? LIMIT 1`,
    [namespace, pattern],
  );
  const user = order?.id ?? certificate?.id;
  if (user === undefined) return;
  throw new AppError('wrong_state', `The DNS provider ${provider} is needed by ${user}.`, {
    hint: 'Wait for the order, or turn the renewal of the certificate off with acme.update_certificate.',
  });
}
