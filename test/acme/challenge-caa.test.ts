import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CaaAttempt, ChallengeType } from '#acme/challenge/contract.ts';
import { challengeWorld, verdict } from './challenge-world.ts';

const accountUrl = 'https://ca.test/acme/web/account/1';

function caaAttempt(value: string, more: { wildcard?: boolean; challengeType?: ChallengeType } = {}): CaaAttempt {
  return { identifier: { type: 'dns', value }, wildcard: false, issuerDomains: ['ca.test'], accountUrl, ...more };
}

const issue = (value: string) => ({ type: 'CAA' as const, tag: 'issue', value });
const issuewild = (value: string) => ({ type: 'CAA' as const, tag: 'issuewild', value });

test('RFC 8659 §3: the first name with CAA records rules, on the way up to the top-level domain', async (context) => {
  const world = await challengeWorld(context);
  const validator = world.validator();
  assert.equal(verdict(await validator.checkCaa(caaAttempt('x.y.a.test'))), 'ok');
  assert.deepEqual(
    world.dns.queries.map(({ name, type }) => `${type} ${name}`),
    ['CAA x.y.a.test', 'CAA y.a.test', 'CAA a.test', 'CAA test'],
  );
  world.dns.add('test', issue('other.test'));
  assert.equal(verdict(await validator.checkCaa(caaAttempt('x.y.a.test'))), 'caa final');
  world.dns.add('y.a.test', issue('ca.test'));
  assert.equal(verdict(await validator.checkCaa(caaAttempt('x.y.a.test'))), 'ok');
  assert.equal(verdict(await validator.checkCaa(caaAttempt('z.a.test'))), 'caa final');
});

test('RFC 8659 §3: of an alias the records of its target rule', async (context) => {
  const world = await challengeWorld(context);
  world.dns.add('www.a.test', { type: 'CNAME', value: 'host.b.test' });
  world.dns.add('host.b.test', issue('other.test'));
  assert.equal(verdict(await world.validator().checkCaa(caaAttempt('www.a.test'))), 'caa final');
});

test('RFC 8659 §4.2: what a value of the issue property allows', async (context) => {
  const world = await challengeWorld(context);
  const validator = world.validator();
  const cases: readonly (readonly [string, string])[] = [
    ['ca.test', 'ok'],
    ['  CA.Test  ', 'ok'],
    ['ca.test;', 'ok'],
    ['ca.test; policy=ev', 'ok'],
    [`ca.test; accounturi=${accountUrl}`, 'ok'],
    [`ca.test; accounturi=${accountUrl}0`, 'caa final'],
    [`ca.test; accounturi=${accountUrl}; accounturi=${accountUrl}`, 'caa final'],
    ['ca.test; validationmethods=dns-01', 'ok'],
    ['ca.test; validationmethods=http-01,dns-01', 'ok'],
    ['ca.test; validationmethods=http-01', 'caa final'],
    ['ca.test; validationmethods=', 'caa final'],
    [`ca.test; validationmethods=dns-01; accounturi=${accountUrl}`, 'ok'],
    ['ca.test; %%%', 'caa final'],
    ['ca.test policy=ev', 'caa final'],
    [';', 'caa final'],
    ['', 'caa final'],
    ['other.test', 'caa final'],
    ['sub.ca.test', 'caa final'],
  ];
  for (const [value, expected] of cases) {
    world.dns.zone.set('CAA a.test', [issue(value)]);
    assert.equal(verdict(await validator.checkCaa(caaAttempt('a.test', { challengeType: 'dns-01' }))), expected, value);
  }
  world.dns.zone.set('CAA a.test', [issue(';'), issue('other.test'), issue('ca.test')]);
  assert.equal(verdict(await validator.checkCaa(caaAttempt('a.test'))), 'ok');
  world.dns.zone.set('CAA a.test', [issue('ca.test; validationmethods=dns-01')]);
  assert.equal(verdict(await validator.checkCaa(caaAttempt('a.test'))), 'caa final');
});

test('RFC 8659 §4.3: issuewild goes before issue for wildcards, and says nothing of other names', async (context) => {
  const world = await challengeWorld(context);
  const validator = world.validator();
  const both = async () =>
    (await Promise.all([false, true].map((wildcard) => validator.checkCaa(caaAttempt('a.test', { wildcard }))))).map(
      verdict,
    );
  world.dns.zone.set('CAA a.test', [issue('ca.test'), issuewild(';')]);
  assert.deepEqual(await both(), ['ok', 'caa final']);
  world.dns.zone.set('CAA a.test', [issue(';'), issuewild('ca.test')]);
  assert.deepEqual(await both(), ['caa final', 'ok']);
  world.dns.zone.set('CAA a.test', [issue('ca.test')]);
  assert.deepEqual(await both(), ['ok', 'ok']);
  world.dns.zone.set('CAA a.test', [issuewild(';')]);
  assert.deepEqual(await both(), ['ok', 'caa final']);
});

test('RFC 8659 §4.1: an unknown property forbids when it is critical, and only then', async (context) => {
  const world = await challengeWorld(context);
  const validator = world.validator();
  const future = (flags: number) => ({ type: 'CAA' as const, flags, tag: 'future', value: 'x' });
  world.dns.zone.set('CAA a.test', [issue('ca.test'), future(0x80)]);
  assert.equal(verdict(await validator.checkCaa(caaAttempt('a.test'))), 'caa final');
  world.dns.zone.set('CAA a.test', [issue('ca.test'), future(0x7f)]);
  assert.equal(verdict(await validator.checkCaa(caaAttempt('a.test'))), 'ok');
  world.dns.zone.set('CAA a.test', [{ type: 'CAA', tag: 'iodef', value: 'mailto:a@a.test' }]);
  assert.equal(verdict(await validator.checkCaa(caaAttempt('a.test'))), 'ok');
});

test('RFC 8659 §3: a lookup that fails forbids, at any name on the way', async (context) => {
  const world = await challengeWorld(context);
  const validator = world.validator({ timeoutMs: 400 });
  world.dns.override = ({ name }) => (name === 'test' ? { code: 2 } : undefined);
  assert.equal(verdict(await validator.checkCaa(caaAttempt('a.test'))), 'caa');
  world.dns.override = ({ name }) => (name === 'test' ? 'silence' : undefined);
  assert.equal(verdict(await validator.checkCaa(caaAttempt('a.test'))), 'caa');
  world.dns.override = undefined;
  world.dns.zone.set('CAA a.test', [{ type: 'CAA', tag: 'is sue', value: ';' }]);
  assert.equal(verdict(await validator.checkCaa(caaAttempt('a.test'))), 'caa');
});

test('addresses have no CAA', async (context) => {
  const world = await challengeWorld(context);
  const attempt: CaaAttempt = { ...caaAttempt('127.0.0.1'), identifier: { type: 'ip', value: '127.0.0.1' } };
  assert.equal(verdict(await world.validator().checkCaa(attempt)), 'ok');
  assert.equal(world.dns.queries.length, 0);
});
