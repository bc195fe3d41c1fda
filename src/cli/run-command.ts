import { setTimeout as sleep } from 'node:timers/promises';
import type { ParsedArguments } from './arguments.ts';
import { parseArguments } from './arguments.ts';
import { send } from './client.ts';
import type { Answer } from './client.ts';
import type { Command } from './command.ts';
import { readConnection, readTimeout } from './connection.ts';
import type { Connection } from './connection.ts';
import { remark, showProblem } from './explain.ts';
import { CliFailure, exitCodes, usageFailure } from './failure.ts';
import { releaseFiles, requestedFiles, reserveFiles } from './files.ts';
import { readInput } from './input.ts';
import type { Input } from './input.ts';
import { present, startFieldPages, startJsonPages, startPages } from './present.ts';
import { readProblem } from './problem.ts';
import type { Problem } from './problem.ts';
import { toRequest } from './request.ts';
import type { Environment, Screen } from './screen.ts';
import { createSources } from './sources.ts';
import type { Item } from './table.ts';
import { readView } from './view.ts';
import type { View } from './view.ts';

/** What a command needs of the world. */
export interface Surroundings {
  /** All of them, for what the server says of others. */
  readonly commands: readonly Command[];
  readonly env: Environment;
  readonly stdin: AsyncIterable<unknown>;
  readonly screen: Screen;
  readonly version: string;
}

interface Session extends Surroundings {
  readonly command: Command;
  readonly connection: Connection;
  readonly headers: Readonly<Record<string, string>>;
  readonly verbose: boolean;
  readonly view: View;
}

/** Runs one operation: everything local is checked first, so that a usage error never leaves half a deed behind. */
export async function runCommand(command: Command, words: readonly string[], world: Surroundings): Promise<number> {
  const parsed = parseArguments(command, words);
  const view = readView(command, parsed.options);
  const files = requestedFiles(command, parsed.options);
  const input = await readInput(command, parsed, createSources(world.stdin, command.operation.http.bodyLimit));
  const timeout = parsed.options.get('timeout')?.[0];
  const connection = readConnection(world.env, timeout === undefined ? undefined : await readTimeout(timeout));
  const verbose = parsed.options.has('verbose');
  const session: Session = { ...world, command, connection, headers: headersOf(parsed), verbose, view };
  if (view.all) return runPages(session, input);
  if (view.watch) return watch(session, input);
  const reserved = await reserveFiles(files, parsed.options.has('force'));
  let reply: Reply;
  try {
    reply = await call(session, input);
  } catch (thrown) {
    await releaseFiles(reserved);
    throw thrown;
  }
  if (reply.problem === undefined) return present(world.screen, command, reply.output, view, reserved);
  await releaseFiles(reserved);
  return showProblem(world.screen, reply.problem, view.json);
}

function headersOf({ options }: ParsedArguments): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [flag, header] of [
    ['idempotency-key', 'idempotency-key'],
    ['approval-id', 'chancery-approval'],
  ] as const) {
    const value = options.get(flag)?.[0];
    if (value === undefined) continue;
    if (!/^[\x21-\x7e]{1,255}$/.test(value))
      throw new CliFailure(exitCodes.usage, `--${flag} takes 1 to 255 printable ASCII characters without blanks`);
    headers[header] = value;
  }
  return headers;
}

type Reply = { readonly problem: Problem } | { readonly problem?: undefined; readonly output: Item | undefined };

async function call(session: Session, input: Input): Promise<Reply> {
  const { screen, connection, verbose } = session;
  const request = toRequest(session.command, input);
  const target = `${connection.url.origin}${connection.url.pathname.replace(/\/$/, '')}${request.path}`;
  if (verbose) await remark(screen, 'note', `${request.method} ${target}, token: ${connection.tokenSource}`);
  const started = screen.clock.now();
  const answer = await send(connection, request, {
    headers: session.headers,
    agent: `chancery-cli/${session.version}`,
  });
  if (verbose) await remark(screen, 'note', `${answer.status} after ${screen.clock.now() - started} ms${idOf(answer)}`);
  if (answer.status < 200 || answer.status >= 300)
    return { problem: readProblem(answer, session.command, session.commands) };
  if (answer.headers['idempotency-replayed'] === 'true')
    await remark(screen, 'note', 'this is the kept answer of an earlier call with this key; secrets are not repeated');
  return { output: readOutput(answer) };
}

function idOf(answer: Answer): string {
  const id = answer.headers['x-request-id'];
  return typeof id === 'string' ? `, request id ${id}` : '';
}

function readOutput(answer: Answer): Item | undefined {
  if (answer.status === 204 || answer.body.length === 0) return undefined;
  try {
    const output: unknown = JSON.parse(answer.body.toString());
    if (typeof output === 'object' && output !== null && !Array.isArray(output)) return output as Item;
  } catch {
    // falls through to the one sentence below
  }
  const type = (answer.headers['content-type'] ?? 'no content type').replace(/;.*$/s, '');
  throw new CliFailure(
    exitCodes.failed,
    `the answer is ${answer.status} with ${type}, which is not how Chancery answers`,
    {
      hint: 'check CHANCERY_URL: something else may listen there',
    },
  );
}

/** Milliseconds between two answers under `--watch`. */
const watchInterval = 2000;

/** To the upper left corner, and everything below cleared (ECMA-48 CUP and ED). */
const clearScreen = '\u001b[H\u001b[2J';

/** `--watch`: until the process is interrupted, or the server refuses. */
async function watch(session: Session, input: Input): Promise<number> {
  const { screen, command, view } = session;
  if (!screen.out.isTerminal)
    throw usageFailure('--watch needs a terminal', { hint: 'in a script, call the command again when it is time' });
  for (;;) {
    const { problem, output } = { output: undefined, ...(await call(session, input)) };
    if (problem !== undefined) return showProblem(screen, problem, view.json);
    await screen.out.write(clearScreen);
    await present(screen, command, output, view, []);
    await sleep(watchInterval);
  }
}

/** `--all`: page after page, shown as they come. */
async function runPages(session: Session, input: Input): Promise<number> {
  const { screen, command, view } = session;
  const pages = view.json
    ? startJsonPages(screen, command)
    : view.field === undefined
      ? startPages(screen, command)
      : startFieldPages(screen, command, view.field);
  let asked: Input = { limit: largestPage(command), ...input };
  for (;;) {
    const { problem, output = {} } = { output: undefined, ...(await call(session, asked)) };
    if (problem !== undefined) return showProblem(screen, problem, view.json);
    await pages.add(output);
    const cursor = output['next_cursor'];
    if (typeof cursor !== 'string') {
      await pages.end(output);
      return exitCodes.ok;
    }
    if (cursor === asked['cursor'])
      throw new CliFailure(exitCodes.failed, 'the list does not move on: it gave the same cursor twice');
    asked = { ...asked, cursor };
  }
}

function largestPage(command: Command): number | undefined {
  return command.input().fields.find(({ name }) => name === 'limit')?.type.maximum;
}
