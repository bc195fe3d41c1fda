import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readConnection } from '#cli/connection.ts';
import { run } from './harness.ts';
import type { TestServer } from './server.ts';
import { startServer, token } from './server.ts';
import { identity, otherRoot } from './tls-fixture.ts';

const listRoles = ['pki', 'list-roles'];
const deleteRole = ['pki', 'delete-role', 'web'];

/** A server that is not Chancery. */
async function withServer(answer: RequestListener, use: (url: string) => Promise<void>): Promise<void> {
  const server: Server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

describe('answers that are not of Chancery', () => {
  test('a redirect is not followed, and the token is not sent to where it points', async () => {
    const seen: string[] = [];
    await withServer(
      (request, response) => {
        seen.push(request.url ?? '');
        response.writeHead(302, { location: '/elsewhere' }).end();
      },
      async (url) => {
        const result = await run({ argv: listRoles, env: { CHANCERY_URL: url, CHANCERY_TOKEN: token } });
        assert.equal(result.exit, 7);
        assert.match(result.stderr, /^error: the answer is 302 .* a redirect to \/elsewhere/);
        assert.match(result.stderr, /hint: redirects are not followed/);
      },
    );
    assert.deepEqual(seen, ['/v1/pki/roles']);
  });

  for (const [what, status, exit] of [
    ['a page of a proxy', 502, 7],
    ['a bare refusal', 403, 4],
    ['a bare not found', 404, 5],
    ['a bare unauthorized', 401, 3],
    ['a teapot', 418, 6],
    ['a success in HTML', 200, 1],
  ] as const) {
    test(`${what} is explained by its status, with exit code ${exit}`, async () => {
      await withServer(
        (_request, response) => response.writeHead(status, { 'content-type': 'text/html' }).end('<h1>\u001b[2J</h1>'),
        async (url) => {
          const result = await run({ argv: listRoles, env: { CHANCERY_URL: url } });
          assert.equal(result.exit, exit);
          assert.match(result.stderr, new RegExp(`^error: the answer is ${status} with text/html`));
          assert.equal(result.stdout, '');
        },
      );
    });
  }

  test('a document that claims to be JSON and is none does not break the CLI', async () => {
    await withServer(
      (_request, response) => response.writeHead(500, { 'content-type': 'application/problem+json' }).end('{"detail":'),
      async (url) => {
        const result = await run({ argv: listRoles, env: { CHANCERY_URL: url } });
        assert.equal(result.exit, 1);
        assert.match(result.stderr, /^error: the answer is 500 with application\/problem\+json/);
      },
    );
  });

  test('a problem document with members of the wrong kind is shown as far as it goes', async () => {
    const document = {
      detail: 5,
      hint: [],
      code: '__proto__',
      errors: ['x', { at: 1 }, null],
      title: 'Odd',
      extra: null,
    };
    await withServer(
      (_request, response) =>
        response.writeHead(409, { 'content-type': 'application/problem+json' }).end(JSON.stringify(document)),
      async (url) => {
        const result = await run({ argv: listRoles, env: { CHANCERY_URL: url } });
        assert.equal(result.exit, 6);
        assert.match(result.stderr, /^error: Odd\n/);
      },
    );
  });

  test('an answer without end is cut off at 64 MiB', async () => {
    await withServer(
      (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        const chunk = Buffer.alloc(1_048_576, 'x');
        const more = (): void => {
          if (!response.destroyed) response.write(chunk, () => setImmediate(more));
        };
        more();
      },
      async (url) => {
        const result = await run({ argv: listRoles, env: { CHANCERY_URL: url } });
        assert.equal(result.exit, 1);
        assert.match(result.stderr, /^error: the answer is larger than 64 MiB/);
      },
    );
  });

  test('a connection that is cut after a change was sent warns that it may have been done', async () => {
    await withServer(
      (request) => request.socket.destroy(),
      async (url) => {
        const result = await run({ argv: deleteRole, env: { CHANCERY_URL: url } });
        assert.equal(result.exit, 7);
        assert.match(result.stderr, /the connection was cut\nhint: it may have been done nevertheless/);
      },
    );
  });

  test('a list that gives the same cursor twice ends with an error instead of never', async () => {
    await withServer(
      (_request, response) =>
        response
          .writeHead(200, { 'content-type': 'application/json' })
          .end(JSON.stringify({ certificates: [], next_cursor: 'again' })),
      async (url) => {
        const result = await run({ argv: ['pki', 'list-certificates', '--all'], env: { CHANCERY_URL: url } });
        assert.equal(result.exit, 1);
        assert.match(result.stderr, /the list does not move on/);
      },
    );
  });
});

describe('a large list', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer();
  });
  after(() => server.close());

  test('all its pages make one JSON document', async () => {
    const result = await run({
      argv: ['pki', 'list-certificates', '--status', 'revoked', '--all', '--json'],
      env: { CHANCERY_URL: server.url, CHANCERY_TOKEN: token },
    });
    assert.equal(result.exit, 0);
    const document = JSON.parse(result.stdout) as { certificates: { serial_number: string }[]; next_cursor: null };
    assert.equal(document.certificates.length, 5000);
    assert.equal(new Set(document.certificates.map((item) => item.serial_number)).size, 5000);
    assert.equal(document.next_cursor, null);
  });

  test('all its pages make one table with one heading', async () => {
    const result = await run({
      argv: ['pki', 'list-certificates', '--status', 'revoked', '--all'],
      env: { CHANCERY_URL: server.url, CHANCERY_TOKEN: token },
    });
    const lines = result.stdout.trimEnd().split('\n');
    assert.equal(lines.length, 5001);
    assert.equal(lines.filter((line) => line.startsWith('serial_number')).length, 1);
  });
});

