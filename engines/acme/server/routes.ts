import type { PublicReply, PublicRequest, PublicRoute } from '#core/engine.ts';
import type { AppError } from '#core/errors.ts';
import type { Directory } from './directories.ts';
import { type AccountPost, assertPostAsGet, type Post, readPost, type Signer } from './post.ts';
import { type AcmeError, malformed, problemDocument, toAcmeError } from './problem.ts';
import { accountOrders, accountResource, keyChange, newAccount } from './resources/account.ts';
import { certificateResource, renewalInfo, revokeCertificate } from './resources/certificate.ts';
import {
  authorizationResource,
  challengeResource,
  finalize,
  newAuthorization,
  newOrder,
  orderResource,
} from './resources/order.ts';
import { type Answer, link, type ResourceParts } from './resources/parts.ts';

/** The URLs of the protocol, and what every answer has in common (RFC 8555 §6, §7.1). */

const bodyLimit = 65_536;
const mediaType = 'application/jose+json';
const base = '/acme/:directory';

type Resource = (parts: ResourceParts, post: Post) => Promise<Answer>;
type AccountResource = (parts: ResourceParts, post: AccountPost) => Promise<Answer>;

/** What is asked for by account, below the directory. */
const byAccount: Readonly<Record<string, readonly [AccountResource, string]>> = {
  'new-order': [newOrder, 'ACME: orders a certificate (RFC 8555 §7.4)'],
  'new-authz': [newAuthorization, 'ACME: pre-authorizes a name (RFC 8555 §7.4.1)'],
  'key-change': [keyChange, 'ACME: changes the key of an account (RFC 8555 §7.3.5)'],
  'account/:id': [accountResource, 'ACME: an account (RFC 8555 §7.3)'],
  'account/:id/orders': [accountOrders, 'ACME: the orders of an account (RFC 8555 §7.1.2.1)'],
  'order/:id': [orderResource, 'ACME: an order (RFC 8555 §7.4)'],
  'order/:id/finalize': [finalize, 'ACME: finalizes an order (RFC 8555 §7.4)'],
  'authz/:id': [authorizationResource, 'ACME: an authorization (RFC 8555 §7.5)'],
  'challenge/:id': [challengeResource, 'ACME: a challenge (RFC 8555 §7.5.1)'],
  'certificate/:id': [certificateResource, 'ACME: a certificate with its chain (RFC 8555 §7.4.2)'],
  'certificate/:id/:alternate': [certificateResource, 'ACME: a certificate with another chain (RFC 8555 §7.4.2)'],
};

export function serverRoutes(parts: ResourceParts): PublicRoute[] {
  const accounts = Object.entries(byAccount).map(([path, [resource, summary]]) =>
    postRoute(parts, path, summary, 'kid', (within, post) => resource(within, asAccount(post))),
  );
  return [
    getRoute(parts, 'directory', 'ACME: the directory of a role (RFC 8555 §7.1.1)', (directory) => ({
      ...showDirectory(parts, directory),
      hasNoNonce: true,
    })),
    postRoute(parts, 'directory', 'ACME: the directory, by POST-as-GET', 'either', async (_, post) => {
      assertPostAsGet(post);
      return showDirectory(parts, post.directory);
    }),
    getRoute(parts, 'new-nonce', 'ACME: a fresh nonce (RFC 8555 §7.2)', () => ({ status: 204 })),
    { ...getRoute(parts, 'new-nonce', 'ACME: a fresh nonce (RFC 8555 §7.2)', () => ({ status: 200 })), method: 'HEAD' },
    postRoute(parts, 'new-nonce', 'ACME: a fresh nonce, by POST-as-GET', 'either', async (_, post) => {
      assertPostAsGet(post);
      return { status: 204 };
    }),
    postRoute(parts, 'new-account', 'ACME: registers an account (RFC 8555 §7.3)', 'jwk', newAccount),
    postRoute(parts, 'revoke-cert', 'ACME: revokes a certificate (RFC 8555 §7.6)', 'either', revokeCertificate),
    ...accounts,
    getRoute(parts, 'renewal-info/:certid', 'ACME: when to renew a certificate (RFC 9773)', (directory, request) =>
      renewalInfo(parts, directory, request),
    ),
    ...elsewhere(parts),
  ];
}

