import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import {
  DnsProviderError,
  type DnsProvider,
  type DnsProviderDeps,
  dnsProviderSettings,
  splitSettings,
} from '#acme/dns/contract.ts';
import { createPerspective } from '#acme/dns/perspective.ts';
import { createVisibility, isTxtAtAuthorities, isTxtVisible } from '#acme/dns/propagation.ts';
import { createDnsProvider } from '#acme/dns/provider.ts';
import { signatureV4 } from '#acme/dns/signature-v4.ts';
import { createGuardedFetch } from '#outbound/guarded-fetch.ts';
import { startBind } from '#test/bind.ts';
import { startDnsServer } from '#test/dns-server.ts';
import { serveHttp } from './challenge-world.ts';

const loopback = ['127.0.0.0/8'];
const deps: DnsProviderDeps = {
  outbound: createGuardedFetch({ allowPrivate: loopback, timeoutMs: 5000, maxBytes: 1_000_000 }),
  allowedRanges: loopback,
  now: Date.now,
};

function provider(settings: object, more: Partial<DnsProviderDeps> = {}): DnsProvider {
  return createDnsProvider(dnsProviderSettings.parse(settings), { ...deps, ...more });
}

/** The message of the error, with `final` where trying again makes no sense; `ok` without one. */
function failureOf(work: Promise<void>): Promise<string> {
  return work.then(
    () => 'ok',
    (thrown: unknown) =>
      thrown instanceof DnsProviderError
        ? `${thrown.isTemporary ? '' : 'final: '}${thrown.message}`
        : `not ours: ${String(thrown)}`,
  );
}

const name = '_acme-challenge.www.example.test';
const key = { name: 'updater', algorithm: 'hmac-sha256', secret: Buffer.alloc(32, 7).toString('base64') };
const longKey = { name: 'updater-512', algorithm: 'hmac-sha512', secret: Buffer.alloc(64, 9).toString('base64') };

test('RFC 2136 and 8945: BIND takes updates signed with TSIG, finds the zone, and gives the records', async (context) => {
  const bind = await startBind('example.test', [key, longKey]);
  context.after(() => bind.close());
  const view = createPerspective([{ host: '127.0.0.1', port: bind.port }]);
  const texts = async () => [...(await view.texts(name, AbortSignal.timeout(5000)))].sort();
  const settings = {
    kind: 'rfc2136',
    server: '127.0.0.1',
    port: bind.port,
    tsig_key_name: key.name,
    tsig_secret: key.secret,
  };

  const short = provider(settings);
  const long = provider({
    ...settings,
    zone: 'example.test',
    tsig_algorithm: 'hmac-sha512',
    tsig_key_name: longKey.name,
    tsig_secret: longKey.secret,
  });
  await short.present(name, 'one');
  await long.present(name, 'two');
  await short.present(name, 'one');
  assert.deepEqual(await texts(), ['one', 'two']);
  assert.equal(await isTxtVisible({ name, value: 'two' }, [view]), true);
  await short.remove(name, 'one');
  await short.remove(name, 'never there');
  assert.deepEqual(await texts(), ['two']);
  await long.remove(name, 'two');
  assert.deepEqual(await texts(), []);

  const wrongSecret = provider({ ...settings, tsig_secret: Buffer.alloc(32, 8).toString('base64') });
  assert.match(await failureOf(wrongSecret.present(name, 'x')), /^final: .*the TSIG secret is wrong/);
  assert.match(
    await failureOf(provider({ ...settings, tsig_key_name: 'nobody' }).present(name, 'x')),
    /^final: .*does not know the TSIG key/,
  );
  const wrongClock = provider(settings, { now: () => Date.now() - 3_600_000 });
  assert.match(await failureOf(wrongClock.present(name, 'x')), /clocks/);
  assert.match(await failureOf(short.present('_acme-challenge.other.test', 'x')), /^final: .*in charge of no zone/);
  assert.match(
    await failureOf(provider({ ...settings, zone: 'other.test' }).present('_acme-challenge.other.test', 'x')),
    /^final: .*in charge/,
  );
  const unguarded = provider(settings, { allowedRanges: [] });
  assert.match(await failureOf(unguarded.present(name, 'x')), /^final: .*CHANCERY_OUTBOUND_ALLOW/);
  assert.deepEqual(await texts(), []);
});

