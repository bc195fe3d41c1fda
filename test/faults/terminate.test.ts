import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChildServer, Client } from '#test/chancery.ts';
import { assertAuditVerifies, storedSerials } from './load.ts';
import { assertNoCrash, foundServer, spawner } from './server.ts';

/** F16 of the fault list: the server is told to stop while everybody asks for certificates. */

/** How a request ended: its status and serial number, or why there was no answer. */
type Outcome = { readonly serial: string } | { readonly failed: string };

function issueOver(agent: Agent, client: Client): Promise<Outcome> {
  const body = JSON.stringify({ role: 'web', dns_names: ['a.example.com'] });
  const headers = { authorization: `Bearer ${client.token}`, 'content-type': 'application/json' };
  return new Promise((resolve) => {
    const sent = request(`${client.url}/v1/pki/certificates`, { method: 'POST', agent, headers }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('error', (error: NodeJS.ErrnoException) => resolve({ failed: `cut: ${error.code}` }));
      response.on('end', () =>
        resolve(
          response.statusCode === 201
            ? { serial: JSON.parse(text).serial_number as string }
            : { failed: `${response.statusCode} ${text}` },
        ),
      );
    });
    sent.on('error', (error: NodeJS.ErrnoException) => resolve({ failed: error.code ?? error.message }));
    sent.end(body);
  });
}

/** Clients on kept and on fresh connections, until nobody listens any more. Resolves to all outcomes. */
async function askUntilRefused(
  context: TestContext,
  client: Client,
  begun: (issued: number) => void,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const ask = async (agent: Agent): Promise<void> => {
    for (;;) {
      const outcome = await issueOver(agent, client);
      outcomes.push(outcome);
      if ('failed' in outcome) return;
      begun(outcomes.length);
    }
  };
  const kept = new Agent({ keepAlive: true, maxSockets: 12 });
  const fresh = new Agent({ keepAlive: false });
  context.after(() => kept.destroy());
  await Promise.all(Array.from({ length: 16 }, (_, index) => ask(index < 12 ? kept : fresh)));
  return outcomes;
}

async function terminateUnderLoad(context: TestContext, server: ChildServer): Promise<Outcome[]> {
  const { promise: loaded, resolve } = Promise.withResolvers<void>();
  const asking = askUntilRefused(context, server, (issued) => issued >= 60 && resolve());
  await Promise.race([loaded, asking]);
  await sleep(Math.random() * 100);
  await server.stop();
  return asking;
}

/**
 * Refused before anything was sent; or reset by the kernel with the port, having waited there to be accepted. That
 * nothing was done then is shown by what is stored.
 */
function assertNotBegun(failed: string): void {
  assert.match(failed, /^ECONN(?:REFUSED|RESET)$/);
}

test('a server that is told to stop under load answers everything it was asked, and exits with 0', async (context) => {
  const spawn = spawner(context);
  const { folder } = await foundServer(spawn);
  const serials: string[] = [];
  let longest = 0;
  for (let round = 0; round < 6; round++) {
    const server = await spawn({ folder });
    const begun = performance.now();
    const outcomes = await terminateUnderLoad(context, server);
    longest = Math.max(longest, performance.now() - begun);
    assert.equal(server.process.exitCode, 0, server.output());
    for (const outcome of outcomes) {
      if ('serial' in outcome) serials.push(outcome.serial);
      else assertNotBegun(outcome.failed);
    }
    assertNoCrash(server);
  }
  const server = await spawn({ folder });
  assert.deepEqual((await storedSerials(server)).sort(), serials.sort(), 'what is stored is what was answered');
  await assertAuditVerifies(server);
  context.diagnostic(
    `6 stops under load: ${serials.length} answered and stored, 0 lost, longest ${longest.toFixed(0)} ms`,
  );
});

test('a server whose output nobody reads any more stops as it should, and loses nothing', async (context) => {
  const spawn = spawner(context);
  const { folder } = await foundServer(spawn);
  const server = await spawn({ folder });
  server.process.stdout?.destroy();
  server.process.stderr?.destroy();
  const outcomes = await terminateUnderLoad(context, server);
  assert.equal(server.process.exitCode, 0, `it ended by ${server.process.signalCode}`);
  const issued = outcomes.flatMap((outcome) => ('serial' in outcome ? [outcome.serial] : []));
  for (const outcome of outcomes) if ('failed' in outcome) assertNotBegun(outcome.failed);
  const again = await spawn({ folder });
  assert.deepEqual((await storedSerials(again)).sort(), issued.sort());
});

test('a request that never ends does not keep the server from stopping', async (context) => {
  const spawn = spawner(context, { env: { CHANCERY_SHUTDOWN_TIMEOUT: '1s' } });
  const { folder } = await foundServer(spawn);
  const server = await spawn({ folder });
  const headers = {
    authorization: `Bearer ${server.token}`,
    'content-type': 'application/json',
    'content-length': 500,
  };
  const sent = request(`${server.url}/v1/pki/certificates`, { method: 'POST', headers });
  const ended = new Promise<void>((resolve) => sent.on('error', () => resolve()).on('close', () => resolve()));
  sent.write('{');
  await sleep(200);
  await server.stop();
  await ended;
  assert.equal(server.process.exitCode, 0, server.output());
  assertNoCrash(server);
});
