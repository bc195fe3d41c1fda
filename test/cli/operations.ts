import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { duration } from '#core/duration.ts';
import { AppError } from '#core/errors.ts';
import { name } from '#core/ids.ts';
import { bind, defineOperation } from '#core/operation.ts';
import { cutPage, decodeCursor, nextCursor, pageInput } from '#core/page.ts';

/** Small operations with the shapes that real ones have: what the CLI is tested against. */

const certificatePem = '-----BEGIN CERTIFICATE-----\nMIIBleaf\n-----END CERTIFICATE-----\n';
const issuerPem = '-----BEGIN CERTIFICATE-----\nMIIBissuer\n-----END CERTIFICATE-----\n';
const keyPem = '-----BEGIN PRIVATE KEY-----\nMIGHkey\n-----END PRIVATE KEY-----\n';

const roleOutput = z.strictObject({
  name: z.string(),
  authority: z.string(),
  allowed_domains: z.array(z.string()),
  allow_wildcards: z.boolean(),
  max_ttl: z.string(),
  description: z.string().nullable(),
});

const createRole = defineOperation({
  id: 'pki.create_role',
  title: 'Create a role',
  summary: 'Says what may be issued under a name. Requests are checked against the role before anything is signed.',
  input: z.strictObject({
    name: name.describe('Name of the role'),
    authority: name.describe('Authority that signs'),
    allowed_domains: z.array(z.string().max(253)).max(100).default([]).describe('Domains that certificates may name'),
    allow_wildcards: z.boolean().default(false).describe('Whether *.domain may be issued'),
    key_types: z
      .array(z.enum(['ec-p256', 'ec-p384', 'ed25519', 'rsa-2048']))
      .default(['ec-p256'])
      .describe('Key types that are accepted'),
    max_ttl: duration.prefault('30d').describe('Longest life'),
    max_path_length: z.number().int().min(0).max(16).optional().describe('How many authorities may follow'),
    name_constraints: z
      .strictObject({ permitted: z.array(z.string()).optional() })
      .optional()
      .describe('RFC 5280 §4.2.1.10'),
    description: z.string().max(500).nullable().optional().describe('What it is for'),
  }),
  output: roleOutput,
  http: { method: 'POST', path: '/pki/roles', status: 201 },
  cli: { arguments: ['name'] },
  resource: (input) => `pki/roles/${input.name}`,
  effect: 'additive',
  run: (_grant, input) =>
    Promise.resolve({
      output: {
        name: input.name,
        authority: input.authority,
        allowed_domains: input.allowed_domains,
        allow_wildcards: input.allow_wildcards,
        max_ttl: `${input.max_ttl}s`,
        description: input.description ?? null,
      },
    }),
});

