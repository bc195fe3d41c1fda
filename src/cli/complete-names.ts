import { send } from './client.ts';
import type { Command } from './command.ts';
import { listField, pathParameters, pluralOf } from './command.ts';
import type { Candidate, Completing } from './complete.ts';
import { readConnection } from './connection.ts';
import { toRequest } from './request.ts';
import type { Field } from './schema.ts';
import { itemFields } from './view.ts';

/** Nobody waits longer for a name to appear. Milliseconds. */
const timeoutMs = 1000;
const maxNames = 200;

/** Names end up in a command line, so only those that mean nothing to a shell are offered. */
const harmless = /^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,127}$/;

/** Names of existing things for a field, asked from the server; none when it does not answer at once. */
export async function serverNames(context: Completing, command: Command, field: Field): Promise<Candidate[]> {
  const list = listFor(context.commands, command, field);
  if (list === undefined) return [];
  const key = keyOf(list, field);
  try {
    const connection = readConnection(context.env, timeoutMs);
    const limit = list.input().fields.some(({ name }) => name === 'limit') ? { limit: maxNames } : {};
    const answer = await send(connection, toRequest(list, limit), { agent: `chancery-cli/${context.version}` });
    if (answer.status !== 200) return [];
    const page = JSON.parse(answer.body.toString()) as Record<string, readonly Record<string, unknown>[] | undefined>;
    return (page[listField(list)?.name ?? ''] ?? []).flatMap((item) => {
      const name = item[key];
      return typeof name === 'string' && harmless.test(name) ? [[name, ''] as const] : [];
    });
  } catch {
    // No server, no token, no names: completion is a help, never an error.
    return [];
  }
}

/** `/pki/roles/{name}` is listed by `GET /pki/roles`; a field `role` of the same area as well. */
function listFor(commands: readonly Command[], command: Command, field: Field): Command | undefined {
  const { path } = command.operation.http;
  const lists = commands.filter(
    (candidate) =>
      candidate.operation.http.method === 'GET' &&
      pathParameters(candidate.operation.http.path).length === 0 &&
      listField(candidate) !== undefined,
  );
  const at = path.indexOf(`/{${field.name}}`);
  if (at !== -1) return lists.find((candidate) => candidate.operation.http.path === path.slice(0, at));
  const plural = field.type.kind === 'list' ? field.name : pluralOf(field.name);
  const named = lists.filter((candidate) => candidate.operation.http.path.endsWith(`/${plural}`));
  return named.find((candidate) => candidate.area === command.area) ?? named[0];
}

function keyOf(list: Command, field: Field): string {
  const known = itemFields(list);
  return [field.name, 'name', 'id'].find((name) => known.includes(name)) ?? 'name';
}
