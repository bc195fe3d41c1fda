import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey, randomBytes, verify } from 'node:crypto';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { TargetError } from '#database/target.ts';
import { adminSetup } from '#database/targets/mysql/admin-setup.ts';
import { oneLineName } from '#database/targets/mysql/certificate-subject.ts';
import { ed25519PublicKey, signEd25519 } from '#database/targets/mysql/ed25519.ts';
import { cachingSha2Hash, passwordHash } from '#database/targets/mysql/password-hash.ts';
import { account, literal, roleName } from '#database/targets/mysql/quote.ts';
import {
  type AccountTerms,
  type Authentication,
  killSessions,
  lockUser,
  mintStatements,
  setPassword,
  stripUser,
} from '#database/targets/mysql/statements.ts';

/**
 * The texts that reach the servers. MariaDB's run on a real one in the other files; of MySQL 8 no server can be had here, so
 * that its texts are held against the grammar of its manual by eye: https://dev.mysql.com/doc/refman/8.4/en/create-user.html,
 * grant.html, set-default-role.html, alter-user.html, kill.html, revoke.html.
 */

const user = { username: 'chy_a_app_1', host: '%' };
const salted: Authentication = { plugin: 'caching_sha2_password', hash: '$A$005$salt' };
const terms = (more: Partial<AccountTerms> = {}, authentication: Authentication = salted): AccountTerms => ({
  accounts: [{ user, authentication }],
  memberOf: ['app_ro', 'app_rw@10.%', 'app_ro'],
  connectionLimit: 3,
  ...more,
});

test('MySQL: an account is made locked, joined to its roles, which are all its default, and unlocked last', () => {
  assert.deepEqual(mintStatements('mysql', terms()), [
    "CREATE USER 'chy_a_app_1'@'%' IDENTIFIED WITH caching_sha2_password AS '$A$005$salt' WITH MAX_USER_CONNECTIONS 3 ACCOUNT LOCK",
    "GRANT 'app_ro'@'%', 'app_rw'@'10.%' TO 'chy_a_app_1'@'%'",
    "SET DEFAULT ROLE ALL TO 'chy_a_app_1'@'%'",
    "ALTER USER 'chy_a_app_1'@'%' ACCOUNT UNLOCK",
  ]);
});

test('MySQL: without roles and bounds there is nothing of them', () => {
  assert.deepEqual(mintStatements('mysql', terms({ memberOf: [], connectionLimit: undefined })), [
    "CREATE USER 'chy_a_app_1'@'%' IDENTIFIED WITH caching_sha2_password AS '$A$005$salt' ACCOUNT LOCK",
    "ALTER USER 'chy_a_app_1'@'%' ACCOUNT UNLOCK",
  ]);
});

test('MySQL: a login by certificate has an empty password and demands the names', () => {
  const authentication = { subject: '/O=x/CN=chy_a_app_1', issuer: '/CN=it' };
  assert.equal(
    mintStatements('mysql', terms({ memberOf: [] }, authentication))[0],
    "CREATE USER 'chy_a_app_1'@'%' IDENTIFIED WITH caching_sha2_password AS ''" +
      " REQUIRE SUBJECT '/O=x/CN=chy_a_app_1' AND ISSUER '/CN=it' WITH MAX_USER_CONNECTIONS 3 ACCOUNT LOCK",
  );
});

