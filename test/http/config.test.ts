import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ConfigError, configFile, loadConfig } from '#chancery/config.ts';
import { clientSettings, settingsSchema, settingTexts } from '#chancery/settings.ts';

type Env = Record<string, string>;

/** Findings of a configuration that cannot be used. */
function findings(env: Env, cwd = '/nowhere'): readonly string[] {
  try {
    loadConfig(env, cwd);
  } catch (thrown) {
    assert.ok(thrown instanceof ConfigError);
    return thrown.findings;
  }
  return assert.fail('the configuration was accepted');
}

async function folderWith(context: TestContext, content: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'chancery-config-'));
  context.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, configFile), content);
  return folder;
}

test('without any setting the server listens on loopback and keeps everything below the working folder', () => {
  const config = loadConfig({ PATH: '/bin' }, '/srv');
  assert.deepEqual(config.http.listen, { host: '127.0.0.1', port: 8420 });
  assert.equal(config.publicUrl, 'http://127.0.0.1:8420');
  assert.equal(config.data, '/srv/.chancery');
  assert.deepEqual(config.storage, { kind: 'sqlite', file: '/srv/.chancery/chancery.db' });
  assert.deepEqual(config.rootKey, { file: '/srv/.chancery/root.key', text: undefined });
  assert.deepEqual(config.tls, { kind: 'off' });
  assert.equal(config.principalRate, null);
  assert.equal(config.http.accessLog, false);
});

test('nothing in the configuration can be changed afterwards', () => {
  const config = loadConfig({}, '/srv');
  assert.throws(() => Object.assign(config.http.rates, { open: null }), TypeError);
  assert.throws(() => Object.assign(config, { data: '/' }), TypeError);
});

test('plain HTTP is refused where other machines reach it, on both addresses, and allowed with TLS', () => {
  for (const host of ['0.0.0.0:8420', '[::]:8420', '192.0.2.1:8420', 'ca.example.com:8420']) {
    assert.match(findings({ CHANCERY_LISTEN: host }).join(), /plain HTTP/);
    assert.match(findings({ CHANCERY_ADMIN_LISTEN: host }).join(), /CHANCERY_ADMIN_LISTEN.*plain HTTP/);
    assert.doesNotThrow(() => loadConfig({ CHANCERY_LISTEN: host, CHANCERY_TLS: 'self' }, '/srv'));
    const files = { CHANCERY_TLS_CERT: 'a.pem', CHANCERY_TLS_KEY: 'a.key' };
    assert.doesNotThrow(() => loadConfig({ CHANCERY_LISTEN: host, ...files }, '/srv'));
  }
  for (const host of ['localhost:1', '127.1.2.3:1', '[::1]:1'])
    assert.doesNotThrow(() => loadConfig({ CHANCERY_LISTEN: host }, '/srv'));
});

test('the address for relying parties may be plain HTTP anywhere, and is the one that certificates name', () => {
  const env = { CHANCERY_PUBLIC_URL: 'https://ca.example.com', CHANCERY_TLS: 'self', CHANCERY_LISTEN: '0.0.0.0:8420' };
  const pkiUrl = (more: Env) => loadConfig({ ...env, ...more }, '/srv').pkiUrl;
  assert.equal(pkiUrl({}), 'https://ca.example.com');
  assert.equal(pkiUrl({ CHANCERY_PUBLIC_LISTEN: '0.0.0.0:80' }), 'http://ca.example.com');
  assert.equal(pkiUrl({ CHANCERY_PUBLIC_LISTEN: '[::]:8080' }), 'http://ca.example.com:8080');
  const named = { CHANCERY_PUBLIC_LISTEN: '127.0.0.1:8080', CHANCERY_PKI_URL: 'http://pki.example.com/' };
  assert.equal(pkiUrl(named), 'http://pki.example.com');
  assert.equal(
    loadConfig({ CHANCERY_LISTEN: '[::1]:8420', CHANCERY_PUBLIC_LISTEN: '[::1]:8421' }, '/srv').pkiUrl,
    'http://[::1]:8421',
  );
});

test('settings that contradict each other are all named', () => {
  const named = findings({
    CHANCERY_TLS: 'self',
    CHANCERY_TLS_CERT: 'a.pem',
    CHANCERY_ROOT_KEY: 'k',
    CHANCERY_ROOT_KEY_FILE: 'f',
  });
  assert.equal(named.length, 3);
  assert.match(named.join('\n'), /belong together[\s\S]*makes its own[\s\S]*both name a root key/);
});

test('an unknown name is refused with the nearest known one, in the environment and in the file', async (context) => {
  assert.deepEqual(findings({ CHANCERY_LISTENS: 'x' }), [
    'CHANCERY_LISTENS in the environment is not a setting; did you mean CHANCERY_LISTEN?',
  ]);
  assert.match(findings({ CHANCERY_QQQQQQQQ: 'x' }).join(), /is not a setting\.$/);
  const folder = await folderWith(context, '{"CHANCERY_STORGE": "sqlite:x"}');
  assert.match(findings({}, folder).join(), /CHANCERY_STORGE in chancery\.config\.json .*CHANCERY_STORAGE\?/);
});

test('settings of clients in the same environment are no mistake', () => {
  const env = Object.fromEntries(Object.keys(clientSettings).map((name) => [name, 'x']));
  assert.doesNotThrow(() => loadConfig(env, '/srv'));
});

