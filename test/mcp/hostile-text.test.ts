import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { assert as check, property, string as anyString } from 'fast-check';
import { mapStrings, safeText } from '#mcp/untrusted-text.ts';
import { foundPki } from '#test/chancery.ts';
import { cn, makeRequest, p256, pem, selfSigned } from '../attack/csr.ts';
import { connectHttp, connectStdio, startServer } from './world.ts';

/** Text that others wrote, on its way to a model. */

interface Hostile {
  readonly what: string;
  readonly text: string;
}

const corpus = JSON.parse(
  readFileSync(join(import.meta.dirname, '../vectors/hostile-text.json'), 'utf8'),
) as readonly Hostile[];

/**
 * Written down a second time, by code points and not by Unicode properties: what may not reach a model as such. Line feed
 * and tab may: in JSON they are always escapes.
 */
const forbidden: readonly (readonly [number, number])[] = [
  [0x00, 0x08],
  [0x0b, 0x1f],
  [0x7f, 0xa0],
  [0xad, 0xad],
  [0x34f, 0x34f],
  [0x61c, 0x61c],
  [0x115f, 0x1160],
  [0x17b4, 0x17b5],
  [0x180b, 0x180f],
  [0x2000, 0x200f],
  [0x2028, 0x202f],
  [0x205f, 0x2064],
  [0x2066, 0x206f],
  [0x2800, 0x2800],
  [0x3000, 0x3000],
  [0x3164, 0x3164],
  [0xd800, 0xdfff],
  [0xe000, 0xf8ff],
  [0xfe00, 0xfe0f],
  [0xfeff, 0xfeff],
  [0xffa0, 0xffa0],
  [0xfff9, 0xfffb],
  [0xfffe, 0xffff],
  [0x1d173, 0x1d17a],
  [0xe0000, 0xe0fff],
  [0xf0000, 0x10ffff],
];

function faultIn(text: string): string | undefined {
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (forbidden.some(([from, to]) => code >= from && code <= to)) return `U+${code.toString(16)}`;
  }
  return undefined;
}

for (const { what, text } of corpus) {
  test(`what does not show is told by number: ${what}`, () => {
    const safe = safeText(text);
    assert.equal(faultIn(safe), undefined);
    if (/^[\x20-\x7e]*$/.test(text)) assert.equal(safe, text, 'plain text stays as it is');
  });
}

test('whatever the text, nothing unsafe comes out and plain text stays', () => {
  check(
    property(anyString({ unit: 'binary', maxLength: 200 }), (text) => {
      assert.equal(faultIn(safeText(text)), undefined);
    }),
    { numRuns: 500 },
  );
  check(
    property(anyString({ unit: 'grapheme-ascii' }), (text) => {
      assert.equal(safeText(text), text);
    }),
  );
});

test('a text that is too long is cut, and says so', () => {
  const safe = safeText('A'.repeat(1_000_000));
  assert.ok(safe.length < 40_000);
  assert.match(safe, /… \[cut: 1000000 characters in all\]$/);
});

test('names of members are text too', () => {
  assert.deepEqual(mapStrings({ 'a\u202eb': ['c\u0000'], deep: { 'x\u200b': 1, y: null } }, safeText), {
    'a\\u{202e}b': ['c\\u{0}'],
    deep: { 'x\\u{200b}': 1, y: null },
  });
});

/** Every string of a value, names of members among them. */
function stringsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (Array.isArray(value)) return value.flatMap(stringsIn);
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, item]) => [name, ...stringsIn(item)]);
}

/** The ways in which a text of somebody comes into a result: as what is asked for, stored, read from a certificate, or refused. */
function callsWith(text: string, index: number): { name: string; arguments: Record<string, unknown> }[] {
  const certificate = pem(selfSigned(p256, text.slice(0, 2000)), 'CERTIFICATE');
  const csr = pem(makeRequest({ subject: [cn(text.slice(0, 2000))] }));
  const principal = `p-${index}`;
  const run = (operation: string, input: object) => ({ name: 'run_operation', arguments: { operation, input } });
  return [
    { name: 'pki_validate_certificate', arguments: { certificate } },
    { name: 'pki_issue_certificate', arguments: { role: 'web', csr } },
    { name: 'pki_issue_certificate', arguments: { role: 'web', dns_names: [text], purpose: text } },
    { name: 'pki_plan_certificate', arguments: { role: text, dns_names: [text] } },
    { name: 'pki_issue_certificate', arguments: { role: 'web', [text]: text } },
    run('auth.create_principal', { name: principal, kind: 'agent', policies: [], description: text }),
    run('auth.get_principal', { name: principal }),
    run('auth.list_principals', { limit: 1000 }),
    run('policy.create_policy', {
      name: text,
      description: text,
      rules: [{ effect: text, operations: [text], resources: [text] }],
    }),
    { name: 'search_operations', arguments: { query: text } },
    { name: 'describe_operation', arguments: { operation: text } },
    run(text, { text }),
    { name: 'lease_list_leases', arguments: { cursor: text } },
  ];
}

for (const [transport, connect] of Object.entries({ HTTP: connectHttp, stdio: connectStdio })) {
  test(`no hostile text comes back as it went in over ${transport}`, async (context) => {
    const server = await startServer(context);
    await foundPki(server);
    const client = await connect(context, server);
    let withText = 0;
    for (const [index, { what, text }] of corpus.entries()) {
      // The way is the same over both; where every call is a request more, a third of the texts will do.
      if (transport === 'stdio' && index % 3 !== 0) continue;
      for (const call of callsWith(text, index)) {
        // A member of this name does not get past the parser of bodies.
        if (transport === 'HTTP' && text === '__proto__' && Object.hasOwn(call.arguments, text)) continue;
        const { content, structuredContent } = await client.callTool(call);
        const [block] = content;
        const inText = block?.type === 'text' ? block.text : '';
        for (const string of [inText, ...stringsIn(JSON.parse(inText)), ...stringsIn(structuredContent)]) {
          const fault = faultIn(string);
          assert.equal(fault, undefined, `${call.name} with ${what}`);
          assert.ok(
            string === inText || string.length < 33_000,
            `${call.name} with ${what}: ${string.length} characters`,
          );
        }
        if (inText.includes('u{')) withText++;
      }
    }
    assert.ok(
      withText > (transport === 'stdio' ? 15 : 30),
      `only ${withText} results had something to escape: the texts do not get where they should`,
    );
    const { tools } = await client.listTools();
    assert.equal(faultIn(JSON.stringify(tools)), undefined);
  });
}
