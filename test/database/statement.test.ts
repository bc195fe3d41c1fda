import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { AppError } from '#core/errors.ts';
import { checkStatements, parseStatement, renderStatement } from '#database/statement.ts';
import type { EngineName } from '#database/target.ts';

const values = { name: `u'"\`\\`, password: `p'"\`\\`, expiration: '2026-11-21T10:00:00.000Z' };
const render = (text: string, engine: EngineName = 'postgresql') =>
  renderStatement(parseStatement(text, engine, 'creation'), values);
const refused = (text: string, message: RegExp, engine: EngineName = 'postgresql') =>
  assert.throws(
    () => parseStatement(text, engine, 'creation'),
    (error) => error instanceof AppError && error.code === 'invalid_request' && message.test(error.message),
    text,
  );

describe('placeholders in statements for PostgreSQL', () => {
  const cases: [string, string, string][] = [
    ['a bare name is a quoted identifier', 'DROP ROLE {{name}};', `DROP ROLE "u'""\`\\";`],
    ['username is the name', 'DROP ROLE {{ username }}', `DROP ROLE "u'""\`\\"`],
    [
      'other bare values are quoted literals',
      'x {{password}}, {{expiration}}',
      `x 'p''"\`\\', '2026-11-21T10:00:00.000Z'`,
    ],
    ['in a string', `x '{{password}}' '{{name}}!'`, `x 'p''"\`\\' 'u''"\`\\!'`],
    ['in a string with a doubled quote', `x 'it''s {{name}}'`, `x 'it''s u''"\`\\'`],
    ['in an escape string', `x E'\\'{{name}}'`, `x E'\\'u''"\`\\\\'`],
    [
      'in an escape string that goes on in the next line',
      `x E'a' -- b\n 'c\\'{{name}}'`,
      `x E'a' -- b\n 'c\\'u''"\`\\\\'`,
    ],
    ['in a quoted identifier', `x "app_""{{name}}"`, `x "app_""u'""\`\\"`],
    [
      'behind a comment',
      `-- it's\nx {{name}} /* ' /* " */ ' */ {{password}}`,
      `-- it's\nx "u'""\`\\" /* ' /* " */ ' */ 'p''"\`\\'`,
    ],
    ['behind dollar quotes', `DO $a$ ' $$ " $a$; x {{name}}`, `DO $a$ ' $$ " $a$; x "u'""\`\\"`],
    ['behind a word that holds a dollar', `x a$b$ {{name}} c$b$`, `x a$b$ "u'""\`\\" c$b$`],
    ['behind a backslash at the end of a string', `x 'a\\' {{name}}`, `x 'a\\' "u'""\`\\"`],
    ['braces that are no placeholder stay', `x '{{1,2},{3,4}}' {{name}}`, `x '{{1,2},{3,4}}' "u'""\`\\"`],
    ['semicolons do not cut', `x; y {{name}}; z`, `x; y "u'""\`\\"; z`],
  ];
  for (const [title, text, expected] of cases) test(title, () => assert.equal(render(text), expected));

  test('are refused where nothing can be quoted', () => {
    refused('DO $$ x {{name}} $$', /in a dollar-quoted string/);
    refused('DO $x$ {{name}} $x$', /in a dollar-quoted string/);
    refused('x -- {{name}}', /in a comment/);
    refused('/* {{name}} */ x', /in a comment/);
    refused(`x U&'{{name}}'`, /Unicode escapes/);
    refused(`x U&"{{name}}"`, /Unicode escapes/);
    for (const text of [
      'app_{{name}}',
      '{{name}}x',
      `E{{password}}`,
      `'a'{{password}}`,
      `{{name}}"x"`,
      'U&{{name}}',
      '{{name}}{{name}}',
      '${{name}}',
      '{{{name}}}',
    ])
      refused(text, /touches a word or a quote|no \{\{|not finished/);
  });

  test('are refused behind a backslash that would take their first character', () => {
    for (const before of ['\\', '\\\\\\', '\\x', '\\x4', '\\12', '\\u00e', '\\U0000004']) {
      refused(`x E'${before}{{name}}'`, /follows a backslash/);
      if (!/[xuU]/.test(before)) refused(`x '${before}{{name}}'`, /follows a backslash/, 'mysql');
    }
    for (const before of ['\\\\', '\\n', '\\x41', '\\123', "\\'"]) render(`x E'${before}{{name}}'`);
    render("x '\\{{name}}'");
  });

  test('are refused when they are unknown or not finished', () => {
    refused('x {{user}}', /no \{\{user\}\} in creation statements/);
    refused(`x '{{Name}}'`, /no \{\{Name\}\}/);
    refused('x {{}}', /no \{\{\}\}/);
    refused('x {{name}', /not finished/);
    refused(`x '{{name'`, /not finished/);
    for (const text of ["'{{{name}}'", "'{{name}}}'", "'{{ {{name}}'", '"{{{{name}}"']) refused(text, /another brace/);
    assert.throws(
      () => parseStatement('x {{password}}', 'postgresql', 'revocation'),
      /no \{\{password\}\} in revocation/,
    );
  });

  test('are not looked for in scripts that are cut short', () => {
    for (const text of [`x 'a`, `x "a`, 'x /* /* */', 'DO $$ x $', `x E'a\\'`, `x 'it''s`])
      refused(text, /ends within/);
    refused('  ', /empty/);
    refused('x'.repeat(10_001), /more than 10000/);
    refused('x \0', /NUL/);
    refused('x \uD800', /half a character/);
  });

  test('need their values', () => {
    const statement = parseStatement('x {{password}}', 'postgresql', 'creation');
    assert.throws(() => renderStatement(statement, { name: 'u' }), RangeError);
    assert.throws(() => renderStatement(statement, { name: 'u', password: 'a\0' }), RangeError);
  });
});

describe('placeholders in statements for MySQL', () => {
  const cases: [string, string, string][] = [
    ['a bare name is a quoted identifier', `CREATE USER {{name}}@'%'`, `CREATE USER \`u'"\`\`\\\`@'%'`],
    ['other bare values are quoted literals', 'x {{password}}', `x 'p''"\`\\\\'`],
    ['in both kinds of strings', `x '{{password}}' "{{password}}"`, `x 'p''"\`\\\\' "p'""\`\\\\"`],
    ['in a quoted identifier', 'x `a_{{name}}`', `x \`a_u'"\`\`\\\``],
    ['behind an escaped quote', `x 'a\\'b' {{name}}`, `x 'a\\'b' \`u'"\`\`\\\``],
    [
      'behind comments, which do not nest',
      `# it's\nx /* /* ' */ {{name}} --\n y`,
      `# it's\nx /* /* ' */ \`u'"\`\`\\\` --\n y`,
    ],
    ['behind two minus signs that are no comment', `x 1--1 {{name}}`, `x 1--1 \`u'"\`\`\\\``],
  ];
  for (const [title, text, expected] of cases) test(title, () => assert.equal(render(text, 'mysql'), expected));

  test('are refused in comments, also in those that are run', () => {
    for (const text of ['x # {{name}}', 'x -- {{name}}', 'x /*!80000 {{name}} */'])
      refused(text, /in a comment/, 'mysql');
  });
});

describe('statements of a role', () => {
  const findings = (statements: readonly string[]) => {
    try {
      checkStatements(statements, 'postgresql', 'creation', '/creation_statements');
      return [];
    } catch (error) {
      assert.ok(error instanceof AppError);
      return error.details.map(({ at }) => at);
    }
  };

  test('are checked all at once, each finding with its place', () => {
    assert.deepEqual(findings([]), []);
    assert.deepEqual(findings(['CREATE ROLE {{name}}', 'SELECT 1']), []);
    assert.deepEqual(findings(['CREATE ROLE {{nam}}', 'x', `'`]), ['/creation_statements/0', '/creation_statements/2']);
    assert.deepEqual(findings(['CREATE ROLE fixed']), ['/creation_statements']);
    assert.deepEqual(findings(Array.from({ length: 21 }, () => '{{name}}')), ['/creation_statements']);
  });

  test('of any text at all are refused or rendered, and values never change how the rest is read', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        "'",
        '"',
        '$$',
        '$a$',
        '--',
        '/*',
        '*/',
        '\n',
        'E',
        'U&',
        '\\',
        '{{name}}',
        '{{password}}',
        '{{',
        '}}',
        ' ',
        ';',
        '`',
        '#',
      ),
      fc.string({ maxLength: 3 }),
    );
    const text = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(''));
    fc.assert(
      fc.property(text, fc.constantFrom<EngineName>('postgresql', 'mysql'), (script, engine) => {
        let statement: ReturnType<typeof parseStatement>;
        try {
          statement = parseStatement(script, engine, 'creation');
        } catch (error) {
          assert.ok(error instanceof AppError && error.code === 'invalid_request');
          return;
        }
        // Whatever the value holds, what stands behind the script is read as bare: nothing was opened or closed by it.
        for (const value of ['x', `'"\`\\ -- /* $$ ;`, '\\', "'", '"', '`']) {
          const rendered = renderStatement(statement, { name: value, password: value }).replaceAll('{', '[');
          const next = parseStatement(`${rendered}\n {{name}}`, engine, 'creation').pieces[1];
          assert.ok(typeof next === 'object');
          assert.equal(next.encode('a'), engine === 'mysql' ? '`a`' : '"a"');
        }
      }),
      { numRuns: 6000 },
    );
  });
});
