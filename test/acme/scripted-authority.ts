import { randomBytes, webcrypto } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { type JsonWebKey, parseJwk } from '#acme/jose/jwk.ts';
import { type ParsedJws, parseJws, readJws } from '#acme/jose/jws.ts';
import { verifyJws } from '#acme/jose/verify.ts';
import { peculiar } from '../pki/x509-peculiar.ts';

/** A small ACME server that validates nothing, and whose every answer a test may twist. It verifies all signatures. */
export interface ScriptedAuthority {
  readonly directory: string;
  /** PEM: by which its TLS certificate is trusted. */
  readonly roots: string;
  /** For another at another port that is trusted as well. */
  readonly tls: { readonly cert: string; readonly key: string };
  /** All requests, in their order. */
  readonly asked: Asked[];
  url(path: string): string;
  /** Thumbprint of the key of the account. */
  knownKey(): string | undefined;
  /** Another answer than the usual one; `undefined`: never any. The usual one was worked out, so that it has effect. */
  twist(how: ((asked: Asked, usual: Reply) => Reply | undefined) | undefined): void;
  /** The same before it has effect: what it answers is all that happens. */
  intercept(how: ((asked: Asked) => Reply | 'silence' | undefined) | undefined): void;
  /** A chain for the request of an order: a leaf as wanted, and its root. */
  issue(csr: Buffer, wanted?: Wanted): Promise<string>;
}

export interface Asked {
  readonly path: string;
  /** Of the JWS, where there was one. */
  readonly header: Readonly<Record<string, unknown>>;
  // oxlint-disable-next-line typescript/no-explicit-any -- what clients send has many shapes
  readonly payload: any;
}

export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body: object | string;
}

export interface Wanted {
  readonly names?: readonly string[];
  readonly key?: webcrypto.CryptoKey;
  readonly notAfter?: Date;
}

interface Order {
  readonly id: number;
  readonly identifiers: readonly { readonly type: string; readonly value: string }[];
  certificate?: string;
}

export const problem = (status: number, type: string, headers: Reply['headers'] = {}): Reply => ({
  status,
  headers,
  body: { type: `urn:ietf:params:acme:error:${type}`, detail: `because of ${type}` },
});

const curve = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
export const makeKeys = () => webcrypto.subtle.generateKey(curve, true, ['sign', 'verify']);

