import { type McpServer, ProtocolError, ProtocolErrorCode } from '@modelcontextprotocol/server';
import type { Caller } from './caller.ts';
import type { PartContext } from './server.ts';
import { type Job, jobs, preamble } from './texts/jobs.ts';
import { safeText } from './untrusted-text.ts';

/** The jobs as prompts: the user chooses one and gives the arguments. */

/** Characters. */
const longestArgument = 500;

export function registerPrompts({ server }: McpServer, { caller }: PartContext): void {
  server.registerCapabilities({ prompts: {} });
  server.setRequestHandler('prompts/list', () => ({
    prompts: jobsFor(caller).map(({ name, title, description, arguments: args }) => ({
      name,
      title,
      description,
      arguments: args.map(({ name: argument, description: about, required }) => ({
        name: argument,
        description: about,
        required,
      })),
    })),
  }));
  server.setRequestHandler('prompts/get', ({ params }) => {
    const job = promptNamed(caller, params.name);
    if (job === undefined) throw unknownPrompt(caller);
    const given = checkArguments(job, params.arguments ?? {});
    return {
      description: job.description,
      messages: [{ role: 'user', content: { type: 'text', text: promptText(job, given) } }],
    };
  });
}

/** Those that this caller could do: what its token and the operator leave of the operations is enough. */
export function jobsFor({ operations, readOnly }: Caller): Job[] {
  const effects = new Map(operations.map(({ id, effect }) => [id, effect]));
  return jobs.filter(({ needs }) => needs.every((id) => effects.has(id) && (!readOnly || effects.get(id) === 'read')));
}

export function promptNamed(caller: Caller, name: string): Job | undefined {
  return jobsFor(caller).find((job) => job.name === name);
}

export function unknownPrompt(caller: Caller): ProtocolError {
  const names = jobsFor(caller).map(({ name }) => name);
  const there = names.length === 0 ? 'This token could follow none.' : `There are ${names.join(', ')}.`;
  return invalid(`There is no prompt of this name here. ${there}`);
}

type Arguments = Readonly<Record<string, string>>;

function checkArguments(job: Job, given: Arguments): Arguments {
  const names = job.arguments.map(({ name }) => name);
  if (Object.keys(given).some((name) => !names.includes(name)))
    throw invalid(`${job.name} takes ${argumentsText(job)}, and nothing else.`);
  for (const { name, required } of job.arguments) {
    const value = given[name];
    if (required && (value === undefined || value === ''))
      throw invalid(`${job.name} needs ${name}: it takes ${argumentsText(job)}.`);
    if (value !== undefined && value.length > longestArgument)
      throw invalid(`${name} has more than ${longestArgument} characters.`);
  }
  return given;
}

function argumentsText(job: Job): string {
  return job.arguments.map(({ name, required }) => (required ? name : `${name} (may be left out)`)).join(', ');
}

function invalid(message: string): ProtocolError {
  return new ProtocolError(ProtocolErrorCode.InvalidParams, message);
}

/** Arguments stand in quotes: they may have been copied from anywhere. */
function promptText(job: Job, given: Arguments): string {
  const lines = job.arguments.flatMap(({ name }) => {
    const value = given[name];
    return value === undefined || value === '' ? [] : [`- ${name}: ${JSON.stringify(safeText(value))}`];
  });
  return `${job.title}.\n${lines.join('\n')}\n\n${jobText(job)}`;
}

/** What prompts and skills have in common. */
export function jobText({ steps }: Job): string {
  return `${preamble}\n\n${steps}\n`;
}
