import assert from 'node:assert/strict';
import { after, before, describe, test, type TestContext } from 'node:test';
import { type InProcess, startChancery } from '#test/chancery.ts';
import { until } from './client-world.ts';
import {
  type Asked,
  makeKeys,
  problem,
  type Reply,
  type ScriptedAuthority,
  startScriptedAuthority,
} from './scripted-authority.ts';

/** An authority that answers what it should not: nothing of it is taken for a certificate, and somebody is told why. */

describe('an authority that answers evil things', () => {
  let server: InProcess;
  let authority: ScriptedAuthority;
  const ends: (() => unknown)[] = [];
  const context = { after: (end: () => unknown) => ends.push(end) } as unknown as TestContext;
  before(async () => {
    authority = await startScriptedAuthority(context);
    server = await startChancery(context, { env: { CHANCERY_OUTBOUND_ALLOW: '127.0.0.1' } });
    const account = { name: 'scripted', directory: authority.directory, ca_certificate: authority.roots };
    await server.ok('POST', 'acme/accounts', account);
  });
  after(async () => {
    for (const end of ends.toReversed()) await end();
  });

  const order = (more: object = {}) =>
    server.ok('POST', 'acme/orders', {
      account: 'scripted',
      identifiers: ['a.example.com'],
      challenge: 'http-01',
      wait: 30,
      ...more,
    });
  const isKind = (asked: Asked, kind: string) => asked.path.split('/')[0] === kind;
  /** Other members in the object that one kind of resource answers. */
  const changing = (kind: string, body: object) => (asked: Asked, usual: Reply) =>
    isKind(asked, kind) ? { ...usual, body: { ...(usual.body as object), ...body } } : usual;
  const answering = (kind: string, reply: Reply) => (asked: Asked, usual: Reply) =>
    isKind(asked, kind) ? reply : usual;
  const fails = async (text: RegExp, more: object = {}) => {
    const failed = await order(more);
    assert.equal(failed.state, 'failed', JSON.stringify(failed));
    assert.match(failed.error, text);
    assert.equal((await server.call('GET', `acme/certificates/${failed.certificate_id}`)).status, 404);
  };
  /** It is tried again, not before long; what it said and when the next try is can be seen. */
  const stalls = async (text: RegExp) => {
    const { id } = await order({ wait: 0 });
    const stalled = await until(
      () => server.ok('GET', `acme/orders/${id}`),
      ({ attempts }) => attempts > 0,
    );
    assert.match(stalled.error, text);
    assert.match(stalled.next.action, /is tried again/);
    await server.ok('POST', `acme/orders/${id}/cancel`);
    return stalled;
  };

  test('an order for other names is none (RFC 8555 section 7.1.3)', async () => {
    for (const value of ['b.example.com', '*.a.example.com', 'a.example.com\u0000', 'not a name']) {
      authority.twist(changing('order', { identifiers: [{ type: 'dns', value }] }));
      await fails(/made an order for other names/);
    }
    authority.twist(changing('order', { identifiers: [] }));
    await fails(/made an order for other names/);
  });

  test('a proof of a name that was not ordered is not given', async () => {
    const challenge = { type: 'http-01', url: authority.url('challenge'), token: 'A'.repeat(43), status: 'pending' };
    const identifier = { type: 'dns', value: 'bank.example' };
    const pending = { status: 'pending', identifier, challenges: [challenge] };
    authority.twist((asked, usual) => {
      if (isKind(asked, 'authz')) return { status: 200, body: pending };
      return changing('order', { status: 'pending' })(asked, usual);
    });
    await fails(/a proof of a name that was not ordered/);
    const answer = await fetch(`${server.url}/.well-known/acme-challenge/${challenge.token}`);
    assert.equal(answer.status, 404);
  });

  test('a certificate for another key, with other names, of the past, or without a chain is not taken', async () => {
    const { publicKey } = await makeKeys();
    const csr = () => {
      const asked = authority.asked.findLast((each) => isKind(each, 'finalize'));
      return Buffer.from(asked?.payload.csr, 'base64url');
    };
    const delivering = async (text: RegExp, pem: (csr: Buffer) => Promise<string>) => {
      authority.twist(undefined);
      const { state, certificate_id: id } = await order({ renew: false });
      assert.equal(state, 'issued');
      // With the same key, so that only what is meant is wrong.
      const body = await pem(csr());
      authority.twist(answering('cert', { status: 200, body }));
      await fails(text, { csr: toPem(csr()) });
      await server.ok('DELETE', `acme/certificates/${id}`);
    };
    await delivering(/for another key/, (request) => authority.issue(request, { key: publicKey }));
    await delivering(/holds dns:bank\.example, which was not ordered/, (request) =>
      authority.issue(request, { names: ['a.example.com', 'bank.example'] }),
    );
    await delivering(/does not hold a\.example\.com/, (request) => authority.issue(request, { names: ['b.example'] }));
    await delivering(/has ended already/, (request) =>
      authority.issue(request, { notAfter: new Date(Date.now() - 60_000) }),
    );
    await delivering(/does not certify the one before it/, async (request) => {
      const [leaf = ''] = (await authority.issue(request)).split(/(?<=-----END CERTIFICATE-----\n)/);
      return leaf + authority.roots;
    });
    await delivering(/no PEM chain of 1 to 10/, async (request) => (await authority.issue(request)).repeat(6));
    await delivering(/no PEM chain/, () => Promise.resolve('<html>'));
    await delivering(/cannot be read/, () =>
      Promise.resolve('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'),
    );
  });

  test('an order that is said to be elsewhere is not looked for at inner addresses, nor by plain HTTP', async () => {
    for (const [location, text] of [
      ['https://169.254.169.254/order/1', /no address of the public Internet/],
      ['http://127.0.0.1/order/1', /a URL that is not of https/],
    ] as const) {
      authority.twist((asked, usual) =>
        isKind(asked, 'order') && asked.payload !== ''
          ? { ...changing('order', { status: 'ready' })(asked, usual), headers: { location } }
          : usual,
      );
      await fails(text);
    }
  });

  test('what another host is sent is signed for its URL, and is of no use elsewhere (RFC 8555 section 6.4)', async () => {
    const other = await startScriptedAuthority(context, authority.tls);
    authority.twist((asked, usual) =>
      isKind(asked, 'order') ? { ...usual, headers: { location: other.url('order/0') } } : usual,
    );
    await fails(/malformed/);
    assert.deepEqual(
      other.asked.map(({ header, payload }) => [header['url'], payload]),
      [[other.url('order/0'), '']],
    );
  });

  test('alternate chains that point at one another are asked for once each', async () => {
    let asks = 0;
    authority.twist((asked, usual) => {
      if (!isKind(asked, 'cert')) return usual;
      asks += 1;
      const others = ['', '?1', '?2', '?1'].map((each) => authority.url(asked.path + each));
      // One of them is broken, which is no reason to do without the others.
      return {
        ...usual,
        body: asks === 2 ? '<html>' : usual.body,
        headers: { link: others.map((each) => `<${each}>;rel="alternate"`) },
      };
    });
    const made = await order({ preferred_chain: 'There is none', renew: false });
    assert.equal(made.state, 'issued', JSON.stringify(made));
    assert.equal(asks, 3);
    const { events } = await server.ok('GET', 'audit/events?limit=20');
    assert.match(JSON.stringify(events), /preferred chain is none of those offered/);
  });

  test('what is no answer is tried again later: huge, a redirect, no JSON, a status of its own', async () => {
    authority.twist(answering('order', { status: 201, body: { filler: 'x'.repeat(2_000_000) } }));
    await stalls(/more than 1048576 bytes/);
    authority.twist(answering('order', { status: 307, headers: { location: authority.url('account') }, body: '' }));
    await stalls(/points elsewhere/);
    authority.twist(
      answering('order', { status: 201, headers: { location: authority.url('order/1') }, body: '<html>' }),
    );
    await stalls(/order is not JSON/);
    authority.twist(answering('order', { status: 201, body: {} }));
    await stalls(/does not say what the order is called/);
    authority.twist(changing('order', { status: 'wonderful' }));
    await stalls(/not one of RFC 8555: status/);
  });

  test('a profile that the authority does not advertise is not asked for (draft-ietf-acme-profiles section 4)', async () => {
    authority.twist(undefined);
    const from = authority.asked.length;
    await fails(/offers no profile quick, but none at all/, { profile: 'quick' });
    assert.deepEqual(
      authority.asked.slice(from).filter((asked) => isKind(asked, 'order')),
      [],
    );
  });

  test('a nonce that is never accepted ends the try, not the patience of the authority (RFC 8555 section 6.5)', async () => {
    const from = authority.asked.length;
    authority.twist(answering('order', problem(400, 'badNonce')));
    await stalls(/badNonce/);
    const asks = authority.asked.slice(from).filter((asked) => isKind(asked, 'order'));
    assert.ok(asks.length <= 11, String(asks.length));
    assert.equal(new Set(asks.map(({ header }) => header['nonce'])).size, asks.length);
  });

  test('a Retry-After without end puts an order off for a day at most, and a look for a minute (RFC 8555 section 6.6)', async () => {
    const headers = { 'retry-after': '999999999' };
    authority.twist(answering('order', problem(429, 'rateLimited', headers)));
    const limited = await stalls(/rateLimited/);
    assert.ok(Date.parse(limited.next.until) <= Date.now() + 86_400_000);
    const processing = changing('order', { status: 'processing' });
    authority.twist((asked, usual) => ({ ...processing(asked, usual), headers: { ...usual.headers, ...headers } }));
    const { id } = await order({ wait: 0 });
    const looking = await until(
      () => server.ok('GET', `acme/orders/${id}`),
      ({ state, next }) => state === 'finalizing' && Date.parse(next.until) > Date.now() + 30_000,
    );
    assert.equal(looking.next.waiting_for, 'authority');
    assert.ok(Date.parse(looking.next.until) <= Date.now() + 60_000);
    await server.ok('POST', `acme/orders/${id}/cancel`);
  });
});

function toPem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`;
}