const listRoles = defineOperation({
  id: 'pki.list_roles',
  title: 'List roles',
  summary: 'Roles by name.',
  input: z.strictObject({ authority: name.optional().describe('Of this authority only'), ...pageInput }),
  output: z.strictObject({ roles: z.array(roleOutput), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/pki/roles' },
  cli: { columns: ['name', 'authority', 'max_ttl', 'allowed_domains'] },
  resource: () => 'pki/roles/*',
  effect: 'read',
  run: (_grant, input) => {
    const roles = ['api', 'web'].map((role) => ({
      name: role,
      authority: 'services',
      allowed_domains: ['a.example', 'b.example'],
      allow_wildcards: false,
      max_ttl: '30d',
      description: null,
    }));
    return Promise.resolve({
      output: { roles: input.authority === 'empty' ? [] : roles.slice(0, input.limit), next_cursor: null },
    });
  },
});

const deleteRole = defineOperation({
  id: 'pki.delete_role',
  title: 'Delete a role',
  summary: 'Takes a role away; certificates that were issued stay valid.',
  input: z.strictObject({ name: name.describe('Name of the role') }),
  output: z.strictObject({}),
  http: { method: 'DELETE', path: '/pki/roles/{name}', status: 204 },
  resource: (input) => `pki/roles/${input.name}`,
  effect: 'destructive',
  run: () => Promise.resolve({ output: {} }),
});

/** What each role of the test does instead of issuing. */
const refusals: Readonly<Record<string, () => AppError>> = {
  secret: () =>
    new AppError('denied', 'The policy "staging" does not allow pki.issue_certificate on pki/roles/secret.', {
      hint: 'Ask for pki/roles/web, or have a rule added that allows pki/roles/secret.',
      members: { nearest_rule: 'staging/1', lacks: { resources: ['pki/roles/secret'] } },
    }),
  guarded: () =>
    new AppError('approval_required', 'This request needs an approval.', {
      hint: 'Have somebody approve apr_1, then repeat the request with --approval-id apr_1.',
    }),
  missing: () =>
    new AppError('not_found', 'There is no role "missing".', { hint: 'pki.list_roles shows those that exist.' }),
  strict: () =>
    new AppError('refused', 'The role "strict" refuses 2 parts of the request.', {
      hint: 'Ask for at most 1h, and for names below example.com.',
      details: [
        { at: 'max_ttl', message: '24h was asked for, and 1h is allowed' },
        { at: 'allowed_domains', message: 'evil.test is not below example.com' },
      ],
    }),
  narrow: () =>
    new AppError('refused', 'evil.test is not below example.com.', {
      hint: 'Ask for names below example.com.',
      details: [{ at: '/dns_names/0', message: 'evil.test is not below example.com.' }],
      members: {
        refusals: [{ rule: 'allowed_domains', at: '/dns_names/0', message: 'evil.test is not below example.com.' }],
        nearest_request: {
          role: 'narrow',
          dns_names: ['a b.example.com', '@.example.com'],
          csr: 'first\nsecond\n',
          ttl: '1h',
        },
      },
    }),
  busy: () => new AppError('rate_limited', 'Too many requests of this principal.', { retryAfter: 7 }),
  hostile: () => new AppError('refused', 'no\u001b[2J\u202e\nerror: done', { hint: 'a\u0007b' }),
};

const issueCertificate = defineOperation({
  id: 'pki.issue_certificate',
  title: 'Issue a certificate',
  summary:
    'Issues a certificate under a role. Give a CSR to keep the key where it is; without one, a key is made, returned once, and kept nowhere.',
  input: z.strictObject({
    role: name.describe('Role that says what may be issued'),
    common_name: z.string().max(64).optional().describe('CN of the subject'),
    dns_names: z.array(z.string().max(253)).max(100).optional().describe('DNS names (subject alternative names)'),
    uris: z.array(z.string().max(2048)).max(100).optional().describe('URIs, for example SPIFFE IDs'),
    ttl: duration.optional().describe('Life; default: default_ttl of the role'),
    csr: z.string().max(65_536).optional().describe('PKCS#10 request, PEM'),
    key_type: z.enum(['ec-p256', 'ec-p384', 'ed25519', 'rsa-2048']).optional().describe('Type of the key that is made'),
    purpose: z.string().max(200).optional().describe('Why it is needed'),
  }),
  output: z.strictObject({
    serial_number: z.string().describe('Lower-case hex'),
    certificate: z.string().describe('PEM'),
    chain: z.array(z.string()).describe('Certificates above it, PEM, nearest first'),
    private_key: z.string().optional().describe('PKCS#8, PEM. Shown once and kept nowhere'),
    der: z.string().optional().describe('The certificate, base64'),
    dns_names: z.array(z.string()),
    not_before: z.string(),
    not_after: z.string(),
  }),
  http: { method: 'POST', path: '/pki/certificates', status: 201 },
  resource: (input) => `pki/roles/${input.role}`,
  effect: 'additive',
  sensitive: ['private_key'],
  run: async (_grant, input) => {
    const refusal = refusals[input.role];
    if (refusal !== undefined) throw refusal();
    if (input.role === 'slow') await sleep(5000, undefined, { ref: false });
    if (input.role === 'broken') throw new Error('password=hunter2');
    return {
      output: {
        serial_number: '5f3a09c2',
        certificate: certificatePem,
        chain: [issuerPem],
        ...(input.csr === undefined ? { private_key: keyPem } : {}),
        ...(input.role === 'der' ? { der: 'AAECAw==' } : {}),
        dns_names: input.dns_names ?? [],
        not_before: '2026-11-21T09:59:30Z',
        not_after: '2026-11-22T09:59:30Z',
      },
    };
  },
});

const certificate = z.strictObject({
  serial_number: z.string(),
  subject: z.string(),
  status: z.enum(['valid', 'revoked']),
  not_after: z.string(),
});

const listCertificates = defineOperation({
  id: 'pki.list_certificates',
  title: 'List certificates',
  summary: 'Certificates, newest first.',
  input: z.strictObject({ status: z.enum(['valid', 'revoked']).optional(), ...pageInput }),
  output: z.strictObject({ certificates: z.array(certificate), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/pki/certificates' },
  resource: () => 'pki/certificates/*',
  effect: 'read',
  run: (_grant, input) => {
    const total = input.status === 'revoked' ? 5000 : 3;
    const from = input.cursor === undefined ? 0 : decodeCursor(input.cursor, 'number') + 1;
    const rows = Array.from(
      { length: Math.max(0, Math.min(input.limit + 1, total - from)) },
      (_, index) => from + index,
    );
    const page = cutPage(rows, input.limit, (row) => row);
    const certificates = page.items.map((row) => ({
      serial_number: row.toString(16).padStart(4, '0'),
      subject: row === 1 ? 'CN=\u202egpj.exe\u202c\u001b]0;pwned\u0007\nCN=two' : `CN=host-${row}.example`,
      status: 'valid' as const,
      not_after: '2026-11-22T09:59:30Z',
    }));
    return Promise.resolve({ output: { certificates, next_cursor: page.next_cursor } });
  },
});

const getCertificate = defineOperation({
  id: 'pki.get_certificate',
  title: 'Get a certificate',
  summary: 'One certificate by its serial number.',
  input: z.strictObject({
    serial_number: z
      .string()
      .regex(/^[0-9a-f]{1,40}$/)
      .describe('Lower-case hex'),
  }),
  output: certificate.extend({
    names: z.array(z.string()),
    revoked_at: z.string().nullable(),
    urls: z.strictObject({ ocsp: z.string(), crl: z.string() }),
    issuers: z.array(z.strictObject({ number: z.number(), state: z.string() })),
    certificate: z.string().describe('PEM'),
  }),
  http: { method: 'GET', path: '/pki/certificates/{serial_number}' },
  resource: () => 'pki/certificates/*',
  effect: 'read',
  run: (_grant, input) =>
    Promise.resolve({
      output: {
        serial_number: input.serial_number,
        subject: 'CN=\u202egpj.exe\u202c\u001b]0;pwned\u0007\nCN=two',
        status: 'valid' as const,
        not_after: '2026-11-22T09:59:30Z',
        names: ['dns:\u001b[31mred.example', 'dns:ok.example'],
        revoked_at: null,
        urls: { ocsp: 'http://ca.example/ocsp', crl: 'http://ca.example/crl' },
        issuers: [
          { number: 1, state: 'retiring' },
          { number: 2, state: 'active' },
        ],
        certificate: `${certificatePem}\u001b[2Jtail\n`,
      },
    }),
});

/** Says back what arrived, so that tests see how words become JSON. */
const echo = defineOperation({
  id: 'test.echo_fields',
  title: 'Echo the fields',
  summary: 'Answers with the request as JSON text.',
  input: z.strictObject({
    text: z.string().optional().describe('Any text'),
    texts: z.array(z.string()).optional().describe('Several texts'),
    dns_names: z.array(z.string()).optional().describe('Names'),
    count: z.number().int().min(1).max(10).optional().describe('A whole number'),
    ratio: z.number().optional().describe('A number'),
    enabled: z.boolean().default(true).describe('A switch'),
    level: z.enum(['low', 'high']).optional().describe('A choice'),
    note: z.string().nullable().optional().describe('Text or none'),
    rules: z
      .array(z.strictObject({ effect: z.string() }))
      .optional()
      .describe('Records'),
    either: z
      .union([z.string(), z.strictObject({ a: z.number() })])
      .optional()
      .describe('Text or a record'),
    field: z.string().optional().describe('Named like an option of the CLI'),
    ttl: duration.optional().describe('A time'),
  }),
  output: z.strictObject({ said: z.string() }),
  http: { method: 'POST', path: '/test/echo' },
  resource: () => 'test/echo',
  effect: 'read',
  run: (_grant, input) => Promise.resolve({ output: { said: JSON.stringify(input) } }),
});

export const operations = bind(
  [createRole, listRoles, deleteRole, issueCertificate, listCertificates, getCertificate, echo],
  {},
);
