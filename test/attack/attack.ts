import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { foundPki, type InProcess, type Reply, startChancery } from '#test/chancery.ts';
import { assertProblem, type Expected } from './problem.ts';
import { type StoreView, viewStore } from './store-view.ts';

/** A server with a PKI, and requests to it that must be refused and leave nothing behind but their audit event. */
export interface Target {
  readonly server: InProcess;
  readonly view: StoreView;
  /** Makes a request that must be refused: a clear problem document, one audit event, and nothing else stored. */
  readonly refuse: (what: string, path: string, body: unknown, expected?: Expected) => Promise<Reply>;
}

export async function openTarget(context: TestContext, role: object = {}): Promise<Target> {
  const server = await startChancery(context, { env: { CHANCERY_RATE_FAILED_AUTH: 'off' } });
  await foundPki(server, 'ec-p256', role);
  const view = viewStore(context, server.folder);
  return {
    server,
    view,
    async refuse(what, path, body, expected = {}) {
      const before = { state: view.digest(), events: view.requestEvents() };
      const reply = await server.call('POST', path, body);
      assertProblem(reply, what, expected);
      assert.deepEqual(view.digest(), before.state, `${what} stored something`);
      const events = view.requestEvents() - before.events;
      assert.ok(
        events === 1 || (events === 0 && (expected.unread === true || !isJudged(reply))),
        `${what} left ${events} audit events`,
      );
      return reply;
    },
  };
}

/** Whether the request came as far as dispatch: what HTTP itself refuses is nobody's request for an operation yet. */
function isJudged({ body }: Reply): boolean {
  return !['too_large', 'unsupported_media_type', 'method_not_allowed', 'not_found'].includes(body.code);
}

/** Seconds of processor time that this process used meanwhile: other processes on the machine do not count. */
export async function processorTime<Result>(run: () => Promise<Result>): Promise<{ result: Result; seconds: number }> {
  const before = process.cpuUsage();
  const result = await run();
  const { user, system } = process.cpuUsage(before);
  return { result, seconds: (user + system) / 1e6 };
}
