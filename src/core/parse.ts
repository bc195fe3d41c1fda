import { z } from 'zod';
import { AppError } from './errors.ts';
import type { BoundAct } from './operation.ts';
import { didYouMean } from './suggest.ts';

/** Validates what came in against the operation's strict schema. Throws `invalid_request` naming every finding. */
export function parseInput(operation: Pick<BoundAct, 'id' | 'input'>, raw: unknown): unknown {
  const result = operation.input.safeParse(raw ?? {});
  if (result.success) return result.data;
  const details = result.error.issues.flatMap((issue, index) => findings(operation, issue, index));
  const first = details[0] ?? { at: '', message: 'not valid' };
  const { at, message } = first;
  throw new AppError(
    'invalid_request',
    `${at === '' ? 'The request' : at}: ${message}${message.endsWith('?') ? '' : '.'}`,
    {
      hint: `The schema of ${operation.id} is at /openapi.json and /docs.`,
      details,
    },
  );
}

/** At most this many findings are told; a hostile body must not make the answer large. */
const maxFindings = 20;
const longestMessage = 300;

function findings(
  operation: Pick<BoundAct, 'input'>,
  issue: z.core.$ZodIssue,
  index: number,
): { at: string; message: string }[] {
  if (index >= maxFindings) return [];
  const at = issue.path.map((part) => `/${shown(String(part))}`).join('');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys
      .slice(0, maxFindings)
      .map((key) => ({ at: `${at}/${shown(key)}`, message: noSuchField(operation, key, issue.path.length) }));
  }
  const message = wordings.reduce((text, [zod, ours]) => text.replace(zod, ours), issue.message);
  return [{ at, message: message.slice(0, longestMessage) }];
}

function noSuchField({ input }: Pick<BoundAct, 'input'>, key: string, depth: number): string {
  const known = depth === 0 && input instanceof z.ZodObject ? Object.keys(input.shape) : [];
  const near = didYouMean(key, known);
  return `there is no field of this name${near === undefined ? '' : `; ${near}`}`;
}

/** Zod's sentences, as they are said to people. */
const wordings: readonly (readonly [zod: RegExp, ours: string])[] = [
  [/^Invalid input: expected (.+), received undefined$/, 'is missing; expected $1'],
  // A text that was to be read as a number and is none comes out as NaN, which is nothing that anybody sent.
  [/^Invalid input: expected number, received NaN$/, 'expected a number'],
  [/^Invalid input: (expected .+)$/, '$1'],
  [/^Invalid option: expected one of (.+)$/, 'must be one of $1'],
  [/^Too small: expected \w+ to be >=(\S+)$/, 'must be at least $1'],
  [/^Too big: expected \w+ to be <=(\S+)$/, 'must be at most $1'],
  [/^Too small: expected \w+ to be >(\S+)$/, 'must be more than $1'],
  [/^Too big: expected \w+ to be <(\S+)$/, 'must be less than $1'],
  [/^Too small: expected \w+ to have >=(\d+) (\w+)$/, 'must have at least $1 $2'],
  [/^Too big: expected \w+ to have <=(\d+) (\w+)$/, 'must have at most $1 $2'],
];

const longestName = 64;

/** The name of a field as it came from outside: printable ASCII as such, the rest as code points, so that it is only text. */
function shown(name: string): string {
  return name
    .slice(0, longestName)
    .replaceAll(/[^\x21-\x7e]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`);
}

/** Brings the answer into the shape that the operation promises. A field that is not promised is an error of ours. */
export function shapeOutput(operation: Pick<BoundAct, 'id' | 'output'>, output: unknown): unknown {
  const result = operation.output.safeParse(output);
  if (result.success) return result.data;
  throw new Error(`the output of ${operation.id} does not fit its schema`, { cause: result.error });
}