/** `kid` was demanded, so the account is there. */
function asAccount(post: Post): AccountPost {
  if (post.account === undefined) throw new Error('a request that was signed by kid has no account');
  return { ...post, account: post.account };
}

function postRoute(
  parts: ResourceParts,
  path: string,
  summary: string,
  signer: Signer,
  resource: Resource,
): PublicRoute {
  return {
    method: 'POST',
    path: `${base}/${path}`,
    summary,
    bodyLimit,
    consumes: [mediaType],
    async handle(request) {
      const directory = await enter(parts, request);
      return told(parts, directory, async () => resource(parts, await readPost(parts, directory, request, signer)));
    },
    refuse: (error, request) => refuse(parts, error, request.params['directory']),
  };
}

function getRoute(
  parts: ResourceParts,
  path: string,
  summary: string,
  answer: (directory: Directory, request: PublicRequest) => Promise<Answer> | Answer,
): PublicRoute {
  return {
    method: 'GET',
    path: `${base}/${path}`,
    summary,
    async handle(request) {
      const directory = await enter(parts, request);
      return told(parts, directory, async () => answer(directory, request));
    },
    refuse: (error, request) => refuse(parts, error, request.params['directory']),
  };
}

/** The directory of a request. Throws `malformed` where there is none, or no ACME because there is no HTTPS. */
async function enter(parts: ResourceParts, { params }: Pick<PublicRequest, 'params'>): Promise<Directory> {
  // RFC 8555 §6.1. The public URL says it: TLS may end at a proxy.
  if (!parts.baseUrl.startsWith('https:'))
    throw malformed(
      'ACME is served by HTTPS only: give the server TLS (CHANCERY_TLS=self) or a public URL with https.',
    );
  const directory = await parts.directories.at(params['directory'] ?? '');
  if (directory === undefined) throw noDirectory(parts);
  await parts.nonces.ready();
  return directory;
}

function noDirectory({ baseUrl }: ResourceParts): AcmeError {
  const forms = `${baseUrl}/acme/ROLE/directory, or ${baseUrl}/acme/NAMESPACE~ROLE/directory`;
  return malformed(`There is no such directory: no role of the PKI has this name. Directories are at ${forms}.`, 404);
}

const forAll = {
  // RFC 8555 §6.1: clients may run in browsers. The exposed headers are not listed, since getssl takes every line with
  // the word Location for that header.
  'access-control-allow-origin': '*',
  'access-control-expose-headers': '*',
  'cache-control': 'no-store',
};

function replyTo(
  parts: ResourceParts,
  directory: Directory,
  { status, body, headers = {}, links = [], isDirectory, hasNoNonce }: Answer,
): PublicReply {
  const isObject = typeof body === 'object';
  return {
    status,
    headers: {
      ...forAll,
      ...(hasNoNonce === true ? {} : { 'replay-nonce': parts.nonces.make() }),
      ...(isDirectory === true ? {} : { link: [link(directory.url('directory'), 'index'), ...links] }),
      ...(isObject ? { 'content-type': 'application/json' } : {}),
      ...headers,
    },
    body: octets(isObject ? JSON.stringify(body) : (body ?? '')),
  };
}

/** To text a charset would be added, which these media types do not have (RFC 8259 §11, RFC 9457 §3, RFC 8555 §9.1). */
function octets(text: string): Uint8Array {
  return Buffer.from(text, 'utf8');
}

/** What is ours to mend is thrown on, to be logged by whoever answers routes. */
async function told(parts: ResourceParts, directory: Directory, work: () => Promise<Answer>): Promise<PublicReply> {
  try {
    return replyTo(parts, directory, await work());
  } catch (thrown) {
    const error = toAcmeError(thrown);
    if (error.httpStatus >= 500) throw thrown;
    return tell(parts, error, directory);
  }
}

/** An error with what every answer has; before a directory was found, there is neither nonce nor index. */
async function refuse(parts: ResourceParts, thrown: AppError, segment: string | undefined): Promise<PublicReply> {
  const directory = await enter(parts, { params: { directory: segment ?? '' } }).catch(() => undefined);
  return tell(parts, toAcmeError(thrown), directory);
}

