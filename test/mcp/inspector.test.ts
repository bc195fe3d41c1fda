import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { InProcess } from '#test/chancery.ts';
import { compileCache } from '#test/compile-cache.ts';
import { startServer } from './world.ts';

/** The inspector's command line, as people try a server. It speaks the era that its configuration asks for. */

const root = join(import.meta.dirname, '../..');

interface Run {
  readonly code: number;
  // oxlint-disable-next-line typescript/no-explicit-any -- JSON of many shapes; a wrong guess fails the test
  readonly json: any;
}

function inspect(folder: string, words: readonly string[]): Promise<Run> {
  const bin = join(root, 'node_modules/.bin/mcp-inspector');
  const env = { PATH: process.env['PATH'], HOME: folder, MCP_INSPECTOR_SECRET_STORE: 'memory' };
  return new Promise((resolve) => {
    execFile(bin, ['--cli', ...words, '--format', 'json'], { env, cwd: folder, timeout: 60_000 }, (error, stdout) => {
      const code = typeof error?.code === 'number' ? error.code : error ? -1 : 0;
      resolve({ code, json: stdout.trim() === '' ? undefined : JSON.parse(stdout) });
    });
  });
}

/** The servers by name, one per transport and era. */
function writeCatalog(context: TestContext, server: InProcess): string {
  const folder = mkdtempSync(join(tmpdir(), 'inspector-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const http = {
    type: 'streamable-http',
    url: `${server.url}/mcp`,
    headers: { authorization: `Bearer ${server.token}` },
  };
  const stdio = {
    type: 'stdio',
    command: join(root, 'bin/chancery'),
    args: ['mcp'],
    env: { CHANCERY_URL: server.url, CHANCERY_TOKEN: server.token, PATH: process.env['PATH'], ...compileCache },
  };
  const mcpServers = {
    'http-legacy': http,
    'stdio-legacy': stdio,
    'http-modern': { ...http, protocolEra: 'modern' },
    'stdio-modern': { ...stdio, protocolEra: 'modern' },
  };
  writeFileSync(join(folder, 'servers.json'), JSON.stringify({ mcpServers }));
  return folder;
}

test('the inspector lists and calls tools over both transports and in both eras', async (context) => {
  const server = await startServer(context);
  const folder = writeCatalog(context, server);
  for (const name of ['http-legacy', 'http-modern', 'stdio-legacy', 'stdio-modern']) {
    const at = ['--config', join(folder, 'servers.json'), '--server', name];
    const list = await inspect(folder, [...at, '--method', 'tools/list']);
    assert.equal(list.code, 0, name);
    const tools = (list.json.result ?? list.json).tools as { name: string }[];
    assert.ok(
      tools.some((tool) => tool.name === 'auth_whoami'),
      name,
    );
    const call = await inspect(folder, [...at, '--method', 'tools/call', '--tool-name', 'auth_whoami']);
    assert.equal(call.code, 0, name);
    assert.equal((call.json.result ?? call.json).structuredContent.name, 'admin', name);
    const refused = await inspect(folder, [
      ...at,
      '--method',
      'tools/call',
      '--tool-name',
      'pki_get_certificate',
      '--tool-arg',
      'serial_number=00ff',
    ]);
    assert.equal(refused.code, 5, `${name}: an error of a tool`);
  }
});
