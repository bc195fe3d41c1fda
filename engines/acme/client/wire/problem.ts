import { z } from 'zod';
import { TooLate } from '#acme/client/deadline.ts';
import { OutboundError } from '#outbound/guarded-fetch.ts';

/** Why an authority did not do what was asked (RFC 7807 and RFC 8555 §6.7). */
export interface ProblemFacts {
  /** Short, as in RFC 8555 §6.7: `rateLimited`; the whole URI when it is none of ACME's. */
  readonly type: string;
  /** HTTP status; 0 when the problem stood inside another answer. */
  readonly status: number;
  /** In the authority's words: bounded, and printable. */
  readonly detail: string;
  readonly subproblems: readonly Subproblem[];
  /** Where an operator must go, as for new terms of service (RFC 8555 §7.3.3). */
  readonly instance?: string | undefined;
  /** Seconds. */
  readonly retryAfter?: number | undefined;
}

export interface Subproblem {
  readonly type: string;
  readonly detail: string;
  readonly identifier: string | undefined;
}

export class AcmeProblem extends Error {
  override readonly name = 'AcmeProblem';
  readonly facts: ProblemFacts;

  constructor(facts: ProblemFacts) {
    super(sentenceOf(facts));
    this.facts = facts;
  }

  get type(): string {
    return this.facts.type;
  }
}

/** An answer that is none: it could not be parsed, or lacks what RFC 8555 demands. */
export class MalformedAnswer extends Error {
  override readonly name = 'MalformedAnswer';
}

const prefix = 'urn:ietf:params:acme:error:';
const longestText = 400;
const mostSubproblems = 20;

const problemSchema = z.object({
  type: z.string().optional(),
  detail: z.string().optional(),
  title: z.string().optional(),
  instance: z.string().optional(),
  subproblems: z
    .array(
      z.object({
        type: z.string().optional(),
        detail: z.string().optional(),
        identifier: z.object({ value: z.string() }).optional(),
      }),
    )
    .optional(),
});

/** What an authority wrote is text of a stranger: it is cut, and nothing in it controls a terminal. */
export function plainText(text: string): string {
  return text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ').slice(0, longestText);
}

export function readProblem(value: unknown, status: number, retryAfter?: number): AcmeProblem {
  const { data } = problemSchema.safeParse(value);
  if (data === undefined)
    return new AcmeProblem({ type: 'unknown', status, detail: `HTTP status ${status}`, subproblems: [], retryAfter });
  return new AcmeProblem({
    type: shortType(data.type ?? 'unknown'),
    status,
    detail: plainText(data.detail ?? data.title ?? `HTTP status ${status}`),
    instance: data.instance === undefined ? undefined : plainText(data.instance),
    retryAfter,
    subproblems: (data.subproblems ?? []).slice(0, mostSubproblems).map((each) => ({
      type: shortType(each.type ?? 'unknown'),
      detail: plainText(each.detail ?? ''),
      identifier: each.identifier === undefined ? undefined : plainText(each.identifier.value),
    })),
  });
}

function shortType(type: string): string {
  return plainText(type.startsWith(prefix) ? type.slice(prefix.length) : type).slice(0, 100);
}

function sentenceOf({ type, detail, subproblems }: ProblemFacts): string {
  const parts = subproblems.map((each) => `${each.identifier ?? 'one part'}: ${each.detail} (${each.type})`);
  return [`${detail.replace(/\.$/, '')} (${type})`, ...parts].join('; ').slice(0, 1000);
}

/** Whether the same request may succeed later, without anybody changing anything. */
export function isTemporary(error: unknown): boolean {
  if (error instanceof OutboundError) return error.fault !== 'bad_url' && error.fault !== 'refused_address';
  if (error instanceof MalformedAnswer || error instanceof TooLate) return true;
  if (!(error instanceof AcmeProblem)) return false;
  const { type, status } = error.facts;
  return type === 'rateLimited' || type === 'serverInternal' || type === 'badNonce' || status === 429 || status >= 500;
}

/** One sentence for rows and answers; undefined for what is no failure of the authority or of the way to it. */
export function explain(error: unknown): string | undefined {
  if (error instanceof AcmeProblem || error instanceof MalformedAnswer || error instanceof TooLate)
    return error.message;
  if (!(error instanceof OutboundError)) return undefined;
  const code = (error.cause as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? `${error.message} (${code})` : error.message;
}
