import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { type InProcess, startChancery } from '#test/chancery.ts';
import { compileCache } from '#test/compile-cache.ts';

/** Clients of the SDK before a real server. */

export type Era = 'modern' | 'legacy';

export interface ConnectOptions {
  readonly era?: Era;
  readonly path?: string;
  readonly token?: string | undefined;
}

/** A client over Streamable HTTP. Closed when the test ends. */
export async function connectHttp(
  context: TestContext,
  server: Pick<InProcess, 'url' | 'token'>,
  options: ConnectOptions = {},
): Promise<Client> {
  const { era = 'modern', path = '/mcp', token = server.token } = options;
  const client = newClient(era);
  const transport = new StreamableHTTPClientTransport(new URL(`${server.url}${path}`), {
    requestInit: token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } },
  });
  await client.connect(transport);
  context.after(() => client.close());
  return client;
}

export function newClient(era: Era): Client {
  return new Client(
    { name: 'chancery-tests', version: '1' },
    era === 'modern' ? { versionNegotiation: { mode: { pin: '2026-07-28' } } } : {},
  );
}

/** Settings under which tests make as many calls as they like. */
export const unhurried = { CHANCERY_MCP_RATE_LIMIT: 'off' };

export async function startServer(
  context: TestContext,
  env: Readonly<Record<string, string>> = {},
): Promise<InProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-mcp-'));
  const server = await startChancery(context, { folder, env: { ...unhurried, ...env } });
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return server;
}

/** The structured content of a call that must succeed. */
// oxlint-disable-next-line typescript/no-explicit-any -- tests read answers of many shapes; a wrong guess fails the test
export async function callOk(client: Client, name: string, args: Record<string, unknown> = {}): Promise<any> {
  const result = await client.callTool({ name, arguments: args });
  if (result.isError === true) throw new Error(`${name}: ${JSON.stringify(result.content)}`);
  return result.structuredContent;
}

/** The error of a call that must fail. */
// oxlint-disable-next-line typescript/no-explicit-any -- as above
export async function callRefused(client: Client, name: string, args: Record<string, unknown> = {}): Promise<any> {
  const result = await client.callTool({ name, arguments: args });
  if (result.isError !== true) throw new Error(`${name} was not refused: ${JSON.stringify(result.content)}`);
  const [block] = result.content;
  return JSON.parse(block?.type === 'text' ? block.text : '{}').error;
}

/** A client of a real `chancery mcp`, started as MCP clients start it. Ended when the test ends. */
export async function connectStdio(
  context: TestContext,
  server: Pick<InProcess, 'url' | 'token'>,
  options: ConnectOptions & {
    readonly flags?: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
  } = {},
): Promise<Client & { readonly stderr: () => string }> {
  const { era = 'modern', flags = [], env = {}, token = server.token } = options;
  const home = mkdtempSync(join(tmpdir(), 'chancery-mcp-home-'));
  const client = newClient(era);
  const transport = new StdioClientTransport({
    command: join(import.meta.dirname, '../../bin/chancery'),
    args: ['mcp', ...flags],
    env: {
      PATH: process.env['PATH'] ?? '',
      ...compileCache,
      HOME: home,
      CHANCERY_URL: server.url,
      ...(token === undefined ? {} : { CHANCERY_TOKEN: token }),
      ...unhurried,
      ...env,
    },
    stderr: 'pipe',
  });
  let said = '';
  transport.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await client.connect(transport);
  context.after(async () => {
    await client.close();
    rmSync(home, { recursive: true, force: true });
  });
  return Object.assign(client, { stderr: () => said });
}
