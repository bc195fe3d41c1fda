import type { Command } from './command.ts';
import { flagName } from './flags.ts';
import type { Field } from './schema.ts';
import { quoteWord } from './shell-words.ts';

/** Values for examples where the schema has none, by field name: what a reader would type. */
const samples: Readonly<Record<string, string>> = {
  name: 'web',
  role: 'web',
  authority: 'services',
  parent: 'root',
  principal: 'ci',
  operation: 'pki.issue_certificate',
  resource: 'pki/roles/web',
  connection: 'orders',
  account: 'main',
  common_name: 'a.example',
  dns_names: 'a.example',
  dns_name: 'a.example',
  ip_addresses: '10.0.0.1',
  allowed_domains: 'example.com',
  ttl: '24h',
  increment: '1h',
  serial_number: '5f3a09c2',
  reason: 'superseded',
  csr: '@request.pem',
  certificate: '@certificate.pem',
  private_key: '@private_key.pem',
  password: '@password.txt',
  purpose: 'deploy',
  url: 'postgres://db.example:5432/orders',
  username: 'chancery',
};

/** Optional fields that an example should show, because the command makes little sense without them. */
const telling = new Set(['dns_names', 'allowed_domains']);

/** A command line that would do something; `given` fields are shown with their values where they are words. */
export function exampleLine(command: Command, given: Readonly<Record<string, unknown>> = {}): string {
  const words = ['chancery', command.area, command.verb];
  const { fields } = command.input();
  for (const name of command.positional) {
    const field = fields.find((candidate) => candidate.name === name);
    if (field !== undefined) words.push(quoteWord(wordOf(field, given)));
  }
  for (const field of fields) {
    if (command.positional.includes(field.name)) continue;
    if (!field.required && given[field.name] === undefined && !telling.has(field.name) && field.examples.length === 0)
      continue;
    if (field.type.kind === 'boolean') words.push(`--${given[field.name] === false ? 'no-' : ''}${flagName(field)}`);
    else words.push(`--${flagName(field)} ${quoteWord(wordOf(field, given))}`);
  }
  return words.join(' ');
}

function wordOf(field: Field, given: Readonly<Record<string, unknown>>): string {
  // Free text is not repeated: it may be a password, and this goes to stderr, so into logs.
  const isFree = field.type.kind === 'string' && field.type.pattern === undefined && field.type.values === undefined;
  const value = (isFree ? undefined : given[field.name]) ?? field.examples[0];
  const short = plainWord(Array.isArray(value) ? (value as unknown[])[0] : value);
  return short ?? sampleOf(field);
}

/** A short one-line text or number as a word; anything else has no place in an example. */
function plainWord(value: unknown): string | undefined {
  const text = typeof value === 'number' ? String(value) : value;
  return typeof text === 'string' && /^[ -~]{1,60}$/.test(text) ? text : undefined;
}

function sampleOf(field: Field): string {
  const type = field.type.kind === 'list' && field.type.item !== undefined ? field.type.item : field.type;
  if (type.values !== undefined) return type.values[0] ?? '';
  if (type.isDuration) return '24h';
  if (type.isTime) return '2027-01-01T00:00:00Z';
  if (type.kind === 'json') return `@${field.name}.json`;
  if (type.kind === 'integer' || type.kind === 'number') return String(type.minimum ?? 1);
  return samples[field.name] ?? field.name.replaceAll('_', '-');
}