function tell(parts: ResourceParts, error: AcmeError, directory: Directory | undefined): PublicReply {
  const { link: more, ...headers } = error.headers;
  const index = directory === undefined ? [] : [link(directory.url('directory'), 'index')];
  return {
    status: error.httpStatus,
    headers: {
      ...forAll,
      'content-type': 'application/problem+json',
      ...(directory === undefined ? {} : { 'replay-nonce': parts.nonces.make() }),
      ...(index.length === 0 && more === undefined ? {} : { link: more === undefined ? index : [...index, more] }),
      ...(error.retryAfter === undefined ? {} : { 'retry-after': String(Math.ceil(error.retryAfter)) }),
      ...(error.httpStatus === 405 ? { allow: 'POST' } : {}),
      ...headers,
    },
    body: octets(JSON.stringify(problemDocument(error))),
  };
}

/** What is read or done by signed requests only. */
const signedPath = new RegExp(
  `^(?:${['new-account', 'revoke-cert', ...Object.keys(byAccount)].map((path) => path.replaceAll(/:\w+/g, '[^/]+')).join('|')})$`,
);

/** RFC 8555 §6.3: a GET is no way around the signature. */
function signatureNeeded(): AcmeError {
  return malformed('This resource is read by POST-as-GET (RFC 8555 section 6.3).', 405);
}

/** Where the directory is that somebody looked for at another URL. */
async function nothingHere(parts: ResourceParts, { params }: Pick<PublicRequest, 'params'>): Promise<AcmeError> {
  const directory = await parts.directories.at(params['directory'] ?? '');
  const where = directory?.url('directory') ?? `${parts.baseUrl}/acme/ROLE/directory`;
  return malformed(`There is nothing at this URL. ACME clients are given the URL of a directory: ${where}`, 404);
}

/** Below a directory everything is answered in the words of ACME, also what does not exist. */
function elsewhere(parts: ResourceParts): PublicRoute[] {
  const nothing = (method: 'GET' | 'POST', path: string): PublicRoute => ({
    method,
    path,
    summary: 'ACME: what does not exist, or not by this method',
    bodyLimit,
    ...(method === 'POST' ? { consumes: [mediaType] } : {}),
    async handle(request) {
      const isSigned = method === 'GET' && signedPath.test(request.params['*'] ?? '');
      const error = isSigned ? signatureNeeded() : await nothingHere(parts, request);
      return refuse(parts, error, request.params['directory']);
    },
    refuse: (error, request) => refuse(parts, error, request.params['directory']),
  });
  const preflight: PublicRoute = {
    method: 'OPTIONS',
    path: `${base}/*`,
    summary: 'ACME: what browsers may do',
    handle: () => ({
      status: 204,
      headers: {
        ...forAll,
        'access-control-allow-methods': 'GET, HEAD, POST',
        'access-control-allow-headers': 'Content-Type',
        'access-control-max-age': '86400',
      },
      body: '',
    }),
  };
  const paths = [`${base}/*`, base, '/acme'];
  return [...paths.flatMap((path) => [nothing('GET', path), nothing('POST', path)]), preflight];
}

function showDirectory({ baseUrl }: Pick<ResourceParts, 'baseUrl'>, directory: Directory): Answer {
  const { settings, url } = directory;
  const profiles = Object.entries(settings.profiles).map(([name, { description }]) => [name, description]);
  const meta = {
    ...(settings.terms_of_service === null ? {} : { termsOfService: settings.terms_of_service }),
    website: settings.website ?? baseUrl,
    ...(settings.caa_identities.length === 0 ? {} : { caaIdentities: settings.caa_identities }),
    externalAccountRequired: settings.external_account_required,
    ...(profiles.length === 0 ? {} : { profiles: Object.fromEntries(profiles) as unknown }),
  };
  const body = {
    newNonce: url('new-nonce'),
    newAccount: url('new-account'),
    newOrder: url('new-order'),
    newAuthz: url('new-authz'),
    revokeCert: url('revoke-cert'),
    keyChange: url('key-change'),
    renewalInfo: url('renewal-info'),
    meta,
  };
  return { status: 200, body, isDirectory: true };
}