export async function startScriptedAuthority(
  context: TestContext,
  given?: ScriptedAuthority['tls'],
): Promise<ScriptedAuthority> {
  const keys = await makeKeys();
  const root = await selfSigned(keys, 'scripted');
  const orders: Order[] = [];
  const asked: Asked[] = [];
  let account: JsonWebKey | undefined;
  let twisted: Parameters<ScriptedAuthority['twist']>[0];
  let intercepted: Parameters<ScriptedAuthority['intercept']>[0];
  const url = (path: string) => `https://127.0.0.1:${(server.address() as AddressInfo).port}/${path}`;
  const issue: ScriptedAuthority['issue'] = async (csr, wanted = {}) => {
    const request = new peculiar.Pkcs10CertificateRequest(csr);
    const names = wanted.names ?? namesOf(request);
    const leaf = await peculiar.X509CertificateGenerator.create({
      serialNumber: randomBytes(16).toString('hex').replace(/^./, '1'),
      subject: '',
      issuer: root.subject,
      notBefore: new Date(Date.now() - 3_600_000),
      notAfter: wanted.notAfter ?? new Date(Date.now() + 90 * 86_400_000),
      signingAlgorithm: curve,
      publicKey: wanted.key ?? request.publicKey,
      signingKey: keys.privateKey,
      extensions: [
        new peculiar.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value }))),
        await peculiar.AuthorityKeyIdentifierExtension.create(root),
      ],
    });
    return `${leaf.toString('pem')}\n${root.toString('pem')}\n`;
  };
  const show = ({ id, identifiers, certificate }: Order) => ({
    status: certificate === undefined ? 'ready' : 'valid',
    identifiers,
    authorizations: identifiers.map((_, index) => url(`authz/${id}/${index}`)),
    finalize: url(`finalize/${id}`),
    ...(certificate === undefined ? {} : { certificate: url(`cert/${id}`) }),
  });
  const directory = {
    newNonce: 'nonce',
    newAccount: 'account',
    newOrder: 'order',
    keyChange: 'key-change',
    renewalInfo: 'ari',
  };
  const usual = async ({ path, payload }: Asked, jws: ParsedJws | undefined): Promise<Reply> => {
    const [kind, id, index] = path.split('/');
    const order = orders[Number(id)];
    switch (kind) {
      case 'directory':
        return {
          status: 200,
          body: Object.fromEntries(Object.entries(directory).map(([name, each]) => [name, url(each)])),
        };
      case 'nonce':
        return { status: 200, body: '' };
      case 'account': {
        const key = parseJwk(jws?.header['jwk']);
        if (account !== undefined && key.thumbprint !== account.thumbprint) return problem(400, 'accountDoesNotExist');
        account = key;
        return { status: 201, headers: { location: url('account/1') }, body: { status: 'valid' } };
      }
      case 'key-change': {
        const inner = readJws(payload);
        account = parseJwk(inner.header['jwk']);
        return { status: 200, body: {} };
      }
      case 'order': {
        const made = order ?? { id: orders.length, identifiers: payload.identifiers };
        if (order === undefined) orders.push(made);
        return { status: 201, headers: { location: url(`order/${made.id}`) }, body: show(made) };
      }
      case 'authz': {
        const identifier = order?.identifiers[Number(index)];
        return { status: 200, body: { status: 'valid', identifier, challenges: [] } };
      }
      case 'finalize':
        if (order === undefined) return problem(404, 'malformed');
        order.certificate = await issue(Buffer.from(payload.csr, 'base64url'));
        return { status: 200, body: show(order) };
      case 'cert':
        return { status: 200, body: order?.certificate ?? '' };
      default:
        return problem(404, 'malformed');
    }
  };
  const handle = async (request: IncomingMessage, reply: ServerResponse): Promise<void> => {
    const body = Buffer.concat(await request.toArray());
    const path = (request.url ?? '/').slice(1).replace(/\?.*/, '');
    const jws = body.length === 0 ? undefined : parseJws(body);
    if (jws !== undefined) {
      const key = jws.header['jwk'] === undefined ? account : parseJwk(jws.header['jwk']);
      asked.push(heard(path, jws));
      if (key === undefined || !verifies(jws, key)) return send(reply, problem(400, 'malformed'));
    } else asked.push({ path, header: {}, payload: undefined });
    const one = asked.at(-1) as Asked;
    const instead = intercepted?.(one);
    if (instead === 'silence') return;
    const answer = instead ?? (await usual(one, jws));
    const told = twisted === undefined ? answer : twisted(one, answer);
    if (told !== undefined) send(reply, told);
  };
  const tls = given ?? (await tlsOf());
  const server = createTlsServer(tls, (request, reply) => {
    handle(request, reply).catch((error: unknown) => send(reply, { status: 500, body: String(error) }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    directory: url('directory'),
    roots: tls.cert,
    tls,
    asked,
    url,
    knownKey: () => account?.thumbprint,
    twist: (how) => void (twisted = how),
    intercept: (how) => void (intercepted = how),
    issue,
  };
}

function verifies(jws: ParsedJws, key: JsonWebKey): boolean {
  try {
    verifyJws(jws, key);
    return true;
  } catch {
    return false;
  }
}

function heard(path: string, { header, payload }: ParsedJws): Asked {
  return { path, header, payload: payload.length === 0 ? '' : JSON.parse(payload.toString('utf8')) };
}

function send(reply: ServerResponse, { status, headers = {}, body }: Reply): void {
  const type = status >= 400 ? 'application/problem+json' : 'application/json';
  const nonce = { 'replay-nonce': randomBytes(16).toString('base64url') };
  reply.writeHead(status, { 'content-type': type, ...nonce, ...headers });
  reply.end(typeof body === 'string' ? body : JSON.stringify(body));
}

function namesOf(request: InstanceType<typeof peculiar.Pkcs10CertificateRequest>): string[] {
  const extension = request.getExtension('2.5.29.17');
  if (extension === null) return [];
  return new peculiar.SubjectAlternativeNameExtension(extension.rawData).names.items.map(({ value }) => value);
}

async function selfSigned(keys: webcrypto.CryptoKeyPair, name: string, address?: string) {
  return peculiar.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: curve,
    notBefore: new Date(Date.now() - 86_400_000),
    notAfter: new Date(Date.now() + 366 * 86_400_000),
    extensions: [
      new peculiar.BasicConstraintsExtension(true),
      await peculiar.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ...(address === undefined
        ? []
        : [new peculiar.SubjectAlternativeNameExtension([{ type: 'ip', value: address }])]),
    ],
  });
}

async function tlsOf(): Promise<{ cert: string; key: string }> {
  const keys = await makeKeys();
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  const cert = (await selfSigned(keys, 'tls', '127.0.0.1')).toString('pem');
  return { cert, key: `-----BEGIN PRIVATE KEY-----\n${pkcs8}\n-----END PRIVATE KEY-----\n` };
}
