import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Connection } from './connection.ts';
import { CliFailure, exitCodes } from './failure.ts';
import type { ApiRequest } from './request.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface SendOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** The `User-Agent`. */
  readonly agent: string;
  /** Ends the waiting, beside the timeout of the connection. */
  readonly signal?: AbortSignal | undefined;
}

/** Bytes. A page of 1,000 certificates is about 1 MB. */
const maxAnswerBytes = 67_108_864;

/** Sends one request; any HTTP answer is an answer, and redirects are not followed: a token belongs to one server. */
export async function send(connection: Connection, request: ApiRequest, options: SendOptions): Promise<Answer> {
  try {
    return await receive(await start(connection, request, options));
  } catch (thrown) {
    throw thrown instanceof CliFailure ? thrown : explain(connection, request, thrown);
  }
}

async function start(connection: Connection, request: ApiRequest, options: SendOptions): Promise<IncomingMessage> {
  const { url } = connection;
  // TLS is loaded only where it is spoken: it takes longer than a request on this machine.
  const { request: open } = url.protocol === 'https:' ? await import('node:https') : await import('node:http');
  const timeout = AbortSignal.timeout(connection.timeoutMs);
  const body = request.body === undefined ? undefined : Buffer.from(request.body);
  return new Promise((resolve, reject) => {
    const outgoing = open({
      hostname: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? undefined : Number(url.port),
      path: url.pathname.replace(/\/$/, '') + request.path,
      method: request.method,
      headers: {
        accept: 'application/json, application/problem+json',
        'user-agent': options.agent,
        ...(connection.token === undefined ? {} : { authorization: `Bearer ${connection.token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(body.length) }),
        ...options.headers,
      },
      ca: connection.ca,
      signal: options.signal ? AbortSignal.any([timeout, options.signal]) : timeout,
    });
    outgoing.on('response', resolve);
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

async function receive(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxAnswerBytes) {
      response.destroy();
      throw new CliFailure(exitCodes.failed, 'the answer is larger than 64 MiB', {
        hint: 'ask for less, for example with --limit',
      });
    }
    chunks.push(chunk);
  }
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) };
}

interface Cause {
  readonly says: string;
  readonly hint?: string;
}

const plainOnTls = 'does the server speak http rather than https, or the other way round?';
const untrusted = 'name the root that signed its certificate: CHANCERY_CA_FILE=/path/to/root.pem';

/** What the error codes of Node's sockets and TLS mean here. */
const causes: Readonly<Record<string, Cause>> = {
  ECONNREFUSED: { says: 'nothing listens there', hint: 'start the server with npm start, or set CHANCERY_URL' },
  ENOTFOUND: { says: 'the name does not exist', hint: 'check CHANCERY_URL' },
  EAI_AGAIN: { says: 'the name cannot be resolved now', hint: 'check the network, then try again' },
  EHOSTUNREACH: { says: 'there is no way to that host', hint: 'check CHANCERY_URL and the network' },
  ENETUNREACH: { says: 'there is no way to that network', hint: 'check CHANCERY_URL and the network' },
  ETIMEDOUT: { says: 'it does not answer', hint: 'check CHANCERY_URL and the network' },
  ECONNRESET: { says: 'the connection was cut' },
  EPIPE: { says: 'the connection was cut' },
  EPROTO: { says: 'the other side does not speak TLS', hint: plainOnTls },
  ERR_SSL_WRONG_VERSION_NUMBER: { says: 'the other side does not speak TLS', hint: plainOnTls },
  ERR_SSL_PACKET_LENGTH_TOO_LONG: { says: 'the other side does not speak TLS', hint: plainOnTls },
  HPE_INVALID_CONSTANT: { says: 'the other side does not speak HTTP', hint: plainOnTls },
  SELF_SIGNED_CERT_IN_CHAIN: { says: 'its certificate leads to a root that is not trusted here', hint: untrusted },
  DEPTH_ZERO_SELF_SIGNED_CERT: { says: 'its certificate is self-signed and not trusted here', hint: untrusted },
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: { says: 'its certificate leads to no trusted root', hint: untrusted },
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: { says: 'its certificate leads to no trusted root', hint: untrusted },
  CERT_HAS_EXPIRED: { says: 'its certificate has expired', hint: 'renew the certificate of the server' },
  CERT_NOT_YET_VALID: { says: 'its certificate is not valid yet', hint: 'compare the clocks of both machines' },
  ERR_TLS_CERT_ALTNAME_INVALID: { says: 'its certificate is for another name', hint: 'check the host in CHANCERY_URL' },
};

function explain(connection: Connection, request: ApiRequest, thrown: unknown): CliFailure {
  const { code = '', name } = thrown as NodeJS.ErrnoException;
  const timedOut = name === 'TimeoutError' || name === 'AbortError' || code === 'ABORT_ERR';
  const cause: Cause = timedOut
    ? { says: `no answer within ${connection.timeoutMs / 1000} s`, hint: 'allow more with --timeout' }
    : (causes[code] ?? { says: code === '' ? 'the connection failed' : code });
  // Once sent, a request may have been carried out although its answer never came.
  const unclear = request.method !== 'GET' && (timedOut || cause.says === 'the connection was cut');
  return new CliFailure(exitCodes.unavailable, `cannot reach Chancery at ${connection.url.origin}: ${cause.says}`, {
    hint: unclear ? 'it may have been done nevertheless: look before you repeat it' : cause.hint,
  });
}