describe('https', () => {
  let folder: string;
  let server: TestServer;
  let rootFile: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'chancery-cli-'));
    rootFile = join(folder, 'root.pem');
    writeFileSync(rootFile, identity.cert);
    server = await startServer({ load: () => Promise.resolve(identity) });
  });
  after(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });

  test('a private root is trusted when CHANCERY_CA_FILE names it', async () => {
    assert.match(server.url, /^https:/);
    const result = await run({
      argv: [...listRoles, '--field', 'name'],
      env: { CHANCERY_URL: server.url, CHANCERY_TOKEN: token, CHANCERY_CA_FILE: rootFile },
    });
    assert.deepEqual(result, { exit: 0, stdout: 'api\nweb\n', stderr: '' });
  });

  test('without it the server is not trusted, and the hint names the setting', async () => {
    const result = await run({ argv: listRoles, env: { CHANCERY_URL: server.url, CHANCERY_TOKEN: token } });
    assert.equal(result.exit, 7);
    assert.match(result.stderr, /not trusted here\nhint: .*CHANCERY_CA_FILE/);
  });

  test('another root is not enough', async () => {
    const other = join(folder, 'other.pem');
    writeFileSync(other, otherRoot);
    const env = { CHANCERY_URL: server.url, CHANCERY_TOKEN: token, CHANCERY_CA_FILE: other };
    const result = await run({ argv: listRoles, env });
    assert.equal(result.exit, 7);
    assert.equal(result.stdout, '');
  });

  test('a certificate for another name is refused', async () => {
    const url = server.url.replace('127.0.0.1', 'localhost');
    const env = { CHANCERY_URL: url, CHANCERY_TOKEN: token, CHANCERY_CA_FILE: rootFile };
    const result = await run({ argv: listRoles, env });
    assert.equal(result.exit, 7);
    assert.match(result.stderr, /its certificate is for another name/);
  });

  test('plain HTTP on the port of TLS is explained', async () => {
    const env = { CHANCERY_URL: server.url.replace('https', 'http'), CHANCERY_TOKEN: token };
    const result = await run({ argv: listRoles, env });
    assert.equal(result.exit, 7);
    assert.match(result.stderr, /^error: cannot reach Chancery/);
  });

  test('TLS on the port of plain HTTP is explained', async () => {
    await withServer(
      (_request, response) => response.end(),
      async (url) => {
        const result = await run({ argv: listRoles, env: { CHANCERY_URL: url.replace('http', 'https') } });
        assert.equal(result.exit, 7);
        assert.match(result.stderr, /does not speak TLS\nhint: does the server speak http/);
      },
    );
  });
});

describe('the token of the administrator', () => {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-cli-'));
  writeFileSync(join(folder, 'admin.token'), 'chy_admin\n');
  after(() => rmSync(folder, { recursive: true }));

  test('is taken for a server on this machine', () => {
    assert.equal(readConnection({ CHANCERY_DATA: folder }).token, 'chy_admin');
    assert.equal(readConnection({ CHANCERY_DATA: folder, CHANCERY_URL: 'https://[::1]:1' }).token, 'chy_admin');
  });

  test('is never shown to another machine', () => {
    for (const url of [
      'https://ca.example',
      'https://127.0.0.1.example',
      'https://localhost.example',
      'https://10.0.0.1',
    ]) {
      const connection = readConnection({ CHANCERY_DATA: folder, CHANCERY_URL: url });
      assert.equal(connection.token, undefined, url);
    }
  });

  test('is not taken where it must not be found', () => {
    const connection = readConnection({ CHANCERY_DATA: folder, CHANCERY_NO_TOKEN_FILE: '1' });
    assert.deepEqual([connection.token, connection.tokenSource], [undefined, 'none']);
  });

  test('gives way to CHANCERY_TOKEN', () => {
    assert.equal(readConnection({ CHANCERY_DATA: folder, CHANCERY_TOKEN: 'chy_mine' }).token, 'chy_mine');
  });
});