test('an answer to an update that is not signed with the key is not believed', async (context) => {
  const liar = await startDnsServer();
  context.after(() => liar.close());
  liar.override = ({ packet }) => {
    const answer = Buffer.from(packet.subarray(0, 12));
    answer.writeUInt16BE(0xa8_00, 2);
    for (const at of [4, 6, 8, 10]) answer.writeUInt16BE(0, at);
    return { raw: [answer] };
  };
  const settings = {
    kind: 'rfc2136',
    server: '127.0.0.1',
    port: liar.port,
    zone: 'example.test',
    tsig_key_name: key.name,
    tsig_secret: key.secret,
  };
  assert.match(await failureOf(provider(settings).present(name, 'x')), /is not signed with the TSIG key/);
});

interface Call {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

async function serveApi(
  context: TestContext,
  answer: (call: Call) => { status?: number; body?: string },
): Promise<{ url: string; calls: Call[] }> {
  const calls: Call[] = [];
  const port = await serveHttp(context, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const call = { method, url, headers, body: Buffer.concat(chunks).toString() };
      calls.push(call);
      const { status = 200, body = '' } = answer(call);
      response.writeHead(status).end(body);
    });
  });
  return { url: `http://127.0.0.1:${port}`, calls };
}

test('acme-dns: a value is posted with the credentials of the registration', async (context) => {
  let status = 200;
  const api = await serveApi(context, ({ body }) => ({
    status,
    body: status === 200 ? JSON.stringify({ txt: JSON.parse(body).txt }) : '{"error":"forbidden"}',
  }));
  const acmeDns = provider({
    kind: 'acme-dns',
    base_url: `${api.url}/`,
    subdomain: 'sub-1',
    username: 'user-1',
    password: 'secret-1',
  });
  await acmeDns.present(name, 'v'.repeat(43));
  await acmeDns.remove(name, 'v'.repeat(43));
  const [call, ...others] = api.calls;
  assert.equal(others.length, 0);
  assert.deepEqual([call?.method, call?.url], ['POST', '/update']);
  assert.deepEqual([call?.headers['x-api-user'], call?.headers['x-api-key']], ['user-1', 'secret-1']);
  assert.deepEqual(JSON.parse(call?.body ?? ''), { subdomain: 'sub-1', txt: 'v'.repeat(43) });
  status = 401;
  assert.equal(await failureOf(acmeDns.present(name, 'x')), 'final: acme-dns refuses with status 401: forbidden.');
});

test('Cloudflare: the longest zone is found, one record is added and that one taken away', async (context) => {
  const [zone, record] = ['a'.repeat(32), 'b'.repeat(32)];
  const records: { id: string; name: string; content: string }[] = [{ id: 'c'.repeat(32), name, content: '"else"' }];
  const api = await serveApi(context, ({ method, url, headers, body }) => {
    const ok = (result: unknown) => ({ body: JSON.stringify({ success: true, errors: [], result }) });
    if (headers.authorization !== 'Bearer token-1')
      return {
        status: 403,
        body: JSON.stringify({ success: false, errors: [{ code: 9109, message: 'Invalid access token' }] }),
      };
    if (url.startsWith('/client/v4/zones?'))
      return ok(url.endsWith('name=example.test') ? [{ id: zone, name: 'example.test' }] : []);
    if (method === 'POST') {
      const made = JSON.parse(body) as { name: string; content: string };
      if (records.some((each) => each.content === made.content))
        return {
          status: 400,
          body: JSON.stringify({
            success: false,
            errors: [{ code: 81_058, message: 'An identical record already exists.' }],
          }),
        };
      records.push({ ...made, id: record });
      return ok(records.at(-1));
    }
    if (method === 'GET') return ok(records);
    records.splice(
      records.findIndex(({ id }) => url.endsWith(id)),
      1,
    );
    return ok({});
  });
  const base_url = `${api.url}/client/v4`;
  const cloudflare = provider({ kind: 'cloudflare', api_token: 'token-1', base_url });
  await cloudflare.present(name, 'value-1');
  await cloudflare.present(name, 'value-1');
  assert.deepEqual(
    records.map(({ content }) => content),
    ['"else"', '"value-1"'],
  );
  await cloudflare.remove(name, 'value-1');
  await cloudflare.remove(name, 'value-1');
  assert.deepEqual(
    records.map(({ content }) => content),
    ['"else"'],
  );
  const asked = api.calls.slice(0, 2).map(({ url }) => url);
  assert.deepEqual(asked, ['/client/v4/zones?name=www.example.test', '/client/v4/zones?name=example.test']);
  assert.match(await failureOf(cloudflare.present('_acme-challenge.other.test', 'x')), /^final: .*sees no zone/);
  const forbidden = provider({ kind: 'cloudflare', api_token: 'token-2', base_url, zone_id: zone });
  assert.equal(
    await failureOf(forbidden.present(name, 'x')),
    'final: Cloudflare refuses with status 403: Invalid access token.',
  );
});

