import { AppError } from '#core/errors.ts';
import { OutboundError } from '#outbound/guarded-fetch.ts';
import { AcmeProblem, explain, isTemporary, type ProblemFacts } from './wire/problem.ts';

/** What an authority refused, or that it was not reached, as an answer to whoever asked. Anything else is thrown as it came. */
export function toAnswer(error: unknown, what: string): unknown {
  const message = explain(error);
  if (message === undefined) return error;
  const unreached = error instanceof OutboundError ? whyUnreached(error, message) : undefined;
  if (unreached !== undefined) return unreached;
  const problem = error instanceof AcmeProblem ? error.facts : undefined;
  if (!isTemporary(error))
    return new AppError('refused', `The authority refuses ${what}: ${sentence(message)}`, {
      hint: whatToDo(problem),
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
      hint:
        error instanceof AcmeProblem
          ? 'The same call may be made again.'
          : 'The same call may be made again; if that lasts, see whether the URL of its directory is right, and whether it can be reached from here.',
      cause: error,
    },
  );
}

/** A status without a word of ACME comes from a web server, and mostly from a wrong URL. */
function whatToDo(problem: ProblemFacts | undefined): string {
  if (problem?.type === 'unknown') return 'See whether the URL is that of its directory (RFC 8555 section 7.1.1).';
  if (problem?.instance !== undefined) return `It points to ${problem.instance}.`;
  return 'Put right what it says; acme_error names the kind of its refusal (RFC 8555 section 6.7).';
}

const untrusted = /^(?:UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|CERT_|ERR_TLS_CERT|HOSTNAME_MISMATCH)/;

/** What no repetition will change, since it is decided here. */
function whyUnreached(error: OutboundError, message: string): AppError | undefined {
  const { code } = (error.cause ?? {}) as { code?: unknown };
  if (typeof code === 'string' && untrusted.test(code))
    return new AppError('refused', `The TLS certificate of the authority is not trusted (${code}).`, {
      hint: 'An authority with roots of its own needs them as ca_certificate; verification cannot be turned off.',
      cause: error,
    });
  if (error.fault !== 'refused_address') return undefined;
  return new AppError('refused', `The authority is not called: ${sentence(message)}`, {
    hint: 'An authority at an inner address must be in CHANCERY_OUTBOUND_ALLOW, which whoever runs this server sets.',
    cause: error,
  });
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
