import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { toCommands } from '#cli/command.ts';
import { flagName, globalFlags } from '#cli/flags.ts';
import { fromManifest } from '#cli/manifest.ts';
import { startChancery } from '#test/chancery.ts';
import { run as runSql, startPostgres } from '#test/postgres.ts';
import manifest from '../package.json' with { type: 'json' };

/** What the README and the documents say, held against what is so. */

const root = join(import.meta.dirname, '..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const documents = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(join(root, 'docs'))
    .filter((file) => file.endsWith('.md'))
    .map((file) => `docs/${file}`),
];

interface Step {
  readonly command: string;
  readonly output: readonly string[];
}

/** The console sessions of the README, as one. */
function readSession(markdown: string): Step[] {
  const steps: { command: string; output: string[] }[] = [];
  for (const [, block = ''] of markdown.matchAll(/^```console\n(.*?)^```$/gms)) {
    for (const line of block.trimEnd().split('\n')) {
      if (line.startsWith('$ ')) steps.push({ command: line.slice(2), output: [] });
      else steps.at(-1)?.output.push(line);
    }
  }
  return steps;
}

/** What differs from run to run. The first group of a serial number is remembered under the one in the README. */
const changing: readonly (readonly [found: RegExp, pattern: string])[] = [
  [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ'],
  [/\\\((?:in \w+|\w+ ago|now)\\\)/g, '\\((?:in \\w+|\\w+ ago|now)\\)'],
  [/\breq_\w+/g, 'req_\\w+'],
  [/\b[0-9a-f]{32,40}\b/g, '[0-9a-f]{32,40}'],
  [/(?<=rows +)\d+/g, '\\d+'],
  [/\bchy_\w+/g, 'chy_\\w+'],
  [/\blse_\w+/g, 'lse_\\w+'],
  [/(?<=:\/\/\S+):[\w-]+@/g, ':[\\w-]+@'],
  [/(?<=@[\d\\.]+):\d+/g, ':\\d+'],
  [/ {2,}/g, ' {2,}'],
  [/…/g, '.*'],
];

function patternOf(line: string): RegExp {
  const escaped = line.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  return new RegExp(`^${changing.reduce((text, [found, pattern]) => text.replaceAll(found, pattern), escaped)}$`);
}

/** Line by line; a line that is `…` alone stands for any number of lines. */
function hasShape(actual: readonly string[], [first, ...expected]: readonly string[]): boolean {
  if (first === undefined) return actual.length === 0;
  if (first === '…') return actual.some((_, index) => hasShape(actual.slice(index), expected)) || expected.length === 0;
  return actual[0] !== undefined && patternOf(first).test(actual[0]) && hasShape(actual.slice(1), expected);
}

/** The PostgreSQL that the README speaks of, as variables of libpq name it to the clients of its superuser. */
async function startDatabase(context: TestContext): Promise<Record<string, string>> {
  const database = await startPostgres();
  context.after(() => database.stop());
  await runSql(
    database.url(),
    `CREATE ROLE readers; CREATE TABLE customers (name text); INSERT INTO customers VALUES ('Ada'), ('Grace');
    GRANT SELECT ON customers TO readers`,
  );
  const { hostname, port, username, password } = new URL(database.url());
  return { PGHOST: hostname, PGPORT: port, PGUSER: username, PGPASSWORD: password };
}

const serialNumber = /\b[0-9a-f]{32,40}\b/;

test('the session of the README goes as it is written', async (context) => {
  const server = await startChancery(context);
  const folder = mkdtempSync(join(tmpdir(), 'chancery-test-readme-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const env = {
    PATH: [join(root, 'bin'), dirname(process.execPath), process.env['PATH']].join(delimiter),
    HOME: folder,
    CHANCERY_URL: server.url,
    CHANCERY_DATA: server.folder,
    ...(await startDatabase(context)),
  };
  const run = (command: string) =>
    new Promise<string>((resolve) => {
      execFile('bash', ['-c', `exec 2>&1; ${command}`], { cwd: folder, env }, (_, stdout) => resolve(stdout));
    });
  const serials = new Map<string, string>();
  for (const { command, output } of readSession(readme)) {
    const actual = command
      .replaceAll('http://127.0.0.1:8420', server.url)
      .replaceAll(new RegExp(serialNumber, 'g'), (serial) => serials.get(serial) ?? serial);
    const said = (await run(actual)).replaceAll(server.url, 'http://127.0.0.1:8420').trimEnd();
    const lines = said === '' ? [] : said.split('\n').map((line) => line.trimEnd());
    assert.ok(hasShape(lines, output), `$ ${command}\nREADME:\n${output.join('\n')}\nnow:\n${said}`);
    const [serial] = serialNumber.exec(output.join('\n')) ?? [];
    const [now] = serialNumber.exec(said) ?? [];
    if (serial !== undefined && now !== undefined) serials.set(serial, now);
  }
});

test('the session has commands of every kind, so that it is not compared with nothing', () => {
  const session = readSession(readme);
  assert.ok(session.length > 10, `${session.length} commands`);
  for (const verb of [
    'create-authority',
    'create-role',
    'issue-certificate',
    'revoke-certificate',
    'openssl verify',
    'run --role',
  ])
    assert.ok(
      session.some(({ command }) => command.includes(verb)),
      verb,
    );
});

test('a line that changed its words is seen, and one that changed its times is not', () => {
  const expected = ['not_after  2026-11-22T04:48:08Z (in 23h)', '…', 'status  revoked'];
  assert.ok(hasShape(['not_after      2027-01-01T00:00:00Z (in 40d)', 'other', 'status     revoked'], expected));
  assert.ok(!hasShape(['not_before     2027-01-01T00:00:00Z (in 40d)', 'status     revoked'], expected));
  assert.ok(!hasShape(['not_after      2027-01-01T00:00:00Z (in 40d)', 'status     valid'], expected));
});

test('every script that a document names exists', () => {
  for (const document of documents)
    for (const [, script = ''] of readFileSync(join(root, document), 'utf8').matchAll(/\bnpm run ([a-z-]+)/g))
      assert.ok(script in manifest.scripts, `${document}: npm run ${script}`);
});

test('every file that a document links to exists', () => {
  for (const document of documents)
    for (const [, target = ''] of readFileSync(join(root, document), 'utf8').matchAll(/\]\((?!https?:|#)([^)#]+)/g))
      assert.ok(existsSync(join(root, dirname(document), target)), `${document}: ${target}`);
});

test('every source and test file that a document names exists', () => {
  for (const document of documents)
    for (const [, path = ''] of readFileSync(join(root, document), 'utf8').matchAll(
      /`((?:src|engines|test|scripts|bench|certs-dev|docs|bin)\/[\w./-]+)`/g,
    ))
      assert.ok(existsSync(join(root, path)) || path.startsWith('certs-dev/out'), `${document}: ${path}`);
});

test('every command and flag that a document shows exists', () => {
  const commands = toCommands(fromManifest(readFileSync(join(root, 'src/cli/operations.json'), 'utf8')));
  const areas = new Set(commands.map(({ area }) => area));
  const everywhere = globalFlags.map(({ name }) => name);
  let seen = 0;
  for (const document of documents)
    for (const [line, area = '', verb = '', rest = ''] of readFileSync(join(root, document), 'utf8').matchAll(
      /\bchancery ([a-z]+) ([a-z][a-z-]*)([^`\n#]*)/g,
    )) {
      if (!areas.has(area)) continue;
      const command = commands.find(
        (each) => each.area === area && (each.verb === verb || each.operation.cli?.alias === verb),
      );
      assert.ok(command, `${document}: ${line}`);
      const known = [
        ...everywhere,
        ...command.input().fields.flatMap((field) => [flagName(field), `no-${flagName(field)}`]),
      ];
      for (const [, flag = ''] of rest.matchAll(/--([a-z-]+)/g))
        assert.ok(known.includes(flag), `${document}: ${line}`);
      seen++;
    }
  assert.ok(seen > 20, `${seen} commands were looked at`);
});

test('every dependency has its line in docs/decisions.md, and nothing else has', () => {
  const decisions = readFileSync(join(root, 'docs/decisions.md'), 'utf8');
  const rows = [...decisions.matchAll(/^\| (`[^|]+`) \|/gm)].flatMap(([, names = '']) => [
    ...names.matchAll(/`([^`]+)`/g),
  ]);
  const explained = rows.map(([, name = '']) => name).sort();
  assert.deepEqual(explained, Object.keys({ ...manifest.dependencies, ...manifest.devDependencies }).sort());
});

test('the README names the Node that package.json asks for', () => {
  const [, version = ''] = /(\d+\.\d+)/.exec(manifest.engines.node) ?? [];
  assert.ok(readme.includes(`Node ${version}`));
});
