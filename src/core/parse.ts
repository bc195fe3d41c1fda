import type { z } from 'zod';
import { AppError } from './errors.ts';
import type { BoundOperation } from './operation.ts';

/** Validates what came in against the operation's strict schema. Throws `invalid_request` naming every finding. */
export function parseInput(operation: Pick<BoundOperation, 'id' | 'input'>, raw: unknown): unknown {
  const result = operation.input.safeParse(raw ?? {});
  if (result.success) return result.data;
  const details = result.error.issues.flatMap(findings);
  const first = details[0] ?? { at: '', message: 'not valid' };
  throw new AppError('invalid_request', `${first.at === '' ? 'The request' : first.at}: ${first.message}.`, {
    hint: `The schema of ${operation.id} is at /openapi.json and /docs.`,
    details,
  });
}

/** At most this many findings are told; a hostile body must not make the answer large. */
const maxFindings = 20;
const longestMessage = 300;

function findings(issue: z.core.$ZodIssue, index: number): { at: string; message: string }[] {
  if (index >= maxFindings) return [];
  const at = issue.path.map((part) => `/${shown(String(part))}`).join('');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys
      .slice(0, maxFindings)
      .map((key) => ({ at: `${at}/${shown(key)}`, message: 'there is no field of this name' }));
  }
  // A text that was to be read as a number and is none comes out as NaN, which is nothing that anybody sent.
  const message = issue.message
    .replace('expected number, received NaN', 'expected a number')
    .replace(/^Invalid input: expected (.+), received undefined$/, 'is missing; expected $1');
  return [{ at, message: message.slice(0, longestMessage) }];
}

const longestName = 64;

/** The name of a field as it came from outside: printable ASCII as such, the rest as code points, so that it is only text. */
function shown(name: string): string {
  return name
    .slice(0, longestName)
    .replaceAll(/[^\x21-\x7e]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`);
}

/** Brings the answer into the shape that the operation promises. A field that is not promised is an error of ours. */
export function shapeOutput(operation: Pick<BoundOperation, 'id' | 'output'>, output: unknown): unknown {
  const result = operation.output.safeParse(output);
  if (result.success) return result.data;
  throw new Error(`the output of ${operation.id} does not fit its schema`, { cause: result.error });
}