test('MariaDB: users that are made together share all statements but those of their default roles', () => {
  const accounts = ['a', 'b'].map((username) => {
    const authentication = { plugin: 'mysql_native_password', hash: `*${username}` } as const;
    return { user: { username, host: '%' }, authentication };
  });
  assert.deepEqual(mintStatements('mariadb', { accounts, memberOf: ['app_ro'], connectionLimit: 2 }), [
    "CREATE USER 'a'@'%' IDENTIFIED VIA mysql_native_password USING '*a', " +
      "'b'@'%' IDENTIFIED VIA mysql_native_password USING '*b' WITH MAX_USER_CONNECTIONS 2 ACCOUNT LOCK",
    "GRANT `app_ro` TO 'a'@'%', 'b'@'%'",
    "SET DEFAULT ROLE `app_ro` FOR 'a'@'%'",
    "SET DEFAULT ROLE `app_ro` FOR 'b'@'%'",
    "ALTER USER 'a'@'%', 'b'@'%' ACCOUNT UNLOCK",
  ]);
  assert.deepEqual(
    mintStatements('mariadb', { accounts, memberOf: ['app_ro', 'app_rw'], connectionLimit: 2 }).slice(1, -1),
    [
      'CREATE ROLE `a`, `b`',
      'GRANT `app_ro` TO `a`, `b`',
      'GRANT `app_rw` TO `a`, `b`',
      "GRANT `a` TO 'a'@'%'",
      "GRANT `b` TO 'b'@'%'",
      "SET DEFAULT ROLE `a` FOR 'a'@'%'",
      "SET DEFAULT ROLE `b` FOR 'b'@'%'",
    ],
  );
});

test('MariaDB: one role is the default itself, several are bundled in one named as the user', () => {
  const authentication = { plugin: 'mysql_native_password', hash: '*94BD' } as const;
  assert.deepEqual(mintStatements('mariadb', terms({ memberOf: ['app_ro'] }, authentication)).slice(1, 3), [
    "GRANT `app_ro` TO 'chy_a_app_1'@'%'",
    "SET DEFAULT ROLE `app_ro` FOR 'chy_a_app_1'@'%'",
  ]);
  assert.deepEqual(mintStatements('mariadb', terms({ memberOf: ['app_ro', 'app_rw'] }, authentication)), [
    "CREATE USER 'chy_a_app_1'@'%' IDENTIFIED VIA mysql_native_password USING '*94BD' WITH MAX_USER_CONNECTIONS 3 ACCOUNT LOCK",
    'CREATE ROLE `chy_a_app_1`',
    'GRANT `app_ro` TO `chy_a_app_1`',
    'GRANT `app_rw` TO `chy_a_app_1`',
    "GRANT `chy_a_app_1` TO 'chy_a_app_1'@'%'",
    "SET DEFAULT ROLE `chy_a_app_1` FOR 'chy_a_app_1'@'%'",
    "ALTER USER 'chy_a_app_1'@'%' ACCOUNT UNLOCK",
  ]);
});

test('what revocation and rotation say', () => {
  assert.equal(lockUser(user), "ALTER USER IF EXISTS 'chy_a_app_1'@'%' ACCOUNT LOCK");
  assert.deepEqual(killSessions('mysql', user.username, [4, 7]), ['KILL CONNECTION 4', 'KILL CONNECTION 7']);
  assert.deepEqual(killSessions('mariadb', user.username, [4, 7]), ["KILL HARD CONNECTION USER 'chy_a_app_1'"]);
  assert.deepEqual(stripUser(user, [{ username: 'app_ro', host: '%' }]), [
    "REVOKE 'app_ro'@'%' FROM 'chy_a_app_1'@'%'",
    "REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'chy_a_app_1'@'%'",
  ]);
  assert.equal(
    setPassword('mysql', user, 'caching_sha2_password', '$A$005$x'),
    "ALTER USER 'chy_a_app_1'@'%' IDENTIFIED WITH caching_sha2_password AS '$A$005$x'",
  );
});

test("MySQL: the administrator's script grants what its manual has, and locks the account", () => {
  const script = adminSetup({ username: 'chancery', host: '10.0.0.5', memberOf: ['app_ro'], flavor: 'mysql' });
  const statements = script.split('\n').filter((line) => !line.startsWith('--'));
  assert.equal(statements[0], "CREATE USER 'chancery'@'10.0.0.5' ACCOUNT LOCK;");
  assert.ok(statements.includes("GRANT 'app_ro'@'%' TO 'chancery'@'10.0.0.5' WITH ADMIN OPTION;"));
  assert.ok(statements.some((line) => line.startsWith("GRANT CONNECTION_ADMIN ON *.* TO 'chancery'@'10.0.0.5';")));
  assert.doesNotMatch(script, /GRANT (ALL|SUPER|UPDATE|SYSTEM_USER)/);
});

