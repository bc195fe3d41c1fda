import { generateKeyPairSync, type KeyObject, sign as signWith } from 'node:crypto';
import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { encodeBase64url } from '#acme/jose/base64url.ts';
import { type SigningKey, signExternalAccountBinding, signingKeyOf, signJws } from '#acme/jose/sign.ts';

/**
 * A client that does exactly what it is told, also what no client should do: for tests of the ACME server. It connects to
 * `connect` and signs URLs that begin with `publicUrl`, as behind a proxy that ends TLS.
 */
export interface RawClient {
  readonly directory: Record<string, string> & { readonly meta: Record<string, unknown> };
  readonly key: SigningKey;
  readonly kid: string | undefined;
  /** The nonce of the last answer, or a fresh one. */
  nonce(): Promise<string>;
  send(method: string, url: string, body?: string | Buffer, headers?: Record<string, string>): Promise<RawReply>;
  /** Signs and posts. `''` makes a POST-as-GET. */
  post(url: string, payload: object | string, options?: PostOptions): Promise<RawReply>;
  /** The body that `post` would send. */
  body(url: string, payload: object | string, options?: PostOptions): Promise<Record<string, unknown>>;
  /** The same directory with another account key, and no account. */
  other(key?: KeyObject): RawClient;
  /** Registers, and goes on as the account. */
  register(payload?: object, binding?: BindingKey): Promise<RawReply>;
  /** Goes on as this account, or key. */
  become(kid: string | undefined, key?: SigningKey): void;
  close(): void;
}

export interface BindingKey {
  readonly key_id: string;
  readonly hmac_key: string;
}

export interface PostOptions {
  /** Members of the protected header that are added or replaced; undefined removes one. */
  readonly header?: Readonly<Record<string, unknown>>;
  /** Show the key although there is an account. */
  readonly jwk?: boolean;
  readonly key?: SigningKey;
  /** Where to send it, when not to the URL that is signed. */
  readonly to?: string;
  readonly contentType?: string;
  /** Changes the finished JWS. */
  readonly change?: (jws: Record<string, unknown>) => unknown;
}

export interface RawReply {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- answers have many shapes; a wrong guess fails the test
  readonly body: any;
  /** The URLs of Link headers of a relation. */
  readonly links: (relation: string) => string[];
}

export interface RawOptions {
  /** Of several, each request goes to the next. */
  readonly connect: string | readonly string[];
  readonly publicUrl: string;
  /** `web` */
  readonly segment: string;
  readonly ca?: string;
  readonly key?: KeyObject;
}

export function newKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

export async function rawClient(options: RawOptions): Promise<RawClient> {
  const wire = createWire(options);
  const reply = await wire.send('GET', `${options.publicUrl}/acme/${options.segment}/directory`);
  if (reply.status !== 200) throw new Error(`no directory: ${reply.status} ${reply.text}`);
  return clientOf(wire, reply.body, signingKeyOf(options.key ?? newKey()));
}

interface Wire {
  send: RawClient['send'];
  nonces: string[];
  close(): void;
}

function createWire({ connect, publicUrl, ca }: RawOptions): Wire {
  const nodes = typeof connect === 'string' ? [connect] : connect;
  const isTls = nodes.every((node) => node.startsWith('https:'));
  let turn = 0;
  const agent = isTls
    ? new HttpsAgent({ keepAlive: true, ...(ca === undefined ? {} : { ca }) })
    : new HttpAgent({ keepAlive: true });
  const nonces: string[] = [];
  return {
    nonces,
    close: () => agent.destroy(),
    send: (method, url, body, headers = {}) =>
      new Promise((resolve, reject) => {
        const node = nodes[turn++ % nodes.length] ?? '';
        const target = url.startsWith(publicUrl) ? node + url.slice(publicUrl.length) : url;
        const request = (isTls ? httpsRequest : httpRequest)(target, { method, agent, headers });
        request.on('error', reject);
        request.on('response', (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const nonce = response.headers['replay-nonce'];
            if (typeof nonce === 'string') nonces.push(nonce);
            resolve(toReply(response, Buffer.concat(chunks).toString()));
          });
        });
        request.end(body);
      }),
  };
}

