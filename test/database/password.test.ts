import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { AppError } from '#core/errors.ts';
import {
  checkPasswordPolicy,
  defaultPasswordPolicy,
  generatePassword,
  type PasswordPolicy,
  scramVerifier,
} from '#database/password.ts';

const lower = 'abcdefghijklmnopqrstuvwxyz';
const digits = '0123456789';
const refused = (policy: PasswordPolicy, message: RegExp) =>
  assert.throws(
    () => generatePassword(policy),
    (error) => error instanceof AppError && error.code === 'invalid_request' && message.test(error.message),
  );

describe('passwords', () => {
  test('by default have 32 characters of A-Z a-z 0-9 - _ with each class, and never come twice', () => {
    const made = new Set<string>();
    for (let count = 0; count < 2000; count++) {
      const password = generatePassword();
      assert.match(password, /^(?=.*[A-Z])(?=.*[a-z])(?=.*\d)(?=.*[-_])[\w-]{32}$/);
      made.add(password);
    }
    assert.equal(made.size, 2000);
  });

  test('hold every character equally often', () => {
    // 60 of 62 characters each: without the rejection of high octets, the first 8 would come 25 % more often.
    const policy = { length: 128, classes: [{ characters: `${lower}${lower.toUpperCase()}${digits}`, minimum: 0 }] };
    const counts = new Map<string, number>();
    const draws = 800;
    for (let count = 0; count < draws; count++)
      for (const character of generatePassword(policy)) counts.set(character, (counts.get(character) ?? 0) + 1);
    const expected = (draws * 128) / 62;
    // Chi-squared with 61 degrees of freedom: above 140 with a probability of 3e-8.
    const chi = [...counts.values()].reduce((sum, seen) => sum + (seen - expected) ** 2 / expected, 0);
    assert.equal(counts.size, 62);
    assert.ok(chi < 140, `chi-squared ${chi}`);
  });

  test('keep any policy that is allowed', () => {
    const classes = fc.subarray(
      [lower, lower.toUpperCase(), digits, '-_.~!*'].map((characters) => ({ characters, minimum: 1 })),
      { minLength: 1 },
    );
    fc.assert(
      fc.property(fc.integer({ min: 25, max: 128 }), classes, fc.nat(2), (length, chosen, minimum) => {
        const policy = { length, classes: chosen.map((each) => ({ ...each, minimum })) };
        try {
          checkPasswordPolicy(policy);
        } catch {
          return;
        }
        const password = generatePassword(policy);
        assert.equal(password.length, length);
        for (const { characters } of policy.classes)
          assert.ok(password.split('').filter((character) => characters.includes(character)).length >= minimum);
      }),
    );
  });

  test('are refused by policies that make them weak, impossible or unreadable', () => {
    checkPasswordPolicy(defaultPasswordPolicy);
    refused({ length: 11, classes: defaultPasswordPolicy.classes }, /between 12 and 128/);
    refused({ length: 129, classes: defaultPasswordPolicy.classes }, /between 12 and 128/);
    refused({ length: 20.5, classes: defaultPasswordPolicy.classes }, /between/);
    refused({ length: 20, classes: [{ characters: digits, minimum: 1 }] }, /fewer than 80 bits/);
    refused({ length: 128, classes: [{ characters: 'a', minimum: 0 }] }, /bits/);
    refused({ length: 32, classes: [] }, /bits/);
    refused({ length: 32, classes: [{ characters: 'aab', minimum: 0 }] }, /twice/);
    refused({ length: 32, classes: [{ characters: `${lower}ä`, minimum: 0 }] }, /ASCII/);
    refused({ length: 32, classes: [{ characters: `${lower} `, minimum: 0 }] }, /ASCII/);
    refused({ length: 32, classes: [{ characters: lower, minimum: -1 }] }, /minimum/);
    const greedy = [
      { characters: lower, minimum: 1 },
      { characters: digits, minimum: 31 },
    ];
    refused({ length: 32, classes: greedy }, /ask for more/);
    refused({ length: 32, classes: greedy.map((each) => ({ ...each, minimum: 17 })) }, /ask for more/);
  });
});

describe('SCRAM verifiers', () => {
  // RFC 7677 §3: user "user", password "pencil".
  const vector = {
    salt: 'W22ZaJ0SNY7soEsUEjb6gQ==',
    authMessage:
      'n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0',
    clientProof: 'dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
    serverSignature: '6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
  };

  test('agree with the exchange of RFC 7677: the proof opens, and the server signs', async () => {
    const verifier = await scramVerifier('pencil', 4096, Buffer.from(vector.salt, 'base64'));
    const parts = /^SCRAM-SHA-256\$4096:([\w+/=]+)\$([\w+/=]+):([\w+/=]+)$/.exec(verifier);
    const [, salt, storedKey = '', serverKey = ''] = parts ?? [];
    assert.equal(salt, vector.salt);
    const hmac = (key: Buffer, text: string) => createHmac('sha256', key).update(text).digest();
    assert.equal(hmac(Buffer.from(serverKey, 'base64'), vector.authMessage).toString('base64'), vector.serverSignature);
    // RFC 5802 §3: ClientKey = ClientProof XOR HMAC(StoredKey, AuthMessage), and StoredKey = H(ClientKey).
    const signature = hmac(Buffer.from(storedKey, 'base64'), vector.authMessage);
    const clientKey = Buffer.from(vector.clientProof, 'base64').map((octet, index) => octet ^ (signature[index] ?? 0));
    assert.equal(createHash('sha256').update(clientKey).digest('base64'), storedKey);
  });

  test('have a new salt each time, and the iterations that are asked for', async () => {
    const [one, two] = await Promise.all([scramVerifier('pencil'), scramVerifier('pencil')]);
    assert.notEqual(one, two);
    assert.match(await scramVerifier('pencil', 5000), /^SCRAM-SHA-256\$5000:/);
  });

  test('are not made of what SASLprep would change, nor with too few iterations', async () => {
    for (const password of ['', 'pässword', 'a\u00a0b', 'a\0b', 'a\nb'])
      await assert.rejects(scramVerifier(password), RangeError);
    await assert.rejects(scramVerifier('pencil', 4095), RangeError);
  });
});