test('quoting doubles what ends a text or starts an escape, and refuses what cannot be sent', () => {
  assert.equal(literal(`a'b\\c"d`), `'a''b\\\\c"d'`);
  assert.equal(account({ username: "o'x", host: 'LOCALHOST' }), "'o''x'@'localhost'");
  assert.equal(roleName('mariadb', 'a`b@c'), '`a``b@c`');
  assert.equal(roleName('mysql', 'a@b@c'), "'a@b'@'c'");
  for (const name of ['\0', 'a\0b', '\ud800', '😀', '']) {
    assert.throws(
      () => account({ username: name }),
      (error: TargetError) => error.kind === 'statement',
    );
  }
});

/** The password is the example's of hashcat, mode 7401; so are salt and hash. */
test('the hash of caching_sha2_password is what the server would compute', async () => {
  const salt = Buffer.from('F9CC98CE08892924F50A213B6BC571A2C11778C5', 'hex');
  const hash = await cachingSha2Hash('hashcat', salt);
  assert.equal(hash, `$A$005$${salt.toString('latin1')}bTy95Y99eAME1dwEkHOA1ndHGBWz.1bxSSRkuTXFGV/`);
  assert.match(await passwordHash('caching_sha2_password', 'x'), /^\$A\$005\$[./0-9A-Za-z]{20}[./0-9A-Za-z]{43}$/);
  assert.notEqual(await passwordHash('caching_sha2_password', 'x'), await passwordHash('caching_sha2_password', 'x'));
});

/** MySQL's manual on PASSWORD() (5.7), and MariaDB's on the plugin ed25519. */
test('the hashes of mysql_native_password and ed25519 are those of the manuals', async () => {
  assert.equal(await passwordHash('mysql_native_password', 'mypass'), '*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4');
  assert.equal(await passwordHash('ed25519', 'secret'), 'ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY');
});

test("keys and signatures of 32-byte secrets are those of Node's Ed25519", () => {
  fc.assert(
    fc.property(
      fc.string({ minLength: 32, maxLength: 32, unit: 'grapheme-ascii' }),
      fc.uint8Array(),
      (seed, message) => {
        const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from(seed)]);
        const key = createPublicKey(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }));
        assert.deepEqual(ed25519PublicKey(seed), key.export({ format: 'der', type: 'spki' }).subarray(-32));
        return verify(null, message, key, signEd25519(seed, message));
      },
    ),
    { numRuns: 20 },
  );
});

test('signatures by a secret of any length verify with its public key', () => {
  for (const secret of ['', 'x', 'ein Paßwort', 'long '.repeat(50)]) {
    const message = randomBytes(32);
    const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), ed25519PublicKey(secret)]);
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    assert.ok(verify(null, message, key, signEd25519(secret, message)), secret);
  }
});

test('names of certificates are turned round into one line', () => {
  const rows: [string, string][] = [
    ['CN=chy_a', '/CN=chy_a'],
    ['CN=chy_a,OU=agents,O=Example,C=DE', '/C=DE/O=Example/OU=agents/CN=chy_a'],
    ['cn = chy_a , o = Example\\, Inc.', '/O=Example, Inc./CN=chy_a'],
    ['CN=\\ a\\ ,O=b', '/O=b/CN= a '],
    ['CN=J\\C3\\BCrgen', '/CN=J\\xC3\\xBCrgen'],
    ['CN=Jürgen', '/CN=J\\xC3\\xBCrgen'],
    ['CN=a\\+b\\"c', '/CN=a+b"c'],
    ['STREET=x,2.5.4.5=7,CN=y', '/CN=y/serialNumber=7/street=x'],
  ];
  for (const [name, line] of rows) assert.equal(oneLineName(name, 'subject'), line, name);
});

test('names that the one line cannot tell apart, or that are not known, are refused', () => {
  for (const name of ['', 'chy_a', 'CN=a/CN=b', 'CN=a+O=b', 'CN=#0401', '1.2.3.4=x', 'CN=a,', 'CN="a"', 'CN=a,,O=b']) {
    assert.throws(
      () => oneLineName(name, 'subject'),
      (error: TargetError) => error.kind === 'statement',
      name,
    );
  }
  assert.equal(oneLineName('CN=http://a', 'issuer'), '/CN=http://a');
});
