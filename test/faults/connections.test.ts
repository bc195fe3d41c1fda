import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ChildServer, type Client, foundPki } from '#test/chancery.ts';
import type { CrowdReport } from './crowd.ts';
import { assertAuditVerifies } from './load.ts';
import { residentMemory } from './machine.ts';
import { assertNoCrash, spawner } from './server.ts';

/** F14 of the fault list: thousands of clients who want nothing, or never finish what they want. */

const skip = process.platform !== 'linux' && `memory is read from /proc of Linux, and this is ${process.platform}`;

/** What a crowd may add to resident memory, in MiB: a bare HTTP server takes 50 for 10,000 connections. */
const maxGrowth = 120;
const idle = process.env['FAULTS'] === 'full' ? 10_000 : 5000;

/** Resolves when all have connected or been turned away; the function asks what became of them. */
async function gather(context: TestContext, client: Client, ...kinds: string[]): Promise<() => Promise<CrowdReport>> {
  const { port } = new URL(client.url);
  const crowd = fork(join(import.meta.dirname, 'crowd.ts'), [port, ...kinds], {
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  context.after(() => crowd.kill('SIGKILL'));
  await once(crowd, 'message');
  return async () => {
    const answered = once(crowd, 'message');
    crowd.send('report');
    const [report] = (await answered) as [CrowdReport];
    return report;
  };
}

/** Asks until the crowd is as expected. */
async function untilReport(
  ask: () => Promise<CrowdReport>,
  expected: (report: CrowdReport) => boolean,
): Promise<CrowdReport> {
  for (let tries = 0; ; tries++) {
    const report = await ask();
    if (expected(report)) return report;
    assert.ok(tries < 120, `the crowd stays as it is: ${JSON.stringify(report)}`);
    await sleep(250);
  }
}

/** Issues over new connections while the crowd is there; returns the time of the slowest in milliseconds. */
async function issueAmong(client: Client, times: number): Promise<number> {
  let slowest = 0;
  for (let index = 0; index < times; index++) {
    const begun = performance.now();
    const body = { role: 'web', dns_names: ['a.example.com'] };
    const { status } = await client.call('POST', 'pki/certificates', body, { connection: 'close' });
    assert.equal(status, 201);
    slowest = Math.max(slowest, performance.now() - begun);
  }
  return slowest;
}

function memoryOf(server: ChildServer): number {
  return residentMemory(server.process.pid as number);
}

test(`among ${idle} idle connections (10000 with FAULTS=full) a fresh request is answered, and memory stays bounded`, {
  skip,
}, async (context) => {
  const server = await spawner(context)();
  await foundPki(server);
  await issueAmong(server, 20);
  const before = memoryOf(server);
  const ask = await gather(context, server, `idle=${idle}`);
  assert.equal((await ask()).connected['idle'], idle, 'raise the limit of open files: ulimit -n 16384');
  const slowest = await issueAmong(server, 50);
  const during = memoryOf(server);
  const { open } = await ask();
  assert.ok(during - before < maxGrowth, `${before} → ${during} MiB`);
  assertNoCrash(server);
  context.diagnostic(
    `${open['idle']} idle connections: slowest of 50 fresh requests ${slowest.toFixed(0)} ms, ` +
      `memory ${before.toFixed(0)} → ${during.toFixed(0)} MiB`,
  );
});

test('clients who send headers or bodies drop by drop are cut off, while others are served', {
  skip,
}, async (context) => {
  const server = await spawner(context, { env: { CHANCERY_REQUEST_TIMEOUT: '2s' } })();
  await foundPki(server);
  await issueAmong(server, 20);
  const before = memoryOf(server);
  const ask = await gather(context, server, 'headers=400', 'body=400');
  const { connected } = await ask();
  assert.deepEqual(connected, { headers: 400, body: 400 });
  const slowest = await issueAmong(server, 50);
  const report = await untilReport(ask, ({ open }) => open['headers'] === 0 && open['body'] === 0);
  assert.ok(memoryOf(server) - before < maxGrowth);
  await issueAmong(server, 1);
  await assertAuditVerifies(server);
  assertNoCrash(server);
  context.diagnostic(
    `800 slow clients cut off, answers: ${JSON.stringify(report.answers)}; slowest of 50 fresh requests among them ` +
      `${slowest.toFixed(0)} ms`,
  );
});

test('more clients than CHANCERY_MAX_CONNECTIONS are turned away, and there is room again when some leave', {
  skip,
}, async (context) => {
  const server = await spawner(context, {
    env: { CHANCERY_MAX_CONNECTIONS: '200', CHANCERY_REQUEST_TIMEOUT: '2s' },
  })();
  await foundPki(server);
  const ask = await gather(context, server, 'idle=400');
  await untilReport(ask, ({ open }) => (open['idle'] ?? 0) <= 200);
  // Those who say nothing lose their places after the time in which a request must have begun.
  await untilReport(ask, ({ open }) => (open['idle'] ?? 0) < 150);
  await issueAmong(server, 10);
  assertNoCrash(server);
});
