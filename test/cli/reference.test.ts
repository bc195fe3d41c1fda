import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { toCommands } from '#cli/command.ts';
import { fromManifest, toManifest } from '#cli/manifest.ts';
import { renderCliReference } from '#cli/reference.ts';
import { readShape } from '#cli/schema.ts';
import { operations } from './operations.ts';

describe('the generated reference', () => {
  const reference = renderCliReference(operations);

  test('has a section for every command, and every input field in it', () => {
    const sections = reference.split('\n### ');
    for (const command of toCommands(operations)) {
      const section = sections.find((text) => text.startsWith(`chancery ${command.area} ${command.verb}\n`));
      assert.ok(section, command.verb);
      for (const { name } of command.input().fields)
        assert.ok(section.includes(`${name.replaceAll('_', '-')}\``), name);
    }
  });

  test('is the same every time, so that a difference means a difference', () => {
    assert.equal(renderCliReference(operations), reference);
  });

  test('marks what is secret and what is required', () => {
    assert.match(reference, /\| `private_key` \| \*\*Secret\.\*\* /);
    assert.match(reference, /\| `--role` \| `NAME` \| required \|/);
  });

  test('has tables whose rows all have the columns of their head', () => {
    for (const table of reference.matchAll(/(?:^\|.*\n)+/gm)) {
      const widths = table[0]
        .trimEnd()
        .split('\n')
        .map((row) => row.replaceAll('\\|', '').split('|').length);
      assert.equal(new Set(widths).size, 1, table[0].slice(0, 80));
    }
  });
});

describe('the manifest', () => {
  test('tells the CLI as much as the operations themselves', () => {
    assert.equal(renderCliReference(fromManifest(toManifest(operations))), renderCliReference(operations));
  });

  test('of a manifest is that manifest', () => {
    const manifest = toManifest(operations);
    assert.equal(toManifest(fromManifest(manifest)), manifest);
  });
});

describe('fields of a schema', () => {
  test('a union of records needs what every member needs, and takes what any takes', () => {
    const { fields, open } = readShape({
      anyOf: [
        {
          type: 'object',
          properties: { a: { type: 'string' }, b: { type: 'string' } },
          required: ['a', 'b'],
          additionalProperties: false,
        },
        {
          type: 'object',
          properties: { a: { type: 'string' }, c: { type: 'boolean' } },
          required: ['a'],
          additionalProperties: false,
        },
      ],
    });
    assert.deepEqual(
      fields.map(({ name, required }) => [name, required]),
      [
        ['a', true],
        ['b', false],
        ['c', false],
      ],
    );
    assert.equal(open, false);
  });

  test('references are followed, and one that leads to itself ends', () => {
    const tree = { type: 'object', properties: { child: { $ref: '#/$defs/tree' } } };
    const { fields } = readShape({
      type: 'object',
      properties: { root: { $ref: '#/$defs/tree' }, loop: { $ref: '#/$defs/loop' }, kind: { $ref: '#/$defs/kind' } },
      $defs: { tree, loop: { anyOf: [{ $ref: '#/$defs/loop' }] }, kind: { type: 'string', enum: ['x', 'y'] } },
    });
    assert.deepEqual(
      fields.map(({ type }) => type.kind),
      ['json', 'json', 'string'],
    );
    assert.deepEqual(fields[2]?.type.values, ['x', 'y']);
  });

  test('a field with a default is not required', () => {
    const { fields } = readShape({
      type: 'object',
      properties: { a: { type: 'string', default: 'x' } },
      required: ['a'],
    });
    assert.equal(fields[0]?.required, false);
  });
});
