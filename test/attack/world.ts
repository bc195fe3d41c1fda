import { after } from 'node:test';
import type { Client } from '#test/chancery.ts';
import { type PostgresWorld, postgresWorld } from '#test/postgres-target.ts';
import { cn, extension, extensionRequest, makeRequest, oids, pem } from './csr.ts';
import { leaf, seq } from './der-tree.ts';

/** One tenant with one of everything that has a name or an id. */
export interface Tenant {
  readonly namespace: string;
  /** As its administrator. */
  readonly admin: Client;
  readonly ids: Ids;
  /** API key of `ids.principal`, which may only issue, and only when somebody approves. */
  readonly key: string;
  /** A child token of it. */
  readonly token: string;
}

export interface Ids {
  readonly root: string;
  readonly authority: string;
  readonly role: string;
  readonly serial: string;
  readonly authoritySerial: string;
  readonly spki: string;
  readonly principal: string;
  readonly key: string;
  readonly token: string;
  readonly policy: string;
  readonly approval: string;
  readonly event: string;
  readonly requestId: string;
  readonly certificateName: string;
  readonly blockedKey: string;
  /** PEM. */
  readonly certificate: string;
  readonly connection: string;
  readonly databaseRole: string;
  readonly staticRole: string;
  readonly lease: string;
  /** Of the leased user. */
  readonly username: string;
  readonly dnsProvider: string;
  /** Names and ids of the right form of accounts, orders and certificates at outside authorities; there are none. */
  readonly acmeAccount: string;
  readonly acmeOrder: string;
  readonly acmeCertificate: string;
  readonly externalAccountKey: string;
  readonly subscriber: string;
}

/** One database server for all tenants of a test file, as on a real installation. */
let target: Promise<PostgresWorld> | undefined;

/** Where it listens, once a tenant was founded; for requests that name an address of their own. */
export const address = { port: 1 };

async function sharedTarget(): Promise<PostgresWorld> {
  const world = await (target ??= postgresWorld());
  address.port = world.settings.port;
  return world;
}

after(async () => (await target)?.stop());

/** Founds a tenant in which every name begins with `tag`, and every free text is `tag` in capitals. */
export async function foundTenant(installation: Client, tag: string): Promise<Tenant> {
  const { key } = await installation.ok('POST', 'namespaces', { name: tag, description: tag.toUpperCase() });
  return furnish(installation.as(key), tag, tag);
}

/** Puts one of everything into the namespace of an administrator. */
export async function furnish(admin: Client, namespace: string, tag: string): Promise<Tenant> {
  const description = tag.toUpperCase();
  const names = { root: `${tag}-root`, authority: `${tag}-issuing`, role: `${tag}-web` };
  const certificateName = `www.${tag}.example.com`;
  for (const [name, kind, parent] of [
    [names.root, 'root', undefined],
    [names.authority, 'intermediate', names.root],
  ] as const)
    await admin.ok('POST', 'pki/authorities', { name, kind, parent, common_name: `${tag} ${kind}`, description });
  await admin.ok('POST', 'pki/roles', {
    name: names.role,
    authority: names.authority,
    allowed_domains: ['example.com'],
    allow_subdomains: true,
    description,
  });
  const issued = await admin.ok(
    'POST',
    'pki/certificates',
    { role: names.role, dns_names: [certificateName], purpose: description },
    { 'idempotency-key': `${tag}-key-1` },
  );
  const [inventory] = (await admin.ok('GET', `pki/certificates?role=${names.role}`)).certificates;
  const authority = await admin.ok('GET', `pki/authorities/${names.authority}`);
  const access = await foundAccess(admin, tag, names.role);
  const { events } = await admin.ok('GET', 'audit/events?operation=pki.issue_certificate&outcome=ok');
  const database = await foundDatabase(admin, tag);
  const acme = await foundAcmeClient(admin, tag);
  const served = await foundAcmeServer(admin, tag, names.role);
  const { spki_sha256: blockedKey } = await admin.ok('POST', 'pki/compromised-keys', { spki_sha256: hashFor(tag) });
  return {
    namespace,
    admin,
    key: access.key,
    token: access.token,
    ids: {
      ...names,
      ...access.ids,
      ...database,
      ...acme,
      ...served,
      serial: issued.serial_number,
      authoritySerial: authority.serial_number,
      spki: inventory.key_sha256,
      event: events[0].id,
      requestId: events[0].request_id,
      certificateName,
      blockedKey,
      certificate: issued.certificate,
    },
  };
}

