import type { ParsedArguments } from './arguments.ts';
import { certificateField, readCertificate } from './certificate-argument.ts';
import type { Command } from './command.ts';
import { pathParameters } from './command.ts';
import { exampleLine } from './example.ts';
import { usageFailure } from './failure.ts';
import { flagName } from './flags.ts';
import type { Field } from './schema.ts';
import type { Sources } from './sources.ts';
import { sourceName } from './sources.ts';
import { didYouMean } from '#core/suggest.ts';
import { jsonComplaint, readValue } from './values.ts';

export type Input = Readonly<Record<string, unknown>>;

/** The request: `--input` first, then what the flags and arguments say. Missing and unknown fields are usage errors. */
export async function readInput(command: Command, parsed: ParsedArguments, sources: Sources): Promise<Input> {
  const file = parsed.options.get('input')?.[0];
  const input: Record<string, unknown> = file === undefined ? {} : { ...(await readBody(command, file, sources)) };
  for (const field of command.input().fields) {
    const words = parsed.fields.get(field.name);
    if (words !== undefined && field.name !== certificateField(command))
      input[field.name] = await valueOf(command, field, words, sources);
  }
  const certificate = certificateField(command);
  const word = certificate === undefined ? undefined : parsed.fields.get(certificate)?.[0];
  if (certificate !== undefined && typeof word === 'string')
    Object.assign(input, await readCertificate(certificate, word, input, sources));
  requireFields(command, input);
  checkPath(command, input);
  return input;
}

async function valueOf(
  command: Command,
  field: Field,
  words: readonly (string | null)[],
  sources: Sources,
): Promise<unknown> {
  if (words.includes(null)) return field.type.kind === 'boolean' ? false : field.type.kind === 'list' ? [] : null;
  const values: unknown[] = [];
  for (const word of words) values.push(await readValue(command, field, word ?? '', sources));
  return field.type.kind === 'list' ? values.flat(1) : values[0];
}

async function readBody(command: Command, file: string, sources: Sources): Promise<Input> {
  const source = sourceName(file);
  const body = parseBody(source, await sources.read(file));
  const { fields, open } = command.input();
  const known = fields.map(({ name }) => name);
  const unknown = open ? undefined : Object.keys(body).find((key) => !known.includes(key));
  if (unknown === undefined) return body;
  throw usageFailure(`${source} has a field "${unknown.slice(0, 60)}" that ${command.verb} does not take`, {
    hint: didYouMean(unknown, known) ?? `it takes ${known.join(', ')}`,
  });
}

function parseBody(file: string, text: string): Input {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (thrown) {
    throw usageFailure(`${file} is not JSON: ${jsonComplaint(thrown)}`);
  }
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Input;
  throw usageFailure(`${file} holds JSON, but no object`);
}

function requireFields(command: Command, input: Input): void {
  const needed = command.input().fields.filter(({ required }) => required);
  const missing = needed.filter(({ name }) => input[name] === undefined);
  if (missing.length === 0) return;
  const word = (field: Field) =>
    command.positional.includes(field.name) ? field.name.toUpperCase() : `--${flagName(field)}`;
  const names = missing.map(word);
  throw usageFailure(`${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} missing`, {
    details: missing.map((field) => `${word(field)}: ${field.description || 'required'}`),
    hint: `for example: ${exampleLine(command, input)}`,
  });
}

/** A path parameter is one segment: empty or `..` would ask for something else than it says. */
function checkPath(command: Command, input: Input): void {
  for (const name of pathParameters(command.operation.http.path)) {
    const value = input[name];
    if (value === '' || value === '.' || value === '..')
      throw usageFailure(`${name} is "${value}", which names nothing`, { hint: `give the ${name} of one thing` });
  }
}
