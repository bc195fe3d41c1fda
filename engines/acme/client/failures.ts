import { AppError } from '#core/errors.ts';
import { AcmeProblem, explain, isTemporary } from './wire/problem.ts';

/** What an authority refused, or that it was not reached, as an answer to whoever asked. Anything else is thrown as it came. */
export function toAnswer(error: unknown, what: string): unknown {
  const message = explain(error);
  if (message === undefined) return error;
  const problem = error instanceof AcmeProblem ? error.facts : undefined;
  if (!isTemporary(error))
    return new AppError('refused', `The authority refuses ${what}: ${sentence(message)}`, {
      hint:
        problem?.instance === undefined
          ? 'Put right what it says; acme_error names the kind of its refusal (RFC 8555 section 6.7), if it gave one.'
          : `It points to ${problem.instance}.`,
      ...(problem === undefined
        ? {}
        : {
            members: { acme_error: problem.type },
            details: problem.subproblems.map((each) => ({ at: each.identifier ?? '', message: each.detail })),
          }),
    });
  const limited = problem?.type === 'rateLimited';
  const { retryAfter } = problem ?? {};
  return new AppError(
    limited ? 'rate_limited' : 'unavailable',
    `The authority cannot do ${what} now: ${sentence(message)}`,
    {
      ...(retryAfter === undefined ? {} : { retryAfter: Math.max(1, Math.min(retryAfter, 86_400)) }),
      hint: 'The same call may be made again.',
      cause: error,
    },
  );
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** Runs what talks to an authority for somebody who waits. */
export async function answering<Result>(what: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw toAnswer(error, what);
  }
}
