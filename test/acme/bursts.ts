import assert from 'node:assert/strict';
import type { Client } from '#test/chancery.ts';
import type { BindingKey, RawClient, RawReply } from './raw-client.ts';
import { assertProblem, dnsNames, newExternalKey } from './server-world.ts';

/** What must hold however many requests come at once, and on however many nodes. */

const limits = { pending_authorizations: 12, failed_validations: 3 };

/** A role with narrow limits, and a key for its directory. */
export async function narrowRole(server: Client): Promise<BindingKey> {
  await server.ok('POST', 'pki/roles', {
    name: 'narrow',
    authority: 'issuing',
    allowed_domains: ['example.com'],
    allow_subdomains: true,
  });
  await server.ok('PUT', 'acme/directories/narrow', { limits, validation_attempts: 10 });
  return newExternalKey(server, { role: 'narrow' });
}

function assertTaken(replies: readonly RawReply[], status: number, most: number): RawReply[] {
  const taken = replies.filter((reply) => reply.status === status);
  for (const reply of replies)
    if (reply.status !== status && reply.status !== 503) assertProblem(reply, 429, 'rateLimited');
  assert.equal(taken.length, most);
  return taken;
}

/** Orders of two names each and pre-authorizations come at once: no more authorizations are open than are allowed. */
export async function assertOpenAuthorizationsAreBounded(client: RawClient): Promise<void> {
  const { newOrder = '', newAuthz = '' } = client.directory;
  const asked = Array.from({ length: 20 }, (_, index) => [
    client.post(newOrder, dnsNames(`a${index}.example.com`, `b${index}.example.com`)),
    client.post(newAuthz, { identifier: { type: 'dns', value: `c${index}.example.com` } }),
  ]);
  const replies = await Promise.all(asked.flat());
  const made = replies.filter(({ status }) => status === 201);
  const open = made.flatMap(authorizationsIn);
  assert.equal(open.length, limits.pending_authorizations);
  assertTaken(replies, 201, made.length);
  // What is open no more makes room for as many, and counts once however often it is ended.
  const [one = '', two = ''] = open;
  for (const url of [one, two, one]) await client.post(url, { status: 'deactivated' });
  const again = await Promise.all(
    Array.from({ length: 6 }, (_, index) => client.post(newOrder, dnsNames(`d${index}.example.com`))),
  );
  const last = assertTaken(again, 201, 2);
  for (const url of [...open, ...last.flatMap(authorizationsIn)]) await client.post(url, { status: 'deactivated' });
}

function authorizationsIn({ body, headers }: RawReply): string[] {
  return (body.authorizations as string[] | undefined) ?? [headers.location ?? ''];
}

/** Challenges of one name are taken up at once: no more than may fail. */
export async function assertFailuresAreBounded(client: RawClient): Promise<void> {
  const orders = [];
  for (let index = 0; index < 10; index++)
    orders.push(await client.post(client.directory['newOrder'] ?? '', dnsNames('same.example.com')));
  const challenges = await Promise.all(
    orders.map(async ({ body }) => {
      const authorization = await client.post(body.authorizations[0], '');
      return authorization.body.challenges[0].url as string;
    }),
  );
  const replies = await Promise.all(challenges.map((url) => client.post(url, {})));
  assertTaken(replies, 200, limits.failed_validations);
  assertProblem(
    await client.post(challenges[replies.findIndex(({ status }) => status === 429)] ?? '', {}),
    429,
    'rateLimited',
  );
}
