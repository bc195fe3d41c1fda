import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import * as fc from 'fast-check';
import type { InProcess, Reply } from '#test/chancery.ts';
import { openTarget, processorTime, type Target } from './attack.ts';
import { pem } from './csr.ts';
import { damages, encode, encodeDamaged, type Node, parse, paths } from './der-tree.ts';
import { faultOf } from './problem.ts';

/**
 * Generated and damaged input for every parser that stands behind a door: whatever comes, the answer is a result or a
 * problem document, and costs less than a second of processor time.
 */

/** Where an input goes: each takes octets. */
const doors = {
  /** DER of a certificate request. */
  csr: ({ server }: Target, input: Buffer) => plan(server, pem(input)),
  /** What stands in place of the PEM of one. */
  pem: ({ server }: Target, input: Buffer) => plan(server, input.toString()),
  /** DER of a certificate to validate. */
  certificate: ({ server }: Target, input: Buffer) => validate(server, { certificate: pem(input, 'CERTIFICATE') }),
  /** JSON of what to validate. */
  validate: ({ server }: Target, input: Buffer) => validate(server, JSON.parse(input.toString()) as object),
  /** Body for the OCSP responder. */
  ocsp: ({ server }: Target, input: Buffer) => askOcsp(server.url, input),
  /** JSON of method, path and body. */
  call: ({ server }: Target, input: Buffer) => {
    const { method, path, body } = JSON.parse(input.toString()) as CallInput;
    return server.call(method, path, body);
  },
};
export type Door = keyof typeof doors;

interface CallInput {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
}

const plan = (server: InProcess, csr: string) => server.call('POST', 'pki/certificates/plan', { role: 'web', csr });
const validate = (server: InProcess, body: object) => server.call('POST', 'pki/certificates/validate', body);

export const keptFolder = join(import.meta.dirname, '../vectors/fuzz');
const keep = process.env['FUZZ_KEEP'] === '1';

export interface Fuzzer {
  readonly target: Target;
  /** Sends an input. Throws when the answer is neither a result nor a clear problem, or took too long. */
  readonly knock: (door: Door, input: Buffer) => Promise<Reply>;
  readonly tried: () => number;
}

export async function openFuzzer(context: TestContext): Promise<Fuzzer> {
  const target = await openTarget(context);
  const seen = new Set<string>();
  let tried = 0;
  const knock: Fuzzer['knock'] = async (door, input) => {
    tried += 1;
    const { result, seconds } = await processorTime(() => doors[door](target, input));
    const what = `${door} ${input.length > 200 ? `${input.toString('hex', 0, 200)}…` : input.toString('hex')}`;
    assert.ok(result.status < 500, `${what}: ${result.status} ${JSON.stringify(result.body)}`);
    assert.ok(seconds < 1, `${what} cost ${seconds} s`);
    if (result.status >= 400) assert.equal(faultOf(result, what), undefined);
    const answer = essence(door, result);
    if (keep && !seen.has(answer) && input.length <= 4096) keepInput(door, input);
    seen.add(answer);
    return result;
  };
  return { target, knock, tried: () => tried };
}

async function askOcsp(url: string, body: Buffer): Promise<Reply> {
  const headers = { 'content-type': 'application/ocsp-request' };
  const reply = await fetch(`${url}/pki/issuing/ocsp`, { method: 'POST', headers, body: new Uint8Array(body) });
  const isProblem = /json/.test(reply.headers.get('content-type') ?? '');
  const answer = Buffer.from(await reply.arrayBuffer());
  // OCSPResponse: the first INTEGER of five octets is the status of an error, anything longer an answer.
  const told = isProblem
    ? (JSON.parse(answer.toString()) as unknown)
    : answer.length < 16
      ? answer.toString('hex')
      : 'an answer';
  return { status: reply.status, headers: reply.headers, body: told };
}

/** What two answers must have in common to be the same: not the numbers and quotations in them. */
function essence(door: Door, { status, body }: Reply): string {
  const said = typeof body === 'string' ? body : `${body?.code} ${body?.detail ?? ''} ${body?.advice ?? ''}`;
  return `${door} ${status} ${said.replaceAll(/"[^"]*"|\d+/g, '#')}`.slice(0, 120);
}

function keepInput(door: Door, input: Buffer): void {
  const name = createHash('sha256').update(input).digest('hex').slice(0, 16);
  writeFileSync(join(keptFolder, `${door}-${name}`), input);
}

/** Milliseconds for each property; a run that is cut off is a run that found nothing. */
const share = 3000;
export const bounded = { interruptAfterTimeLimit: share, numRuns: 100_000 };

export const kinds: readonly string[] = Object.keys(damages);

/** The `at`th element damaged, counted round. */
export function damaged(node: Node, at: number, kind: string): Buffer {
  const places = paths(node);
  const damage = damages[kind];
  if (damage === undefined) throw new Error(`no damage ${kind}`);
  return encodeDamaged(node, places[at % places.length] ?? [], damage);
}

/** Every element damaged in every way. */
export function* damagedOnce(node: Node): Generator<Buffer> {
  const places = paths(node).length;
  for (const kind of kinds) for (let at = 0; at < places; at++) yield damaged(node, at, kind);
}

/** For `damagedOften`. */
export const someDamage = fc.array(fc.tuple(fc.nat(100), fc.constantFrom(...kinds)), { minLength: 2, maxLength: 4 });

/** Damage upon damage; what is no tree any more is not damaged further. */
export function damagedOften(node: Node, all: readonly (readonly [number, string])[]): Buffer {
  let der = encode(node);
  for (const [at, kind] of all) {
    try {
      der = damaged(parse(der), at, kind);
    } catch (error) {
      if (error instanceof RangeError) return der;
      throw error;
    }
  }
  return der;
}
