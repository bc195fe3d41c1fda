import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { cutDisplay, displayWidth, escapeLine, escapeLines, safeJson } from '#cli/escape.ts';
import { withoutRepeats } from '#cli/record.ts';
import { relativeTime } from '#cli/relative-time.ts';
import { quoteWord, shellWords } from '#cli/shell-words.ts';
import { didYouMean } from '#core/suggest.ts';

/** What no terminal should be sent: controls, and whatever hides or changes the order of what is around it. */
const dangerous: readonly (readonly [from: number, to: number])[] = [
  [0x00, 0x09],
  [0x0b, 0x1f],
  [0x7f, 0x9f],
  [0x61c, 0x61c],
  [0x200b, 0x200f],
  [0x2028, 0x202e],
  [0x2060, 0x2069],
  [0xfeff, 0xfeff],
  [0xe0000, 0xe007f],
];

function assertHarmless(text: string): void {
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    assert.ok(!dangerous.some(([from, to]) => code >= from && code <= to), `U+${code.toString(16)} is left`);
  }
}

const anyText = fc.string({ unit: 'binary', maxLength: 60 });

describe('text of others on a terminal', () => {
  test('no control or bidi character is left, whatever the text', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        assertHarmless(escapeLine(text));
        assert.doesNotMatch(escapeLine(text), /\n/);
        assertHarmless(escapeLines(text));
      }),
    );
  });

  test('JSON means the same after escaping, and holds no such character', () => {
    fc.assert(
      fc.property(fc.jsonValue(), anyText, (value, text) => {
        const json = safeJson({ value, text });
        assertHarmless(json);
        assert.deepEqual(JSON.parse(json), JSON.parse(JSON.stringify({ value, text })));
      }),
    );
  });

  test('known attacks are shown by number', () => {
    assert.equal(escapeLine('a\u001b[31m'), 'a\\u{1b}[31m');
    assert.equal(escapeLine('photo\u202egpj.exe'), 'photo\\u{202e}gpj.exe');
    assert.equal(escapeLine('two\nlines\tand'), 'two\\nlines\\tand');
    assert.equal(escapeLine('\u009b31m'), '\\u{9b}31m');
    assert.equal(escapeLine('tag\u{e0041}'), 'tag\\u{e0041}');
    assert.equal(escapeLine('no\u00a0break'), 'no\\u{a0}break');
    assert.equal(escapeLine('Zürich 東京 ok'), 'Zürich 東京 ok');
  });

  test('a cut text is as wide as it may be, never wider', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), fc.integer({ min: 1, max: 30 }), (text, columns) => {
        const cut = cutDisplay(escapeLine(text), columns);
        assert.ok(displayWidth(cut) <= columns);
      }),
    );
    assert.equal(cutDisplay('東京都庁', 5), '東京…');
  });
});

describe('distance of a time', () => {
  const now = Date.parse('2026-11-21T10:00:00Z');
  for (const [time, expected] of [
    ['2026-11-21T10:00:00Z', 'now'],
    ['2026-11-21T10:01:59Z', 'in 119s'],
    ['2026-11-21T11:30:00Z', 'in 90m'],
    ['2026-11-22T09:00:00Z', 'in 23h'],
    ['2026-11-26T10:00:00Z', 'in 5d'],
    ['2027-11-21T10:00:00Z', 'in 11mo'],
    ['2036-11-21T10:00:00Z', 'in 10y'],
    ['2026-11-21T09:59:59Z', '1s ago'],
    ['2026-11-18T09:00:00Z', '3d ago'],
    ['2026-11-21T12:00:00+02:00', 'now'],
    ['9999-99-99T99:99:99Z', undefined],
    ['2026-11-21', undefined],
    ['a 2026-11-21T10:00:00Z', undefined],
  ] as const) {
    test(`${time} is ${expected ?? 'no time'}`, () => assert.equal(relativeTime(time, now), expected));
  }
});

describe('words of a shell', () => {
  test('a quoted word is read back as it was', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), (words) => {
        assert.deepEqual(shellWords(words.map(quoteWord).join(' ')), words);
      }),
    );
  });

  test('sh reads a quoted word back as it was', () => {
    for (const word of ["it's", '$(id)', '`id`', 'a b', '*', '~', '#x', '!!', 'a\nb', '', '{…}', '\\'])
      assert.equal(execFileSync('sh', ['-c', `printf %s ${quoteWord(word)}`]).toString(), word);
  });

  test('quotes and backslashes are undone as sh does it', () => {
    assert.deepEqual(shellWords(String.raw`a "b c" 'd"e' f\ g "h\"i\n"`), [
      'a',
      'b c',
      'd"e',
      'f g',
      String.raw`h"i\n`,
    ]);
  });
});

describe('did you mean', () => {
  const commands = ['issue-certificate', 'list-certificates', 'list-roles', 'revoke-certificate'];
  test('a slip of the finger is found', () => {
    assert.equal(didYouMean('isseu-certificate', commands), 'did you mean issue-certificate?');
    assert.equal(didYouMean('list-role', commands), 'did you mean list-roles?');
  });
  test('what is near to nothing gets no suggestion', () => assert.equal(didYouMean('qqqqqq', commands), undefined));
  test('a very long word costs nothing and finds nothing', () =>
    assert.equal(didYouMean('x'.repeat(1_000_000), commands), undefined));
});

test('PEM that the whole has is not shown again in its lists; other PEM is', () => {
  const [current, former] = ['-----BEGIN CERTIFICATE-----\nnew', '-----BEGIN CERTIFICATE-----\nold'];
  const issuers = [
    { number: 1, certificate: former },
    { number: 2, certificate: current },
  ];
  assert.deepEqual(withoutRepeats({ name: 'root', certificate: current, issuers }), {
    name: 'root',
    certificate: current,
    issuers: [{ number: 1, certificate: former }, { number: 2 }],
  });
});
