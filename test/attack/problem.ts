import assert from 'node:assert/strict';
import { errorCodes } from '#core/errors.ts';
import type { Reply } from '#test/chancery.ts';

/** What every refusal must be: a problem document whose sentence teaches, and that cannot harm whoever shows it. */

/** Control characters, direction marks and other invisible ones, surrogates: nothing of it belongs into a message. */
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/u;
/** What slips out when an exception is shown instead of a refusal. */
const innards = /\b(?:TypeError|RangeError|SyntaxError|SQLITE|undefined|NaN|\[object |node_modules|at .*\.ts:\d)/;

export interface Expected {
  readonly status?: number | readonly number[];
  readonly code?: string | readonly string[];
  /** It may be refused before anybody knows which operation with what input is asked for, and then leaves no audit event. */
  readonly unread?: true;
}

/** `what` says which request it was, in the messages of this check. */
export function assertProblem(reply: Reply, what: string, expected: Expected = {}): void {
  const { status, headers, body } = reply;
  const told = `${what}: ${status} ${JSON.stringify(body)?.slice(0, 600)}`;
  assert.ok(status >= 400 && status < 500, `${told} is no refusal`);
  assert.match(headers.get('content-type') ?? '', /^application\/problem\+json/, told);
  assert.equal(body.status, status, told);
  const entry = Object.entries(errorCodes).find(([code]) => code === body.code)?.[1];
  assert.ok(entry !== undefined, `${told}: unknown code`);
  assert.equal(body.title, entry.title, told);
  assert.equal(body.request_id, headers.get('x-request-id'), told);
  assertTeaches(body, told);
  if (expected.status !== undefined) assert.ok([expected.status].flat().includes(status), told);
  if (expected.code !== undefined) assert.ok([expected.code].flat().includes(body.code), told);
}

interface Told {
  readonly detail: unknown;
  readonly hint: unknown;
  readonly errors?: readonly { readonly at: unknown; readonly message: unknown }[];
}

function assertTeaches(body: Told, told: string): void {
  for (const sentence of [body.detail, body.hint]) {
    assert.equal(typeof sentence, 'string', `${told}: detail and hint are needed`);
    assert.match(String(sentence), /^.{7,1000}[.)?!]$/s, `${told}: not a sentence of a bearable length`);
  }
  const findings = (body.errors ?? []).flatMap(({ at, message }) => [at, message]);
  for (const text of [body.detail, body.hint, ...findings]) {
    assert.doesNotMatch(String(text), unprintable, told);
    assert.doesNotMatch(String(text), innards, told);
  }
}

/** What is wrong with a refusal, for tests that look at thousands and tell all that is wrong together. */
export function faultOf(reply: Reply, what: string): string | undefined {
  try {
    assertProblem(reply, what);
    return undefined;
  } catch (error) {
    return (error as Error).message.split('\n')[0];
  }
}
