import { join } from 'node:path';
import { type Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import type { ChildServer } from '#test/chancery.ts';
import { newClient } from '../test/mcp/world.ts';
import type { Benchmark, Settings } from './harness/settings.ts';
import { printTable, ratio } from './harness/table.ts';
import { withServer } from './harness/world.ts';

/** What MCP costs: the same operations by REST and by a tool, one after the other, each from its own client. */
export const benchmark: Benchmark = {
  name: 'mcp',
  summary: 'a tool call beside the same REST call, over HTTP and stdio, and the cost of the list of tools',
  run: (settings) =>
    withServer({ env: { CHANCERY_MCP_RATE_LIMIT: 'off' } }, async (server) => {
      const http = await connect(server, 'http');
      const stdio = await connect(server, 'stdio');
      try {
        await measureAll(server, { http, stdio }, settings);
      } finally {
        await Promise.all([http.close(), stdio.close()]);
      }
    }),
};

type Work = 'whoami' | 'plan' | 'issue';
const names = { role: 'web', dns_names: ['a.example.com'] };
const works: Readonly<Record<Work, { method: string; path: string; tool: string; input: Record<string, unknown> }>> = {
  whoami: { method: 'GET', path: 'auth/whoami', tool: 'auth_whoami', input: {} },
  plan: { method: 'POST', path: 'pki/certificates/plan', tool: 'pki_plan_certificate', input: names },
  issue: { method: 'POST', path: 'pki/certificates', tool: 'pki_issue_certificate', input: names },
};

interface Clients {
  readonly http: Client;
  readonly stdio: Client;
}

async function measureAll(server: ChildServer, clients: Clients, settings: Settings): Promise<void> {
  const rows: (string | number | undefined)[][] = [];
  for (const work of Object.keys(works) as Work[]) {
    const { method, path, tool, input } = works[work];
    const body = method === 'GET' ? undefined : input;
    const rest = await sample(settings, () => server.ok(method, path, body));
    const overHttp = await sample(settings, () => callTool(clients.http, tool, input));
    const overStdio = await sample(settings, () => callTool(clients.stdio, tool, input));
    for (const [face, result] of [
      ['REST', rest],
      ['MCP over HTTP', overHttp],
      ['MCP over stdio', overStdio],
    ] as const)
      rows.push([work, face, result.calls, result.p50, result.p99, ratio(result.p50, rest.p50)]);
  }
  const listed = await sample(settings, () => listTools(server));
  rows.push(['list of tools', 'MCP over HTTP', listed.calls, listed.p50, listed.p99, undefined]);
  printTable('Calls one after the other', ['work', 'by', 'calls', 'p50 ms', 'p99 ms', '÷ REST'], rows);
}

async function callTool(client: Client, name: string, args: Record<string, unknown>): Promise<void> {
  const result = await client.callTool({ name, arguments: args });
  if (result.isError === true) throw new Error(`${name}: ${JSON.stringify(result.content)}`);
}

/** Not by the client, which keeps lists for as long as it is told. */
async function listTools(server: ChildServer): Promise<void> {
  const reply = await fetch(`${server.url}/mcp`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${server.token}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2025-11-25',
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' }),
  });
  if (!(await reply.text()).includes('auth_whoami')) throw new Error('no list of tools');
}

interface Sample {
  readonly calls: number;
  readonly p50: number;
  readonly p99: number;
}

async function sample({ seconds, warmUp }: Settings, call: () => Promise<unknown>): Promise<Sample> {
  for (const until = performance.now() + warmUp * 500; performance.now() < until; ) await call();
  const times: number[] = [];
  for (const until = performance.now() + seconds * 1000; performance.now() < until; ) {
    const started = performance.now();
    await call();
    times.push(performance.now() - started);
  }
  times.sort((a, b) => a - b);
  const at = (part: number): number => times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? 0;
  return { calls: times.length, p50: at(0.5), p99: at(0.99) };
}

async function connect(server: ChildServer, kind: 'http' | 'stdio'): Promise<Client> {
  const client = newClient('modern');
  const token = String(server.token);
  await client.connect(
    kind === 'http'
      ? new StreamableHTTPClientTransport(new URL(`${server.url}/mcp`), {
          requestInit: { headers: { authorization: `Bearer ${token}` } },
        })
      : new StdioClientTransport({
          command: join(import.meta.dirname, '../bin/chancery'),
          args: ['mcp', '--out-dir', join(server.folder, 'delivered')],
          env: {
            PATH: process.env['PATH'] ?? '',
            CHANCERY_URL: server.url,
            CHANCERY_TOKEN: token,
            CHANCERY_MCP_RATE_LIMIT: 'off',
          },
        }),
  );
  return client;
}