/** A connection, a role with a live lease, and a static role. */
async function foundDatabase(admin: Client, tag: string) {
  const description = tag.toUpperCase();
  const world = await sharedTarget();
  const user = `${tag}_static`;
  const [known] = await world.root(`SELECT 1 FROM pg_roles WHERE rolname = '${user}'`);
  if (known === undefined) await world.root(`CREATE ROLE ${user} LOGIN; GRANT ${user} TO chancery_admin`);
  const names = { connection: `${tag}-database`, databaseRole: `${tag}-reader`, staticRole: `${tag}-legacy` };
  const { host, port, database, username, password } = world.settings;
  // A test before this one may have rotated it.
  await world.root(`ALTER ROLE ${username} PASSWORD '${password}'`);
  const server = { engine: 'postgresql', host, port, database, username, password };
  await admin.ok('POST', 'database/connections', { name: names.connection, description, ...server });
  const { connection } = names;
  await admin.ok('POST', 'database/roles', {
    name: names.databaseRole,
    connection,
    member_of: ['app_reader'],
    description,
    probe: false,
  });
  await admin.ok('POST', 'database/static-roles', { name: names.staticRole, connection, username: user, description });
  const lease = await admin.ok('POST', `database/roles/${names.databaseRole}/credentials`, { purpose: description });
  return { ...names, lease: lease.lease_id, username: lease.username };
}

/** What the ACME client has without an authority that answers. */
async function foundAcmeClient(admin: Client, tag: string) {
  const ids = { acmeAccount: `${tag}-acme`, dnsProvider: `${tag}-dns` };
  const settings = { kind: 'webhook', url: 'https://dns.example.com/hook', secret: 'a secret of the webhook' };
  await admin.ok('POST', 'acme/dns-providers', { name: ids.dnsProvider, settings });
  return { ...ids, acmeOrder: `aco_01${tag}00000000000000`, acmeCertificate: `acc_01${tag}00000000000000` };
}

/** A configured directory and an external account key. Without HTTPS no client registers: of an account there is a form only. */
async function foundAcmeServer(admin: Client, tag: string, role: string) {
  await admin.ok('PUT', `acme/directories/${role}`, { website: 'https://example.com/' });
  const key = await admin.ok('POST', 'acme/external-account-keys', { role, description: tag.toUpperCase() });
  return { externalAccountKey: key.key_id as string, subscriber: `asa_${`01${tag}`.padEnd(26, '0')}` };
}

function hashFor(tag: string): string {
  return Buffer.from(tag.padEnd(32, '.')).toString('hex').slice(0, 64);
}

async function foundAccess(admin: Client, tag: string, role: string) {
  const description = tag.toUpperCase();
  const policy = `${tag}-policy`;
  const principal = `${tag}-agent`;
  const conditions = { approval: true };
  await admin.ok('POST', 'policies', {
    name: policy,
    description,
    rules: [{ effect: 'allow', operations: ['pki.issue_certificate'], resources: ['pki/roles/**'], conditions }],
  });
  await admin.ok('POST', 'principals', { name: principal, kind: 'agent', policies: [policy], description });
  const key = await admin.ok('POST', `principals/${principal}/keys`, { description });
  const agent = admin.as(key.key);
  const token = await agent.ok('POST', 'tokens', { description, purpose: description });
  const waiting = await agent.call('POST', 'pki/certificates', { role, dns_names: [`agent.${tag}.example.com`] });
  if (waiting.body.code !== 'approval_required') throw new Error(`no approval: ${JSON.stringify(waiting.body)}`);
  return {
    key: String(key.key),
    token: String(token.token),
    ids: { principal, policy, key: key.id, token: token.id, approval: waiting.body.approval_id },
  };
}

/** A CSR of a certificate authority, PEM. */
export function authorityRequest(commonName: string): string {
  const isAuthority = extension(oids.basicConstraints, seq(leaf(0x01, Buffer.of(0xff))), true);
  return pem(makeRequest({ subject: [cn(commonName)], attributes: [extensionRequest(isAuthority)] }));
}
