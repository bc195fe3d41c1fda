import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { readIdentifier, sameNames } from '#acme/client/identifiers.ts';
import { certificateKeyTypes, makeKey } from '#acme/client/keys.ts';
import { renewalByLife, renewalByWindow } from '#acme/client/renewal/schedule.ts';
import { linksOf, retryAfterOf } from '#acme/client/wire/headers.ts';
import { readProblem } from '#acme/client/wire/problem.ts';
import { certificateId } from '#acme/client/x509/certificate.ts';
import { makeRequest, readRequest } from '#acme/client/x509/request.ts';

const hour = 3_600_000;
const day = 24 * hour;

/** RFC 9773, appendix A. */
const example = `-----BEGIN CERTIFICATE-----
MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt
cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu
7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf
qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B
yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb
+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK
-----END CERTIFICATE-----`;

test('the identifier of a certificate is the one of the example of RFC 9773', () => {
  assert.equal(certificateId(new X509Certificate(example)), 'aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE');
});

test('requests of every key type are read by OpenSSL, and say what was asked for', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'csr-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const names = ['a.example.com', '*.b.example.com', '192.0.2.7', '2001:db8::1', '::ffff:192.0.2.1'];
  const identifiers = names.flatMap((name) => readIdentifier(name) ?? []);
  for (const type of certificateKeyTypes) {
    const key = await makeKey(type);
    const der = makeRequest(key, identifiers);
    writeFileSync(join(folder, 'csr'), der);
    const text = execFileSync(
      'openssl',
      ['req', '-inform', 'DER', '-in', join(folder, 'csr'), '-verify', '-text', '-noout'],
      {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    );
    assert.match(
      text,
      /DNS:a\.example\.com, DNS:\*\.b\.example\.com, IP Address:192\.0\.2\.7, IP Address:2001:DB8:0:0:0:0:0:1/,
    );
    const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
    const read = readRequest(pem);
    assert.ok(sameNames(read.identifiers, identifiers), JSON.stringify(read.identifiers));
    assert.ok(read.publicKey.equals(createPublicKey(key)));
  }
});

test('names are taken in one spelling, and what is neither name nor address is none', () => {
  const read = (text: string) => readIdentifier(text)?.value;
  assert.equal(read('WWW.Example.COM'), 'www.example.com');
  assert.equal(read('bücher.example'), 'xn--bcher-kva.example');
  assert.equal(read('*.example.com'), '*.example.com');
  assert.equal(read('2001:DB8:0:0::1'), '2001:db8::1');
  for (const none of [
    '',
    '*',
    '*.*.example.com',
    'a..b',
    '-a.example',
    'a b',
    'a/b',
    'a?b',
    'a#b',
    'a@b',
    'a:1',
    'a%62',
    '0x7f.1',
    '127.1',
    'a.example.',
    '1.2.3',
    `${'a'.repeat(64)}.b`,
  ])
    assert.equal(read(none), undefined, none);
});

test('the time of a renewal lies within the life, and never before the certificate has some age', () => {
  const life = fc.record({
    notBefore: fc.integer({ min: 0, max: 1e12 }),
    length: fc.integer({ min: 60_000, max: 400 * day }),
    late: fc.integer({ min: 0, max: 500 * day }),
    random: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
    start: fc.integer({ min: -1e12, max: 2e12 }),
    width: fc.integer({ min: -10, max: 100 * day }),
  });
  fc.assert(
    fc.property(life, ({ notBefore, length, late, random, start, width }) => {
      const certificate = { notBefore, notAfter: notBefore + length, obtainedAt: notBefore + late };
      const byLife = renewalByLife(certificate, random);
      const byWindow = renewalByWindow({ start, end: start + width }, certificate, random);
      assert.equal(byWindow === undefined, width <= 0);
      for (const at of [byLife, ...(byWindow === undefined ? [] : [byWindow])]) {
        assert.ok(Number.isSafeInteger(at));
        assert.ok(at > certificate.obtainedAt);
        if (late === 0) assert.ok(at < certificate.notAfter || length <= 120_000);
      }
      if (late === 0 && length > 10 * day)
        assert.ok(
          byLife >= certificate.notAfter - length / 3 - length / 100 - 1 && byLife <= certificate.notAfter - length / 3,
        );
    }),
  );
});

test('Retry-After is read as seconds or as a date, and nothing else', () => {
  const now = Date.parse('2026-11-21T10:00:00Z');
  const read = (text: string) => retryAfterOf({ 'retry-after': text }, now);
  assert.equal(read('120'), 120);
  assert.equal(read('Sat, 21 Nov 2026 10:01:00 GMT'), 60);
  assert.equal(read('Sat, 21 Nov 2026 09:00:00 GMT'), 0);
  assert.equal(read('soon'), undefined);
  assert.equal(read('-5000000000000'), undefined);
  assert.equal(retryAfterOf({}, now), undefined);
});

test('links are found by their relation, wherever it stands', () => {
  const link = [
    '<https://ca.example/index>;rel="index"',
    '</alt/1>; rel=alternate; title="a, b", <https://ca.example/alt/2>;title=x;rel="up alternate"',
    '<https://ca.example/no>;rel="alternate-not"',
  ];
  assert.deepEqual(linksOf({ link }, 'alternate', 'https://ca.example/cert/1'), [
    'https://ca.example/alt/1',
    'https://ca.example/alt/2',
  ]);
  assert.deepEqual(linksOf({}, 'alternate', 'https://ca.example/'), []);
});

test('what an authority writes into a problem is cut and controls nothing', () => {
  const { facts, message } = readProblem(
    {
      type: 'urn:ietf:params:acme:error:compound',
      detail: `\u001b[31m${'x'.repeat(5000)}\u202e`,
      subproblems: [
        { type: 'urn:ietf:params:acme:error:caa', detail: 'no\nwhere', identifier: { type: 'dns', value: 'a' } },
      ],
    },
    403,
  );
  assert.equal(facts.type, 'compound');
  assert.doesNotMatch(message, /[\p{C}]/u);
  assert.ok(message.length < 1100);
  assert.deepEqual(facts.subproblems, [{ type: 'caa', detail: 'no where', identifier: 'a' }]);
  assert.equal(readProblem('<html>', 502).facts.type, 'unknown');
});
