import { generateKeyPairSync } from 'node:crypto';
import { type Agent, type IncomingHttpHeaders, request as httpRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { keyAuthorizationOf } from '#acme/jose/key-authorization.ts';
import { type SigningKey, signExternalAccountBinding, signingKeyOf, signJws } from '#acme/jose/sign.ts';

/** An ACME account that orders as real clients do: nonces are used again, and what is processing is looked at when told. */
export interface AcmeAccount {
  /** Orders one name, answers its challenge if there is one, and fetches the certificate. PEM. */
  obtain(name: string, csr: string, answer: (token: string, keyAuthorization: string) => void): Promise<string>;
}

interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- answers have many shapes
  readonly body: any;
}

export interface AcmeAccountOptions {
  /** Where the server listens. */
  readonly connect: string;
  /** What its URLs begin with: a proxy that ends TLS is left out. */
  readonly publicUrl: string;
  readonly role: string;
  readonly externalKey: { readonly key_id: string; readonly hmac_key: string };
  readonly agent: Agent;
}

export async function registerAccount(options: AcmeAccountOptions): Promise<AcmeAccount> {
  const { publicUrl, role, externalKey } = options;
  const key = signingKeyOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
  const url = (path: string): string => `${publicUrl}/acme/${role}/${path}`;
  const post = createPost(options, key, url('new-nonce'));
  const bound = { keyId: externalKey.key_id, macKey: Buffer.from(externalKey.hmac_key, 'base64url') };
  const externalAccountBinding = signExternalAccountBinding(bound, url('new-account'), key.jwk);
  const made = await post(url('new-account'), { termsOfServiceAgreed: true, externalAccountBinding });
  const kid = must(made, 201).headers.location ?? '';

  const untilDecided = async (at: string): Promise<Reply> => {
    for (;;) {
      const reply = must(await post(at, '', kid), 200);
      if (reply.body.status !== 'pending' && reply.body.status !== 'processing') return reply;
      await sleep(1000 * Number(reply.headers['retry-after'] ?? 1));
    }
  };
  const prove = async (at: string, answer: Parameters<AcmeAccount['obtain']>[2]): Promise<void> => {
    const { body } = must(await post(at, '', kid), 200);
    const challenge = body.challenges.find(({ type }: { type: string }) => type === 'http-01');
    answer(challenge.token, keyAuthorizationOf(challenge.token, key.thumbprint));
    must(await post(challenge.url, {}, kid), 200);
    const { body: end } = await untilDecided(at);
    if (end.status !== 'valid') throw new Error(JSON.stringify(end));
  };
  return {
    async obtain(name, csr, answer) {
      const order = must(await post(url('new-order'), { identifiers: [{ type: 'dns', value: name }] }, kid), 201);
      if (order.body.status === 'pending') await prove(order.body.authorizations[0], answer);
      let done = must(await post(order.body.finalize, { csr }, kid), 200);
      if (done.body.status === 'processing') done = await untilDecided(order.headers.location ?? '');
      if (done.body.status !== 'valid') throw new Error(done.text);
      return must(await post(done.body.certificate, '', kid), 200).text;
    },
  };
}

function createPost({ connect, publicUrl, agent }: AcmeAccountOptions, key: SigningKey, nonceUrl: string) {
  const nonces: string[] = [];
  const send = (method: string, url: string, body?: string): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/jose+json' };
      const sent = httpRequest(connect + url.slice(publicUrl.length), { method, agent, headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const nonce = response.headers['replay-nonce'];
          if (typeof nonce === 'string') nonces.push(nonce);
          const text = Buffer.concat(chunks).toString();
          const isJson = response.headers['content-type']?.includes('json') === true;
          const { statusCode: status = 0, headers: told } = response;
          resolve({ status, headers: told, text, body: isJson ? JSON.parse(text) : undefined });
        });
      });
      sent.on('error', reject);
      sent.end(body);
    });
  return async (url: string, payload: object | '', kid?: string): Promise<Reply> => {
    if (nonces.length === 0) await send('HEAD', nonceUrl);
    const nonce = nonces.pop() ?? '';
    return send(
      'POST',
      url,
      JSON.stringify(signJws(key, { url, nonce, ...(kid === undefined ? {} : { kid }) }, payload)),
    );
  };
}

function must(reply: Reply, status: number): Reply {
  if (reply.status === status) return reply;
  throw new Error(`${reply.status} instead of ${status}: ${reply.text}`);
}
