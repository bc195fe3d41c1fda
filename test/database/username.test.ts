import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { AppError } from '#core/errors.ts';
import { checkUsernameTemplate, makeUsername, newUsernameTag, usernamePrefix } from '#database/username.ts';

const facts = { tag: 'a1b2c', role: 'readonly', principal: 'billing', now: 1_795_000_000_123 };
const random = '[0-9a-hjkmnp-tv-z]{13}';

describe('user names', () => {
  test('have the prefix of the installation, the role and 65 random bits', () => {
    assert.match(makeUsername('{{role}}_{{random}}', facts, 63), new RegExp(`^chy_a1b2c_readonly_${random}$`));
    assert.match(
      makeUsername('x_{{ principal }}_{{time}}_{{random}}', facts, 63),
      new RegExp(`^chy_a1b2c_x_billing_1795000000_${random}$`),
    );
    assert.match(newUsernameTag(), /^[0-9a-hjkmnp-tv-z]{5}$/);
  });

  test('fit the limit of the database by shortening role and principal, never what is random', () => {
    const long = { ...facts, role: 'a-very-long-name-of-a-role', principal: 'p' };
    assert.match(makeUsername('{{role}}_{{random}}', long, 32), new RegExp(`^chy_a1b2c_a_very_l_${random}$`));
    assert.equal(makeUsername('{{principal}}_{{role}}_{{random}}', long, 40).length, 40);
  });

  test('never come twice, and hold nothing but a-z, 0-9 and _, whatever the names are', () => {
    const made = new Set<string>();
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        fc.string({ unit: 'grapheme' }),
        fc.integer({ min: 36, max: 80 }),
        (role, principal, limit) => {
          const name = makeUsername('{{role}}_{{principal}}_{{random}}', { ...facts, role, principal }, limit + 10);
          assert.match(name, /^chy_a1b2c_[a-z0-9]\w*_\w{13}$/);
          assert.match(name, /^[a-z0-9_]+$/);
          assert.ok(name.length <= limit + 10);
          assert.ok(!made.has(name));
          made.add(name);
        },
      ),
    );
    assert.match(
      makeUsername('{{role}}_{{random}}', { ...facts, role: 'Größe 7/prod' }, 63),
      /^chy_a1b2c_gro_e_7_prod_/,
    );
  });

  test('of one tag never begin with the prefix of another', () => {
    const prefixes = Array.from({ length: 200 }, () => usernamePrefix(newUsernameTag()));
    for (const prefix of prefixes) assert.ok(prefixes.every((other) => other === prefix || !other.startsWith(prefix)));
  });

  test('are not made by templates without randomness, with unknown parts, or too long for the database', () => {
    const refused: [string, number, RegExp][] = [
      ['{{role}}', 63, /\{\{random\}\} exactly once/],
      ['{{random}}_{{random}}', 63, /exactly once/],
      ['{{role}}_{{user}}_{{random}}', 63, /no \{\{user\}\}/],
      ['{{role}}-{{random}}', 63, /other than/],
      ["'; DROP ROLE x; --{{random}}", 63, /other than/],
      ['{{ROLE}}_{{random}}', 63, /other than/],
      ['', 63, /exactly once/],
      ['a'.repeat(101), 63, /more than 100/],
      ['{{role}}_{{principal}}_{{time}}_{{random}}', 32, /need \d+ characters/],
    ];
    for (const [template, limit, message] of refused) {
      assert.throws(
        () => checkUsernameTemplate(template, limit),
        (error) => error instanceof AppError && error.code === 'invalid_request' && message.test(error.message),
        template,
      );
      assert.throws(() => makeUsername(template, facts, limit), AppError);
    }
    checkUsernameTemplate('{{role}}_{{random}}', 32);
    checkUsernameTemplate('{{random}}', 23);
  });
});
