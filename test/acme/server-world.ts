import assert from 'node:assert/strict';
import { createPublicKey, type KeyObject } from 'node:crypto';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Clock } from '#core/clock.ts';
import { type Client, foundPki, type InProcess, startChancery } from '#test/chancery.ts';
import { encodeRequest } from '#pki/x509/request.ts';
import { encodeName } from '#pki/x509/name.ts';
import { type BindingKey, newKey, type RawClient, rawClient, type RawReply } from './raw-client.ts';

/** A server with a PKI whose role `web` certifies names below example.com, and clients of its directory. */
export interface AcmeWorld {
  readonly server: InProcess;
  readonly publicUrl: string;
  /** A client of the directory of a role, without an account. */
  client(segment?: string, key?: KeyObject): Promise<RawClient>;
  /** An account that needs no challenges below example.com. */
  trusted(fields?: object): Promise<RawClient>;
  externalKey(fields?: object): Promise<BindingKey>;
}

export const publicUrl = 'https://acme.example.test';

/** Closed when the test ends; without a context by `close`. */
export async function acmeWorld(
  context: TestContext | undefined,
  env: Record<string, string> = {},
  clock?: Clock,
): Promise<AcmeWorld & { close(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-acme-'));
  const server = await startChancery(undefined, {
    folder,
    env: { CHANCERY_PUBLIC_URL: publicUrl, ...env },
    ...(clock === undefined ? {} : { clock }),
  });
  await foundPki(server, 'ec-p256', { allow_wildcards: true, allowed_ip_ranges: ['127.0.0.0/8', '::1/128'] });
  const clients: RawClient[] = [];
  const close = async (): Promise<void> => {
    for (const each of clients) each.close();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  context?.after(close);
  return { ...worldOf(server, clients), close };
}

export function worldOf(server: InProcess, clients: RawClient[]): AcmeWorld {
  const client: AcmeWorld['client'] = async (segment = 'web', key) => {
    const made = await rawClient({ connect: server.url, publicUrl, segment, ...(key === undefined ? {} : { key }) });
    clients.push(made);
    return made;
  };
  const externalKey = (fields: object = {}) => newExternalKey(server, fields);
  return {
    server,
    publicUrl,
    client,
    externalKey,
    async trusted(fields) {
      const made = await client();
      const key = await externalKey({ skip_validation: true, allowed_identifiers: ['*.example.com'], ...fields });
      const reply = await made.register({}, key);
      if (reply.status !== 201) throw new Error(`no account: ${reply.text}`);
      return made;
    },
  };
}

export function newExternalKey(server: Client, fields: object): Promise<BindingKey> {
  return server.ok('POST', 'acme/external-account-keys', { role: 'web', ...fields });
}

export interface CsrOptions {
  readonly dns?: readonly string[];
  readonly ip?: readonly Uint8Array[];
  readonly commonName?: string;
  readonly key?: KeyObject;
  readonly extensions?: readonly Uint8Array[];
}

/** PKCS#10 in base64url, by a P-256 key. */
export function csr({ dns = [], ip = [], commonName, key = newKey(), extensions = [] }: CsrOptions): string {
  const spki = publicOf(key);
  const names = [
    ...dns.map((value) => ({ kind: 'dns', value }) as const),
    ...ip.map((bytes) => ({ kind: 'ip', bytes }) as const),
  ];
  const subject = encodeName(commonName === undefined ? [] : [{ type: 'common_name', value: commonName }]);
  return encodeRequest({ subject, names, extensions, keyType: 'ec-p256', spki, privateKey: key }).toString('base64url');
}

function publicOf(key: KeyObject): Buffer {
  return createPublicKey(key).export({ type: 'spki', format: 'der' });
}

export function dnsNames(...names: string[]): object {
  return { identifiers: names.map((value) => ({ type: 'dns', value })) };
}

/** Orders and finalizes; the last answer. */
export async function issue(
  client: RawClient,
  names: readonly string[],
  key?: KeyObject,
): Promise<{ order: RawReply; chain: RawReply }> {
  const order = await client.post(client.directory['newOrder'] ?? '', dnsNames(...names));
  if (order.status !== 201) throw new Error(`no order: ${order.text}`);
  const done = await client.post(order.body.finalize, {
    csr: csr({ dns: names, ...(key === undefined ? {} : { key }) }),
  });
  if (done.body.status !== 'valid') throw new Error(`not issued: ${done.text}`);
  return { order: done, chain: await client.post(done.body.certificate, '') };
}

export interface Responder {
  readonly port: number;
  /** Answers by token. */
  readonly answers: Map<string, string>;
  readonly asked: string[];
}

/** Answers http-01 challenges on 127.0.0.1. */
export async function httpResponder(context: TestContext): Promise<Responder> {
  const answers = new Map<string, string>();
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    const answer = answers.get((request.url ?? '').replace('/.well-known/acme-challenge/', ''));
    response.statusCode = answer === undefined ? 404 : 200;
    response.end(answer ?? 'nothing here');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => void server.close());
  return { port: (server.address() as AddressInfo).port, answers, asked };
}

/** That an answer is this error, with everything that errors have. */
export function assertProblem(reply: RawReply, status: number | readonly number[], ...tokens: string[]): void {
  const statuses = typeof status === 'number' ? [status] : status;
  assert.ok(statuses.includes(reply.status), `${reply.status} ${reply.text}`);
  assert.equal(reply.headers['content-type'], 'application/problem+json', reply.text);
  assert.ok(tokens.map(errorType).includes(reply.body.type), reply.text);
  assert.equal(reply.body.status, reply.status);
  assert.equal(typeof reply.body.detail, 'string');
}

export const errorType = (token: string): string => `urn:ietf:params:acme:error:${token}`;