test('Route 53: values are added to a record set that others change meanwhile, and taken from it', async (context) => {
  let values = ['"else"'];
  let races = 1;
  const set = () =>
    values.length === 0
      ? ''
      : `<ResourceRecordSet><Name>${name}.</Name><Type>TXT</Type><TTL>300</TTL><ResourceRecords>${values
          .map((value) => `<ResourceRecord><Value>${value.replaceAll('"', '&quot;')}</Value></ResourceRecord>`)
          .join('')}</ResourceRecords></ResourceRecordSet>`;
  const api = await serveApi(context, ({ method, url, body }) => {
    if (url.startsWith('/2013-04-01/hostedzonesbyname?')) {
      const zone = (id: string, isPrivate: boolean) =>
        `<HostedZone><Id>/hostedzone/${id}</Id><Name>example.test.</Name><Config><PrivateZone>${isPrivate}</PrivateZone></Config></HostedZone>`;
      return { body: `<R><HostedZones>${zone('ZPRIVATE', true)}${zone('ZPUBLIC1', false)}</HostedZones></R>` };
    }
    if (method === 'GET') {
      const answer = { body: `<R><ResourceRecordSets>${set()}</ResourceRecordSets></R>` };
      if (races > 0) values = [...values, `"race-${(races -= 1)}"`];
      return answer;
    }
    const listed = (action: string) =>
      [
        ...(body.split(`<Action>${action}</Action>`)[1]?.split('</Change>')[0] ?? '').matchAll(
          /<Value>(.*?)<\/Value>/g,
        ),
      ].map((match) => (match[1] ?? '').replaceAll('&#34;', '"'));
    if (listed('DELETE').join() !== values.join())
      return {
        status: 400,
        body: '<ErrorResponse><Error><Code>InvalidChangeBatch</Code><Message>values provided do not match</Message></Error></ErrorResponse>',
      };
    values = listed('CREATE');
    return { body: '<ChangeResourceRecordSetsResponse/>' };
  });
  const route53 = provider({
    kind: 'route53',
    access_key_id: 'AKID',
    secret_access_key: 'secret-key',
    base_url: api.url,
  });
  await route53.present(name, 'value-1');
  assert.deepEqual(values, ['"else"', '"race-0"', '"value-1"']);
  await route53.present(name, 'value-1');
  await route53.remove(name, 'else');
  await route53.remove(name, 'value-1');
  assert.deepEqual(values, ['"race-0"']);
  await route53.remove(name, 'race-0');
  assert.deepEqual(values, []);
  assert.ok(api.calls.some(({ url }) => url.startsWith('/2013-04-01/hostedzone/ZPUBLIC1/rrset')));
  assert.ok(api.calls.every(({ headers }) => headers.authorization?.startsWith('AWS4-HMAC-SHA256 Credential=AKID/')));
  assert.ok(!JSON.stringify(api.calls).includes('secret-key'));
});

