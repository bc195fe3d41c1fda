import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, Reply } from '#test/chancery.ts';
import { requireTool, run } from './machine.ts';

/** Clients that ask for certificates as fast as they get them, and remember every answer. */

export interface Issued {
  readonly serial: string;
  /** PEM, as it was answered. */
  readonly certificate: string;
}

/** What the clients saw, over as many loads as it is given to. */
export interface Witness {
  /** Certificates that were answered with 201, whole. */
  readonly issued: Issued[];
  /** Whole answers that are no certificate. */
  readonly refused: Reply[];
  /** Requests without a whole answer: whether anything was issued is not known. */
  unanswered: number;
}

export function newWitness(): Witness {
  return { issued: [], refused: [], unanswered: 0 };
}

export interface Load {
  readonly witness: Witness;
  /** Resolves when that many more certificates were answered since the load began. */
  readonly seen: (count: number) => Promise<void>;
  /** Sends nothing more, and resolves when every request has ended. */
  readonly stop: () => Promise<void>;
}

export interface LoadOptions {
  /** How many clients ask at the same time. */
  readonly clients?: number;
  /** CSRs for every second request; without any, all keys are made by the server. */
  readonly requests?: readonly string[];
  readonly witness?: Witness;
}

/** Ends with the test, if nobody stops it before. */
export function startLoad(context: TestContext, client: Client, options: LoadOptions = {}): Load {
  const { clients = 6, requests = [], witness = newWitness() } = options;
  const begun = witness.issued.length;
  const stopping = new AbortController();
  let sent = 0;
  const ask = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const answered = await issueOne(client, witness, bodyOf(sent++, requests));
      // What is down or full does not answer sooner because it is asked more often.
      if (!answered) await sleep(10);
    }
  };
  const running = Array.from({ length: clients }, ask);
  context.after(() => stopping.abort());
  return {
    witness,
    async seen(count) {
      await untilTrue(() => witness.issued.length - begun >= count, `${count} certificates`, witness);
    },
    async stop() {
      stopping.abort();
      await Promise.all(running);
    },
  };
}

function bodyOf(number: number, requests: readonly string[]): object {
  const csr = number % 2 === 1 ? requests[(number >> 1) % requests.length] : undefined;
  return csr === undefined ? { role: 'web', dns_names: [`n${number}.example.com`] } : { role: 'web', csr };
}

/** Asks for one certificate; false when there was none. */
async function issueOne(client: Client, witness: Witness, body: object): Promise<boolean> {
  let reply: Reply;
  try {
    reply = await client.call('POST', 'pki/certificates', body);
  } catch {
    witness.unanswered++;
    return false;
  }
  if (reply.status !== 201) {
    witness.refused.push(reply);
    return false;
  }
  witness.issued.push({ serial: reply.body.serial_number, certificate: reply.body.certificate });
  return true;
}

/** Requests for names of example.com, PEM, made by OpenSSL. */
export function certificateRequests(context: TestContext, count = 4): string[] {
  requireTool('openssl', 'openssl');
  const folder = mkdtempSync(join(tmpdir(), 'chancery-csr-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return Array.from({ length: count }, (_, index) => {
    const file = join(folder, `${index}.csr`);
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', '/dev/null'];
    const names = ['-subj', '/', '-addext', `subjectAltName=DNS:csr${index}.example.com`];
    run(['openssl', 'req', '-new', ...key, ...names, '-out', file]);
    return readFileSync(file, 'utf8');
  });
}

/** Runs a task for every item, a few at a time. */
export async function forEach<Item>(items: readonly Item[], task: (item: Item) => Promise<void>): Promise<void> {
  const rest = items.values();
  const work = async (): Promise<void> => {
    for (const item of rest) await task(item);
  };
  await Promise.all(Array.from({ length: 8 }, work));
}

/** Every certificate that a client holds is in the store under its serial number, byte for byte; no serial was given twice. */
export async function assertAllStored(client: Client, issued: readonly Issued[]): Promise<void> {
  assert.equal(new Set(issued.map(({ serial }) => serial)).size, issued.length, 'a serial number was given twice');
  const missing: string[] = [];
  await forEach(issued, async ({ serial, certificate }) => {
    const reply = await client.call('GET', `pki/certificates/${serial}`);
    if (reply.status !== 200 || reply.body.certificate !== certificate) missing.push(`${serial}: ${reply.status}`);
  });
  assert.deepEqual(missing, [], 'certificates that a client holds and the store does not');
}

/** Every one of them can be revoked, and is then known as revoked. */
export async function assertAllRevocable(client: Client, issued: readonly Issued[]): Promise<void> {
  await forEach(issued, async ({ serial }) => {
    const reply = await client.call('POST', `pki/certificates/${serial}/revoke`, { reason: 'superseded' });
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
    assert.equal((await client.ok('GET', `pki/certificates/${serial}`)).status, 'revoked');
  });
}

/** The audit log is whole: every row follows from the one before, from the first to the head. */
export async function assertAuditVerifies(client: Client): Promise<number> {
  const report = await client.ok('POST', 'audit/verify', {});
  assert.deepEqual(report.findings, []);
  assert.equal(report.valid, true);
  return report.rows;
}

/** Serial numbers of all leaf certificates in the store. */
export async function storedSerials(client: Client): Promise<string[]> {
  const serials: string[] = [];
  let cursor: string | null = null;
  do {
    const query: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const page = await client.ok('GET', `pki/certificates?kind=leaf&limit=1000${query}`);
    for (const { serial_number } of page.certificates) serials.push(serial_number);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return serials;
}

/** Asks again until it is issued, as a client would. */
export async function untilIssued(context: TestContext, client: Client, witness: Witness): Promise<void> {
  const load = startLoad(context, client, { clients: 1, witness });
  await load.seen(1);
  await load.stop();
}

/** No fault of these tests keeps a server from its work for a minute. */
const patience = 60_000;

/** Waits for something that must come; when it does not, throws with what the clients saw last. */
export async function untilTrue(condition: () => boolean, what: string, witness?: Witness): Promise<void> {
  const deadline = performance.now() + patience;
  while (!condition()) {
    const last = witness?.refused.at(-1);
    if (performance.now() > deadline)
      throw new Error(`waited in vain for ${what}${last ? `; the last answer was ${JSON.stringify(last.body)}` : ''}`);
    await sleep(5);
  }
}
