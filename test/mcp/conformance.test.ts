import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { foundPki } from '#test/chancery.ts';
import { startBearerProxy } from './conformance/bearer-proxy.ts';
import { startFixtures } from './conformance/stack.ts';
import { type Finding, runSuite, type SuiteRun } from './conformance/suite.ts';
import { startServer } from './world.ts';

/**
 * The official suite, as it was required for each revision. What counts is how many checks passed in each scenario: a
 * scenario that finds nothing to check passes as well.
 */

const revisions = ['2026-07-28', '2025-11-25'] as const;
type Revision = (typeof revisions)[number];

type Counts = Readonly<Record<string, number>>;
interface ExpectedChecks {
  readonly fixtures: Readonly<Record<Revision, Counts>>;
  readonly product: Readonly<Record<Revision, Counts>>;
  readonly skills: Counts;
}

const folder = join(import.meta.dirname, 'conformance');
const expected = JSON.parse(readFileSync(join(folder, 'expected-checks.json'), 'utf8')) as ExpectedChecks;

/** The scenarios that a revision requires of servers, as the suite has frozen them. */
function requiredScenarios(revision: Revision): string[] {
  const file = join(
    import.meta.dirname,
    `../../node_modules/@modelcontextprotocol/conformance/requirements/${revision}.yaml`,
  );
  const list = /^server:\n((?: {2}- .+\n)+)/m.exec(readFileSync(file, 'utf8'))?.[1] ?? '';
  return [...list.matchAll(/- (\S+)/g)].map(([, scenario]) => scenario ?? '');
}

function passed(findings: readonly Finding[]): Finding[] {
  return findings.filter(({ status }) => status === 'SUCCESS');
}

function countPassed({ scenarios }: SuiteRun, wanted: readonly string[]): Counts {
  const counts = wanted.map((scenario) => [scenario, passed(scenarios.get(scenario) ?? []).length] as const);
  return Object.fromEntries(counts.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function total(counts: Counts): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

function report(context: TestContext, { scenarios }: SuiteRun, counts: Counts): void {
  for (const [scenario, count] of Object.entries(counts))
    context.diagnostic(`${scenario}: ${count} of ${scenarios.get(scenario)?.length ?? 0} checks passed`);
  context.diagnostic(`${total(counts)} checks passed`);
}

for (const revision of revisions) {
  test(`with the fixtures of the suite, our HTTP stack passes all that ${revision} requires`, async (context) => {
    const token = 'chy_conformance';
    const url = await startBearerProxy(context, await startFixtures(context, token), token);
    const run = await runSuite(context, url, ['--requirements', revision]);
    const required = requiredScenarios(revision);
    const counts = countPassed(run, required);
    report(context, run, counts);
    assert.equal(run.exitCode, 0, run.output);
    for (const scenario of required) {
      const findings = run.scenarios.get(scenario) ?? [];
      const bad = findings.filter(({ status }) => status === 'FAILURE' || status === 'WARNING');
      assert.deepEqual(bad, [], scenario);
      const own = passed(findings).filter(({ id }) => id !== 'wire-schema-valid');
      assert.ok(own.length > 0, `${scenario} checked nothing`);
    }
    assert.deepEqual(counts, expected.fixtures[revision]);
  });

  test(`without fixtures, the product passes all of ${revision} that needs none`, async (context) => {
    const server = await startServer(context);
    await foundPki(server);
    const url = await startBearerProxy(context, server.url, server.token ?? '');
    const baseline = join(folder, `expected-failures.${revision}.yaml`);
    const run = await runSuite(context, url, ['--requirements', revision, '--expected-failures', baseline]);
    const counts = countPassed(run, requiredScenarios(revision));
    report(context, run, counts);
    assert.equal(run.exitCode, 0, run.output);
    assert.deepEqual(counts, expected.product[revision]);
  });
}

test('the product passes the scenarios of the skills extension', async (context) => {
  const server = await startServer(context);
  const url = await startBearerProxy(context, server.url, server.token ?? '');
  const counts: Record<string, number> = {};
  for (const scenario of ['sep-2640-skills-enumeration', 'sep-2640-skills-manifest']) {
    const run = await runSuite(context, url, ['--scenario', scenario]);
    const found = countPassed(run, [scenario]);
    report(context, run, found);
    assert.equal(run.exitCode, 0, run.output);
    Object.assign(counts, found);
  }
  assert.deepEqual(counts, expected.skills);
});

test('fixtures stand behind the authentication of the product', async (context) => {
  const url = await startFixtures(context, 'chy_conformance');
  const message = { jsonrpc: '2.0', id: 1, method: 'ping' };
  const reply = await fetch(`${url}/mcp`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
    body: JSON.stringify(message),
  });
  assert.equal(reply.status, 401);
  assert.match(reply.headers.get('www-authenticate') ?? '', /resource_metadata=/);
});
