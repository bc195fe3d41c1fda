import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, get, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { gate, goodToken, startServer } from './harness.ts';

const authorization = `Bearer ${goodToken}`;

test('a request under way is answered although the server was told to close', async (context) => {
  const { opened, open } = gate();
  const started = gate();
  const { call, server } = await startServer(context, {
    slow: async () => {
      started.open();
      await opened;
    },
  });
  const answer = call('POST', '/v1/test/wait');
  await started.opened;
  const closed = server.close();
  setTimeout(open, 100);
  assert.equal((await answer).status, 200);
  await closed;
});

test('closing cuts what does not end before the deadline, and only then', async (context) => {
  const started = gate();
  const { promise: never } = Promise.withResolvers<void>();
  const { call, server } = await startServer(context, {
    config: { shutdownTimeout: 200 },
    slow: () => {
      started.open();
      return never;
    },
  });
  const cut = assert.rejects(call('POST', '/v1/test/wait'));
  await started.opened;
  await server.close();
  await cut;
});

test('told to close, the server is not ready at once, and serves on until the delay is over', async (context) => {
  const { url, call, server } = await startServer(context, { config: { shutdownDelay: 500 } });
  assert.equal((await call('GET', '/readyz')).status, 200);
  const closed = server.close();
  const unready = await call('GET', '/readyz');
  assert.deepEqual([unready.status, unready.json['status']], [503, 'draining']);
  assert.equal((await call('GET', '/v1/test/roles')).status, 200);
  await closed;
  await assert.rejects(fetch(`${url}/healthz`));
});

test('a kept connection gets one more answer, which says that it was the last', async (context) => {
  const { url, server } = await startServer(context, { config: { drainIdle: 1000 } });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  context.after(() => agent.destroy());
  const ask = async (): Promise<IncomingMessage> => {
    const sent = get(`${url}/v1/test/roles`, { agent, headers: { authorization } });
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    response.resume();
    await once(response, 'end');
    return response;
  };
  assert.equal((await ask()).headers.connection, 'keep-alive');
  const closed = server.close();
  await pause(100);
  const last = await ask();
  assert.deepEqual([last.statusCode, last.headers.connection], [200, 'close']);
  await closed;
});

/** One request; resolves to its status, or to the code of the fault. */
function send(url: string, agent: Agent): Promise<number | string> {
  return new Promise((resolve) => {
    const sent = request(`${url}/v1/test/roles/web`, { agent, headers: { authorization } }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
      response.on('error', () => resolve('cut'));
    });
    sent.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'unknown'));
    sent.end();
  });
}

test('a steady stream on kept connections loses nothing when the server closes', async (context) => {
  const { url, server } = await startServer(context, { config: { drainIdle: 300 } });
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  context.after(() => agent.destroy());
  const outcomes: Promise<number | string>[] = [];
  const stream = setInterval(() => outcomes.push(send(url, agent)), 4);
  while (outcomes.length <= 20) await pause(10);
  assert.deepEqual(new Set(await Promise.all(outcomes.slice(0, 20))), new Set([200]));
  await server.close();
  await pause(50);
  clearInterval(stream);
  const counted = await Promise.all(outcomes);
  // A refused connection reached no server, and its client knows that; every other request was answered.
  assert.deepEqual(new Set(counted), new Set([200, 'ECONNREFUSED']));
});

test('under full load everything that was done is answered when the server closes', async (context) => {
  const { url, server, events } = await startServer(context, { config: { drainIdle: 300 } });
  const agent = new Agent({ keepAlive: true, maxSockets: 32 });
  context.after(() => agent.destroy());
  const underLoad = Promise.withResolvers<void>();
  let answered = 0;
  const client = async (): Promise<void> => {
    for (;;) {
      const outcome = await send(url, agent);
      if (typeof outcome === 'string') return;
      assert.equal(outcome, 200);
      answered += 1;
      if (answered === 100) underLoad.resolve();
    }
  };
  const clients = Array.from({ length: 32 }, client);
  await underLoad.promise;
  await server.close();
  await Promise.all(clients);
  assert.equal(answered, events.length);
});

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}

test('idle connections do not hold the closing up', async (context) => {
  const { url, server } = await startServer(context, { config: { shutdownTimeout: 60_000 } });
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  await once(socket, 'connect');
  const ended = once(socket, 'close');
  socket.resume();
  await server.close();
  await ended;
});

test('closing twice is closing once', async (context) => {
  const { server } = await startServer(context);
  await Promise.all([server.close(), server.close()]);
  await server.close();
});
