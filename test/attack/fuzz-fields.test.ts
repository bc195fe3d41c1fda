import { test } from 'node:test';
import * as fc from 'fast-check';
import { bounded, openFuzzer } from './fuzz.ts';

/** Names, lives, cursors, globs and filters. */

const call = (method: string, path: string, body?: unknown): Buffer =>
  Buffer.from(JSON.stringify({ method, path, ...(body === undefined ? {} : { body }) }));

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 80 }),
  fc.string({ maxLength: 80 }),
  fc.stringMatching(/^[a-z0-9*._:/@%-]{1,80}$/),
);

/** Texts near what each parser takes. */
const duration = fc.oneof(
  text,
  fc.double(),
  fc.bigInt().map(String),
  fc
    .array(fc.tuple(fc.nat(2_000_000_000), fc.constantFrom('y', 'w', 'd', 'h', 'm', 's', 'ms', 'µ', 'S', '')), {
      maxLength: 8,
    })
    .map((parts) => parts.map(([count, unit]) => `${count}${unit}`).join('')),
);
const time = fc.oneof(
  text,
  fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  fc.constantFrom('9999-12-31T23:59:60Z', '-000001-01-01T00:00:00Z'),
);
const cursor = fc.oneof(
  text,
  fc.json({ maxDepth: 3 }).map((json) => Buffer.from(json).toString('base64url')),
  fc
    .constantFrom('1e999', '-1', '0.5', '"a:b"', '":"', '"9e9:x"', '"NaN:x"', '"\\u0000"', '{"__proto__":1}')
    .map((json) => Buffer.from(json).toString('base64url')),
);

test('names, lives, cursors, globs and filters of any kind have a result or a clear problem', async (context) => {
  const { knock, tried, target } = await openFuzzer(context);
  await target.server.ok('POST', 'pki/certificates', { role: 'web', dns_names: ['a.example.com'] });
  const query = (path: string, fields: Readonly<Record<string, unknown>>): Buffer => {
    const pairs = Object.entries(fields).filter(([, value]) => value !== undefined);
    const encoded = pairs.map(([field, value]) => `${field}=${encodeURIComponent(String(value).toWellFormed())}`);
    return call('GET', `${path}?${encoded.join('&')}`);
  };
  const plan = fc.record(
    {
      dns_names: fc.array(text, { maxLength: 3 }),
      ip_addresses: fc.array(fc.oneof(text, fc.ipV4Extended(), fc.ipV6()), { maxLength: 3 }),
      uris: fc.array(fc.oneof(text, fc.webUrl()), { maxLength: 3 }),
      emails: fc.array(fc.oneof(text, fc.emailAddress()), { maxLength: 3 }),
      common_name: text,
      ttl: duration,
      not_after: time,
      key_type: fc.oneof(text, fc.constantFrom('ec-p256', 'rsa-2048')),
    },
    { requiredKeys: [] },
  );
  const lists = [
    'pki/certificates',
    'pki/certificates/expiring',
    'pki/roles',
    'pki/authorities',
    'principals',
    'policies',
    'approvals',
    'tokens',
    'audit/events',
    'pki/compromised-keys',
  ];
  const filters = fc.record(
    {
      name: text,
      principal: text,
      resource: text,
      operation: text,
      since: time,
      until: time,
      expires_within: duration,
      within: duration,
      limit: fc.oneof(text, fc.integer()),
    },
    { requiredKeys: [] },
  );
  const glob = fc.oneof(
    text,
    fc.stringMatching(/^[a-z*._/]{1,60}$/),
    fc.constant('*'.repeat(200)),
    fc.constant('**/'.repeat(80)),
  );
  const input = fc.oneof(
    plan.map((fields) => call('POST', 'pki/certificates/plan', { role: 'web', ...fields })),
    fc.tuple(fc.constantFrom(...lists), cursor).map(([path, value]) => query(path, { cursor: value })),
    fc.tuple(fc.constantFrom(...lists), filters).map(([path, fields]) => query(path, fields)),
    fc
      .tuple(glob, glob)
      .map(([operation, resource]) => call('POST', 'tokens', { operations: [operation], resources: [resource] })),
    fc.tuple(text, text).map(([operation, resource]) => call('POST', 'policies/test', { operation, resource })),
    fc.json().map((body) => call('POST', 'pki/certificates/validate', JSON.parse(body))),
  );
  await fc.assert(
    fc.asyncProperty(input, async (each) => void (await knock('call', each))),
    { ...bounded, interruptAfterTimeLimit: 6000 },
  );
  context.diagnostic(`${tried()} requests`);
});