function toReply(response: IncomingMessage, text: string): RawReply {
  const isJson = /json/.test(response.headers['content-type'] ?? '');
  const links = [...String(response.headers.link ?? '').matchAll(/<([^>]+)>;rel="([^"]+)"/g)];
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    text,
    body: isJson && text !== '' ? JSON.parse(text) : undefined,
    links: (relation) => links.filter(([, , found]) => found === relation).map(([, url = '']) => url),
  };
}

function clientOf(wire: Wire, directory: RawClient['directory'], first: SigningKey): RawClient {
  let key = first;
  let kid: string | undefined;
  const nonce = async (): Promise<string> => {
    const kept = wire.nonces.pop();
    if (kept !== undefined) return kept;
    await wire.send('HEAD', directory['newNonce'] ?? '');
    return wire.nonces.pop() ?? '';
  };
  const body: RawClient['body'] = async (url, payload, options = {}) => {
    const signer = options.key ?? key;
    const shown = options.jwk === true || kid === undefined ? { jwk: signer.jwk } : { kid };
    const asked = {
      alg: signer.algorithm,
      ...shown,
      nonce: options.header && 'nonce' in options.header ? '' : await nonce(),
      url,
    };
    const header = Object.fromEntries(
      Object.entries({ ...asked, ...options.header }).filter(([, value]) => value !== undefined),
    );
    return signHeader(signer, header, payload);
  };
  const client: RawClient = {
    directory,
    get key() {
      return key;
    },
    get kid() {
      return kid;
    },
    nonce,
    send: wire.send,
    body,
    async post(url, payload, options = {}) {
      const jws = await body(url, payload, options);
      const sent = options.change ? options.change(jws) : jws;
      return wire.send('POST', options.to ?? url, JSON.stringify(sent), {
        'content-type': options.contentType ?? 'application/jose+json',
      });
    },
    other: (privateKey) => clientOf(wire, directory, signingKeyOf(privateKey ?? newKey())),
    async register(payload = { termsOfServiceAgreed: true }, binding) {
      const url = directory['newAccount'] ?? '';
      const bound =
        binding === undefined
          ? {}
          : { externalAccountBinding: signExternalAccountBinding(keyOf(binding), url, key.jwk) };
      const reply = await client.post(url, { ...payload, ...bound }, { jwk: true });
      if (reply.status === 200 || reply.status === 201) kid = reply.headers.location;
      return reply;
    },
    become(next, nextKey) {
      kid = next;
      if (nextKey !== undefined) key = nextKey;
    },
    close: () => wire.close(),
  };
  return client;
}

export function keyOf(binding: BindingKey) {
  return { keyId: binding.key_id, macKey: Buffer.from(binding.hmac_key, 'base64url') };
}

/** Signs any header at all. */
export function signHeader(key: SigningKey, header: object, payload: object | string): Record<string, unknown> {
  const ordinary = signJws(key, { url: '', nonce: '' }, {});
  const text = typeof payload === 'string' ? payload : JSON.stringify(payload);
  const parts = { protected: encodeBase64url(JSON.stringify(header)), payload: encodeBase64url(text) };
  const input = Buffer.from(`${parts.protected}.${parts.payload}`);
  const digest = { ES256: 'sha256', ES384: 'sha384', ES512: 'sha512', EdDSA: null, Ed25519: null, RS256: 'sha256' }[
    key.algorithm
  ];
  const signature = signWith(digest, input, { key: key.privateKey, dsaEncoding: 'ieee-p1363' });
  return { ...ordinary, ...parts, signature: encodeBase64url(signature) };
}