test('the environment goes before the file, and an empty variable is none', async (context) => {
  const file = {
    CHANCERY_LISTEN: '127.0.0.1:1',
    CHANCERY_LOG_LEVEL: 'debug',
    CHANCERY_BODY_LIMIT: 2048,
    CHANCERY_ACCESS_LOG: true,
  };
  const folder = await folderWith(context, JSON.stringify(file));
  const config = loadConfig({ CHANCERY_LISTEN: '127.0.0.1:2', CHANCERY_LOG_LEVEL: '' }, folder);
  assert.equal(config.http.listen.port, 2);
  assert.equal(config.log.level, 'debug');
  assert.equal(config.http.bodyLimit, 2048);
  assert.equal(config.http.accessLog, true);
});

test('the file may hold lists as lists', async (context) => {
  const folder = await folderWith(context, '{"CHANCERY_TRUSTED_PROXIES": ["10.0.0.0/8", "::1"]}');
  assert.deepEqual(loadConfig({}, folder).http.trustedProxies, ['10.0.0.0/8', '::1']);
});

test('a file that is no JSON object of settings is refused, without a word of what is in it', async (context) => {
  for (const content of ['{"CHANCERY_STORAGE": "canary', '[]', '"canary"', '{"CHANCERY_STORAGE": {"canary": 1}}', '']) {
    const text = findings({}, await folderWith(context, content)).join();
    assert.match(text, /chancery\.config\.json/);
    assert.doesNotMatch(text, /canary/);
  }
});

test('the root key is not taken from the file', async (context) => {
  const folder = await folderWith(context, '{"CHANCERY_ROOT_KEY": "canary"}');
  const text = findings({}, folder).join();
  assert.match(text, /CHANCERY_ROOT_KEY is taken from the environment only/);
  assert.doesNotMatch(text, /canary/);
  assert.equal(loadConfig({ CHANCERY_ROOT_KEY: 'canary' }, '/srv').rootKey.text, 'canary');
});

test('every value that cannot be used is named, and no value is repeated', () => {
  const bad: Env = {
    CHANCERY_LISTEN: 'canary',
    CHANCERY_PUBLIC_URL: 'https://user:canary@ca.example.com',
    CHANCERY_TLS: 'canary',
    CHANCERY_ADMIN_LISTEN: '127.0.0.1:99999',
    CHANCERY_TRUSTED_PROXIES: '10.0.0.0/99',
    CHANCERY_STORAGE: 'mysql://root:canary@db/x',
    CHANCERY_LOG_LEVEL: 'canary',
    CHANCERY_ACCESS_LOG: 'canary',
    CHANCERY_BODY_LIMIT: '-1',
    CHANCERY_REQUEST_TIMEOUT: '1y',
    CHANCERY_MAX_CONNECTIONS: 'canary',
    CHANCERY_RATE_OPEN: '1',
    CHANCERY_RATE_EXEMPT: 'canary',
  };
  const named = findings(bad);
  assert.deepEqual(
    named.map((finding) => finding.split(' ')[0]),
    Object.keys(bad),
  );
  assert.doesNotMatch(named.join(), /canary/);
});

test('a public URL is an origin: no path, no query', () => {
  assert.equal(loadConfig({ CHANCERY_PUBLIC_URL: 'https://ca.example.com/' }, '/').publicUrl, 'https://ca.example.com');
  for (const url of ['https://ca.example.com/x', 'https://ca.example.com?x', 'ftp://ca.example.com', 'ca.example.com'])
    assert.match(findings({ CHANCERY_PUBLIC_URL: url }).join(), /CHANCERY_PUBLIC_URL is not/);
});

test('storage is a file or a postgres URL, with relative files below the working folder', () => {
  assert.deepEqual(loadConfig({ CHANCERY_STORAGE: 'sqlite:x.db' }, '/srv').storage, {
    kind: 'sqlite',
    file: '/srv/x.db',
  });
  const url = 'postgres://chancery:secret@db/chancery';
  assert.deepEqual(loadConfig({ CHANCERY_STORAGE: url }, '/srv').storage, { kind: 'postgres', url });
});

test('rates, limits and times are read in their units', () => {
  const { http, principalRate } = loadConfig(
    {
      CHANCERY_RATE_OPEN: 'off',
      CHANCERY_RATE_FAILED_AUTH: '0.5:10',
      CHANCERY_RATE_PRINCIPAL: '200:1000',
      CHANCERY_REQUEST_TIMEOUT: '1m',
      CHANCERY_SHUTDOWN_TIMEOUT: '5',
    },
    '/srv',
  );
  assert.equal(http.rates.open, null);
  assert.deepEqual(http.rates.failedAuthentication, { perSecond: 0.5, burst: 10 });
  assert.deepEqual(principalRate, { perSecond: 200, burst: 1000 });
  assert.deepEqual([http.requestTimeout, http.shutdownTimeout], [60_000, 5000]);
});

test('every setting is explained, and its default and its example are values that it takes', () => {
  for (const { name, about, example, secret, ...texts } of settingTexts()) {
    assert.match(about, /\.$/, name);
    const schema = settingsSchema.shape[name];
    assert.ok(secret === true || schema.safeParse(example).success, `${name}: example`);
    assert.ok(texts.default === undefined || schema.safeParse(texts.default).success, `${name}: default`);
    assert.notEqual(
      texts.default === undefined,
      texts.otherwise === undefined,
      `${name}: one of default and otherwise`,
    );
  }
});
