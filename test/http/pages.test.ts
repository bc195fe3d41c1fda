import assert from 'node:assert/strict';
import { test } from 'node:test';
import { globalFlags } from '#cli/flags.ts';
import { startServer } from './harness.ts';

/** The browser's own module: JavaScript, so that its types are said here. */
const { cliCommand, cliOptions, curlCommand, shellWord } = (await import(
  new URL('../../src/http/docs/commands.js', import.meta.url).href
)) as {
  cliCommand: (cli: object | undefined, input: object) => string | undefined;
  cliOptions: string[];
  curlCommand: (request: object) => string;
  shellWord: (text: string) => string;
};

const anonymous = { token: null };

test('the reference is served with all its files, and loads nothing from elsewhere', async (context) => {
  const { call } = await startServer(context);
  const queue = ['/docs'];
  const loaded = new Map<string, string>();
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (loaded.has(path)) continue;
    const { status, text } = await call('GET', path, anonymous);
    assert.equal(status, 200, path);
    loaded.set(path, text);
    const attributes = [...text.matchAll(/<(?:link rel="stylesheet" href|script type="module" src)="([^"]+)"/g)];
    const imports = [...text.matchAll(/from '\.\/([^']+)'/g)];
    queue.push(...attributes.map(([, url = '']) => url), ...imports.map(([, file = '']) => `/docs/${file}`));
  }
  assert.deepEqual([...loaded.keys()].sort(), [
    '/docs',
    '/docs/commands.js',
    '/docs/docs.css',
    '/docs/docs.js',
    '/docs/dom.js',
    '/docs/operation.css',
    '/docs/schema.js',
    '/docs/try-it.js',
  ]);
  for (const [path, text] of loaded)
    assert.doesNotMatch(text, /(?:src|href)="https?:|url\(|@import|innerHTML|eval\(/, path);
});

test('pages carry a policy that allows only their own files, and no page may frame them', async (context) => {
  const { call } = await startServer(context);
  const { headers } = await call('GET', '/docs', anonymous);
  const policy = headers.get('content-security-policy') ?? '';
  for (const directive of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"])
    assert.ok(policy.includes(directive), directive);
  assert.doesNotMatch(policy, /unsafe/);
  assert.equal(headers.get('x-content-type-options'), 'nosniff');
  assert.equal(headers.get('referrer-policy'), 'no-referrer');
});

test('a page that did not change is not sent again', async (context) => {
  const { call } = await startServer(context);
  const { headers } = await call('GET', '/openapi.json', anonymous);
  const tag = headers.get('etag') ?? '';
  const again = await call('GET', '/openapi.json', { token: null, headers: { 'if-none-match': tag } });
  assert.deepEqual([again.status, again.text], [304, '']);
});

test('pages are compressed for clients that take it', async (context) => {
  const { url } = await startServer(context);
  const plain = await fetch(`${url}/docs/docs.js`, { headers: { 'accept-encoding': 'identity' } });
  const zipped = await fetch(`${url}/docs/docs.js`, { headers: { 'accept-encoding': 'gzip' } });
  assert.equal(plain.headers.get('content-encoding'), null);
  assert.equal(zipped.headers.get('content-encoding'), 'gzip');
  assert.equal(await zipped.text(), await plain.text());
});

test('the page of errors is where the type of every problem document points', async (context) => {
  const { call } = await startServer(context);
  const { json } = await call('GET', '/v1/nothing');
  const { status, headers } = await call('GET', String(json['type']).split('#')[0] ?? '', anonymous);
  assert.deepEqual([status, headers.get('content-type')], [200, 'text/html; charset=utf-8']);
});

test('the commands to copy hold the request and never the token', () => {
  const request = { method: 'POST', url: 'http://127.0.0.1:8420/v1/x', body: { name: "o'hara" }, open: false };
  assert.equal(
    curlCommand(request),
    'curl -sS -X POST http://127.0.0.1:8420/v1/x \\\n  -H "Authorization: Bearer $CHANCERY_TOKEN" \\\n' +
      `  -H 'Content-Type: application/json' \\\n  -d '{"name":"o'\\''hara"}'`,
  );
  const cli = { command: 'pki issue-certificate', arguments: ['role'] };
  assert.equal(
    cliCommand(cli, { role: 'web', dns_names: ['a.example', 'b.example'], force: true, wildcard: false, note: 'a b' }),
    "chancery pki issue-certificate web --dns-names a.example --dns-names b.example --with-force --no-wildcard --note 'a b'",
  );
  assert.equal(cliCommand(cli, {}), "chancery pki issue-certificate '<role>'");
  assert.equal(cliCommand(undefined, {}), undefined);
  assert.equal(shellWord('$(id)'), "'$(id)'");
});

test('the page knows the options of the CLI that a field must not be called', () => {
  assert.deepEqual(
    cliOptions,
    globalFlags.map(({ name }) => name),
  );
});