test('AWS Signature Version 4 is as AWS documents it, and as curl makes it', async (context) => {
  const documented = signatureV4(
    {
      method: 'GET',
      url: new URL('https://example.amazonaws.com/'),
      body: '',
      service: 'service',
      region: 'us-east-1',
      now: Date.UTC(2015, 7, 30, 12, 36),
    },
    { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' },
  );
  assert.match(
    documented['authorization'] ?? '',
    /Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31$/,
  );

  const api = await serveApi(context, () => ({}));
  const url = `${api.url}/2013-04-01/hostedzone/Z1/rrset?maxitems=1&name=_acme-challenge.a.test.&type=TXT`;
  await promisify(execFile)('curl', ['-s', '--aws-sigv4', 'aws:amz:us-east-1:route53', '--user', 'AKID:key', url]);
  const [call] = api.calls;
  const time = call?.headers['x-amz-date'];
  const [, y, m, d, h, min, s] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(typeof time === 'string' ? time : '') ?? [];
  const now = Date.UTC(Number(y), Number(m) - 1, Number(d), Number(h), Number(min), Number(s));
  const ours = signatureV4(
    { method: 'GET', url: new URL(url), body: '', service: 'route53', region: 'us-east-1', now },
    { accessKeyId: 'AKID', secretAccessKey: 'key' },
  );
  assert.equal(ours['authorization'], call?.headers.authorization);
});

test('the webhook is signed over id, time and body, as Standard Webhooks has it', async (context) => {
  let status = 204;
  const api = await serveApi(context, () => ({ status }));
  const secret = Buffer.alloc(24, 5);
  const webhook = provider({ kind: 'webhook', url: `${api.url}/hook`, secret: `whsec_${secret.toString('base64')}` });
  await webhook.present(name, 'value-1');
  await webhook.remove(name, 'value-1');
  assert.deepEqual(
    api.calls.map(({ body }) => JSON.parse(body)),
    ['present', 'remove'].map((action) => ({ action, type: 'TXT', name, value: 'value-1' })),
  );
  for (const { headers, body } of api.calls) {
    const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`;
    assert.equal(headers['webhook-signature'], `v1,${createHmac('sha256', secret).update(signed).digest('base64')}`);
    assert.ok(Math.abs(Number(headers['webhook-timestamp']) - Date.now() / 1000) < 60);
  }
  status = 500;
  assert.equal(await failureOf(webhook.present(name, 'x')), 'The DNS webhook refuses with status 500.');
  status = 404;
  assert.equal(await failureOf(webhook.present(name, 'x')), 'final: The DNS webhook refuses with status 404.');
});

test('a provider at an inner address that is not allowed is not called', async (context) => {
  const api = await serveApi(context, () => ({}));
  const guarded = createGuardedFetch({ allowPrivate: false, timeoutMs: 1000, maxBytes: 1000 });
  const webhook = provider({ kind: 'webhook', url: api.url, secret: 'x'.repeat(32) }, { outbound: guarded });
  assert.match(await failureOf(webhook.present(name, 'x')), /^final: .*CHANCERY_OUTBOUND_ALLOW/);
  assert.equal(api.calls.length, 0);
});

test('settings split into what may be shown and what is sealed, for every kind', () => {
  const samples = [
    { kind: 'rfc2136', server: 'ns.test', tsig_key_name: 'k', tsig_secret: 'SEALED+x' },
    { kind: 'acme-dns', base_url: 'https://d.test', subdomain: 's', username: 'u', password: 'SEALED' },
    { kind: 'cloudflare', api_token: 'SEALED' },
    { kind: 'route53', access_key_id: 'a', secret_access_key: 'SEALED', session_token: 'SEALED' },
    { kind: 'webhook', url: 'https://h.test', secret: 'SEALED-and-long-enough' },
    { kind: 'manual' },
  ];
  assert.deepEqual(
    new Set(samples.map(({ kind }) => kind)),
    new Set(dnsProviderSettings.options.map((option) => option.shape.kind.value)),
  );
  for (const sample of samples) {
    const settings = dnsProviderSettings.parse(sample);
    const { definition, secrets } = splitSettings(settings);
    assert.doesNotMatch(JSON.stringify(definition), /SEALED/);
    assert.deepEqual(
      Object.keys(secrets),
      Object.entries(sample)
        .filter(([, text]) => text.startsWith('SEALED'))
        .map(([field]) => field),
    );
    assert.deepEqual(dnsProviderSettings.parse({ ...definition, ...secrets }), settings);
  }
  assert.equal(dnsProviderSettings.safeParse({ kind: 'cloudflare', api_token: 'x', more: 1 }).success, false);
});

test('manual: nothing is done', async () => {
  const manual = provider({ kind: 'manual' });
  await manual.present(name, 'x');
  await manual.remove(name, 'x');
  assert.equal(manual.kind, 'manual');
});

test('a record is visible when every resolver sees it', async (context) => {
  const [first, second] = await Promise.all([startDnsServer(), startDnsServer()]);
  context.after(() => Promise.all([first.close(), second.close()]));
  const isVisible = createVisibility({ resolvers: [first, second], allowedRanges: [] });
  const record = { name, value: 'value-1' };
  first.add(name, { type: 'TXT', value: 'value-1' });
  assert.equal(await isVisible(record), false);
  second.add(name, { type: 'TXT', value: 'value-1' });
  assert.equal(await isVisible(record), true);
  second.override = () => ({ code: 2 });
  assert.equal(await isVisible(record), false);
});

test('without resolvers of our choice the servers in charge are asked, all that answer, through aliases', async (context) => {
  const resolver = await startDnsServer();
  const one = await startDnsServer({ host: '127.0.0.2', port: resolver.port });
  const two = await startDnsServer({ host: '127.0.0.3', port: resolver.port });
  context.after(() => Promise.all([resolver.close(), one.close(), two.close()]));
  for (const zone of ['example.test', 'challenges.test'])
    resolver.add(
      zone,
      { type: 'NS', value: 'ns1.test' },
      { type: 'NS', value: 'ns2.test' },
      { type: 'NS', value: 'ns3.test' },
    );
  resolver.add('ns1.test', { type: 'A', value: one.host });
  resolver.add('ns2.test', { type: 'A', value: two.host });
  resolver.add('ns3.test', { type: 'A', value: '169.254.169.254' });
  const search = {
    base: createPerspective([resolver]),
    isAllowed: (each: string) => each.startsWith('127.'),
    port: resolver.port,
  };
  const record = { name, value: 'value-1' };
  const seen = () => isTxtAtAuthorities(record, search);
  one.add(name, { type: 'TXT', value: 'value-1' });
  assert.equal(await seen(), false);
  two.add(name, { type: 'TXT', value: 'other' }, { type: 'TXT', value: 'value-1' });
  assert.equal(await seen(), true);
  two.override = () => ({ code: 5 });
  assert.equal(await seen(), true);
  one.zone.clear();
  one.add(name, { type: 'CNAME', value: 'www.challenges.test' });
  assert.equal(await seen(), false);
  one.add('www.challenges.test', { type: 'TXT', value: 'value-1' });
  assert.equal(await seen(), true);
  one.override = () => ({ records: [{ type: 'CNAME', value: name }] });
  assert.notEqual(await seen(), true);
  one.override = () => ({ code: 2 });
  assert.equal(await seen(), undefined);
  one.override = ({ packet }) => ({ raw: [referral(packet)] });
  assert.equal(await seen(), undefined);
  assert.equal(await isTxtAtAuthorities(record, { ...search, isAllowed: () => false }), undefined);
  assert.ok(!resolver.queries.some(({ type }) => type === 'TXT'), 'no resolver learns that there is nothing');
});

/** An answer of a server that is not in charge, and has nothing. */
function referral(packet: Buffer): Buffer {
  const answer = Buffer.from(packet.subarray(0, packet.length - 11));
  answer.writeUInt16BE(0x81_00, 2);
  answer.writeUInt16BE(0, 10);
  return answer;
}
