import assert from 'node:assert/strict';
import test from 'node:test';
import { parseEmail } from '#pki/identifier/email.ts';
import { shown } from '#pki/identifier/malformed.ts';

test('mailboxes keep their local part and get a host in lower case', () => {
  const table = [
    ['alice@example.com', 'alice@example.com'],
    ['Alice.B+tag@EXAMPLE.com', 'Alice.B+tag@example.com'],
    ["o'neil_1-x=y~z@a.b", "o'neil_1-x=y~z@a.b"],
    ['root@localhost', 'root@localhost'],
  ] as const;
  for (const [text, value] of table) {
    const email = parseEmail(text);
    assert.equal(email.kind === 'email' && email.value, value);
  }
});

test('everything that is not one plain ASCII mailbox is refused', () => {
  const texts = [
    '',
    '@',
    'alice',
    '@example.com',
    'alice@',
    'a@b@example.com',
    'alice@example.com,bob@example.com',
    'alice,bob@example.com',
    'alice;bob@example.com',
    'alice bob@example.com',
    ' alice@example.com',
    'alice@example.com ',
    'alice@example.com\n',
    'alice\0@example.com',
    'Alice <alice@example.com>',
    '"alice"@example.com',
    '"a b"@example.com',
    '*@example.com',
    'alice@*.example.com',
    '.alice@example.com',
    'alice.@example.com',
    'a..b@example.com',
    'user%evil.com@example.com',
    'evil.com!user@example.com',
    'alice@[192.0.2.1]',
    'alice@192.0.2.1',
    'alice@example.com.',
    'ålice@example.com',
    'аlice@example.com',
    'alice@exämple.com',
    'alice@exam\u200bple.com',
    `${'a'.repeat(65)}@example.com`,
    `${'a'.repeat(60)}@${'b.'.repeat(100)}com`,
    'mailto:alice@example.com',
  ];
  for (const text of texts) {
    const email = parseEmail(text);
    assert.ok(email.kind === 'malformed', `${JSON.stringify(text)} was read as ${JSON.stringify(email)}`);
    if (email.suggestion !== undefined) assert.equal(parseEmail(email.suggestion).kind, 'email');
  }
});

test('what is shown of a text is printable ASCII, quoted and bounded', () => {
  assert.equal(shown('a.example'), '"a.example"');
  assert.equal(shown('a"b\\c'), '"a\\u{22}b\\u{5c}c"');
  assert.equal(shown('\u202e\0\nа'), '"\\u{202e}\\u{0}\\u{a}\\u{430}"');
  assert.equal(shown('\ud800'), '"\\u{d800}"');
  assert.equal(shown('x'.repeat(100)), `"${'x'.repeat(80)}..."`);
});
