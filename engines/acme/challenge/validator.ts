import type { Perspective } from '#acme/dns/perspective.ts';
import { judgeCaa } from './caa.ts';
import type { ChallengeAttempt, ChallengeResult, ChallengeValidator } from './contract.ts';
import { validateDns } from './dns-01.ts';
import { type ChallengePorts, validateHttp } from './http-01.ts';
import { failed, passed } from './outcome.ts';
import { validateTlsAlpn } from './tls-alpn-01.ts';

export interface ChallengeValidatorOptions {
  /** Every attempt must succeed in each: an attacker who fools one resolver, or one path to it, gets nothing. */
  readonly perspectives: readonly Perspective[];
  readonly ports: ChallengePorts;
  /** For one whole attempt, in milliseconds; default 10 s. */
  readonly timeoutMs?: number;
}

/** Asks responders and the DNS, with nothing kept between two attempts. */
export function createChallengeValidator(options: ChallengeValidatorOptions): ChallengeValidator {
  const { perspectives, ports, timeoutMs = 10_000 } = options;
  const closing = new AbortController();
  const underWay = new Set<Promise<unknown>>();

  const check = async (
    look: (perspective: Perspective, signal: AbortSignal) => Promise<ChallengeResult>,
    given: AbortSignal | undefined,
  ) => {
    const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(timeoutMs), ...(given ? [given] : [])]);
    const work = Promise.all(perspectives.map((perspective) => inTime(safely(look(perspective, signal)), signal)));
    underWay.add(work);
    try {
      const results = await work;
      return closing.signal.aborted ? failed('serverInternal', 'The server is stopping.') : together(results);
    } finally {
      underWay.delete(work);
    }
  };

  return {
    validate: (attempt, given) =>
      check((perspective, signal) => lookAt(attempt, { perspective, signal, ports, timeoutMs }), given),
    checkCaa: (attempt, given) => check((perspective, signal) => judgeCaa(attempt, perspective, signal), given),
    async close() {
      closing.abort();
      await Promise.allSettled(underWay);
    },
  };
}

/** Milliseconds that a look has after the end of its time to say what it waited for. */
const graceMs = 500;

/** Whatever a look waits for, it has ended a moment after its time: the place that it takes is wanted by others. */
async function inTime(work: Promise<ChallengeResult>, signal: AbortSignal): Promise<ChallengeResult> {
  const { promise: late, resolve } = Promise.withResolvers<ChallengeResult>();
  let timer: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    timer = setTimeout(() => resolve(failed('connection', 'The validation did not end in time.')), graceMs);
  };
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

interface Look {
  readonly perspective: Perspective;
  readonly signal: AbortSignal;
  readonly ports: ChallengePorts;
  readonly timeoutMs: number;
}

function lookAt(attempt: ChallengeAttempt, { perspective, signal, ports, timeoutMs }: Look): Promise<ChallengeResult> {
  switch (attempt.type) {
    case 'http-01':
      return validateHttp(attempt, ports, perspective, signal, timeoutMs);
    case 'dns-01':
      return validateDns(attempt, perspective, signal);
    case 'tls-alpn-01':
      return validateTlsAlpn(attempt, ports.tls, perspective, signal, timeoutMs);
  }
}

/** Nothing that a responder sends may end in anything but a result. */
async function safely(work: Promise<ChallengeResult>): Promise<ChallengeResult> {
  try {
    return await work;
  } catch {
    return failed('serverInternal', 'The validation failed for a reason of this server.');
  }
}

/** The first failure that is final, else the first failure. */
function together(results: readonly ChallengeResult[]): ChallengeResult {
  const failures = results.filter((result) => !result.ok);
  const worst = failures.find(({ retry }) => !retry) ?? failures[0];
  if (worst === undefined) return results.length > 0 ? passed : failed('dns', 'No resolver is configured.');
  if (results.length === 1) return worst;
  const detail = `${worst.problem.detail} Seen by ${failures.length} of ${results.length} resolvers.`;
  return { ...worst, problem: { ...worst.problem, detail } };
}
