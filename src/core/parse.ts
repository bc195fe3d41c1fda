import type { z } from 'zod';
import { AppError } from './errors.ts';
import type { BoundOperation } from './operation.ts';

/** Validates what came in against the operation's strict schema. Throws `invalid_request` naming every finding. */
export function parseInput(operation: Pick<BoundOperation, 'id' | 'input'>, raw: unknown): unknown {
  const result = operation.input.safeParse(raw ?? {});
  if (result.success) return result.data;
  const details = result.error.issues.flatMap(findings);
  const first = details[0] ?? { at: '', message: 'not valid' };
  throw new AppError('invalid_request', `${first.at === '' ? 'The request' : first.at}: ${first.message}`, {
    hint: `The schema of ${operation.id} is at /openapi.json and /docs.`,
    details,
  });
}

/** At most this many findings are told; a hostile body must not make the answer large. */
const maxFindings = 20;

function findings(issue: z.core.$ZodIssue, index: number): { at: string; message: string }[] {
  if (index >= maxFindings) return [];
  const at = issue.path.length === 0 ? '' : `/${issue.path.map((part) => String(part).slice(0, 64)).join('/')}`;
  if (issue.code === 'unrecognized_keys') {
    return issue.keys
      .slice(0, maxFindings)
      .map((key) => ({ at: `${at}/${key.slice(0, 64)}`, message: 'unknown field' }));
  }
  return [{ at, message: issue.message.slice(0, 300) }];
}

/** Brings the answer into the shape that the operation promises. A field that is not promised is an error of ours. */
export function shapeOutput(operation: Pick<BoundOperation, 'id' | 'output'>, output: unknown): unknown {
  const result = operation.output.safeParse(output);
  if (result.success) return result.data;
  throw new Error(`the output of ${operation.id} does not fit its schema`, { cause: result.error });
}
