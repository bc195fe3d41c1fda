import { send } from './client.ts';
import { type CliOperation, type Command, toCommands } from './command.ts';
import type { Connection } from './connection.ts';
import type { LocalContext } from './main.ts';
import { type Problem, readProblem } from './problem.ts';
import { toRequest } from './request.ts';

/** Calls of the API by commands that do more with an answer than show it. */

export type Reply<Output> =
  | { readonly problem: Problem; readonly output?: undefined }
  | { readonly problem?: undefined; readonly output: Output };

type Input = Readonly<Record<string, unknown>>;

export interface Api {
  /** Calls an operation by its id. Throws when the server cannot be reached. */
  call<Output>(id: string, input: Input, headers?: Readonly<Record<string, string>>): Promise<Reply<Output>>;
}

export function createApi(
  { operations, version }: Pick<LocalContext, 'operations' | 'version'>,
  connection: Connection,
): Api {
  const commands = toCommands(operations);
  return {
    async call<Output>(id: string, input: Input, headers = {}): Promise<Reply<Output>> {
      const command = commandOf(commands, id);
      const options = { agent: `chancery-cli/${version}`, headers };
      const answer = await send(connection, toRequest(command, input), options);
      if (answer.status < 200 || answer.status >= 300) return { problem: readProblem(answer, command, commands) };
      return { output: JSON.parse(answer.body.toString()) as Output };
    },
  };
}

function commandOf(commands: readonly Command[], id: CliOperation['id']): Command {
  const command = commands.find(({ operation }) => operation.id === id);
  if (command === undefined) throw new Error(`this version has no operation ${id}`);
  return command;
}
