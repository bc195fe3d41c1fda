import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { assert as check, constantFrom, property, string, stringMatching } from 'fast-check';
import { maskSecrets } from '#mcp/mask.ts';
import { makeRequest, p256, pem, selfSigned } from '../attack/csr.ts';

/** What looks like a secret and must not reach a model, and what only sounds like one and must. */

const cases: readonly (readonly [text: string, masked: string])[] = [
  // Pairs.
  ["password='hunter2'", "password='[masked]'"],
  ['password = hunter2', 'password = [masked]'],
  ['password: hunter2', 'password: [masked]'],
  ['Password:hunter2', 'Password:[masked]'],
  ['passphrase => hunter2', 'passphrase => [masked]'],
  ['PGPASSWORD=hunter2 psql', 'PGPASSWORD=[masked] psql'],
  ['export MYSQL_PWD="hunter2 x"; mysql', 'export MYSQL_PWD="[masked]"; mysql'],
  ['db_password=hunter2&sslmode=disable', 'db_password=[masked]&sslmode=disable'],
  ['password=a&b=c&d', 'password=[masked]&b=c&d'],
  ['password=a&b;c host=x', 'password=[masked] host=x'],
  ['Server=db;Password=hun,ter2;Port=1', 'Server=db;Password=[masked];Port=1'],
  ['host=db user=app password=hunter2 dbname=x', 'host=db user=app password=[masked] dbname=x'],
  ["password='it''s' host=db", "password='[masked]' host=db"],
  ["password='it\\'s' host=db", "password='[masked]' host=db"],
  ["password='never ends", "password='[masked]"],
  ["config['password'] = 'hunter2'", "config['password'] = '[masked]'"],
  ['<password>hunter2</password>', '<password>[masked]</password>'],
  ['client_secret=hunter2hunter2', 'client_secret=[masked]'],
  ['api_key: "hunter2hunter2"', 'api_key: "[masked]"'],
  ['X-Vault-Token: s.hunter2hunter2', 'X-Vault-Token: [masked]'],
  ['AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG', 'AWS_SECRET_ACCESS_KEY=[masked]'],
  // JSON, also within texts of JSON.
  ['{"password":"hunter2"}', '{"password":"[masked]"}'],
  ['{"password": "a \\"b\\" c", "x": 1}', '{"password": "[masked]", "x": 1}'],
  ['{\\"password\\":\\"hunter2\\"}', '{\\"password\\":\\"[masked]\\"}'],
  ['{\\\\\\"password\\\\\\": \\\\\\"hunter2\\\\\\"}', '{\\\\\\"password\\\\\\": \\\\\\"[masked]\\\\\\"}'],
  ['{"user":"u","dbPassword":"hunter2","port":1}', '{"user":"u","dbPassword":"[masked]","port":1}'],
  ['{"password":12345,"x":1}', '{"password":[masked],"x":1}'],
  ['"password":\n  "hunter2"', '"password":\n  "[masked]"'],
  ["{'passwd': 'hunter2'}", "{'passwd': '[masked]'}"],
  // SQL.
  ["CREATE ROLE x LOGIN PASSWORD 'hunter2' VALID UNTIL 'y'", "CREATE ROLE x LOGIN PASSWORD '[masked]' VALID UNTIL 'y'"],
  ["ALTER USER x WITH ENCRYPTED PASSWORD E'hun\\'ter2'", "ALTER USER x WITH ENCRYPTED PASSWORD E'[masked]'"],
  ["PASSWORD'hunter2'", "PASSWORD'[masked]'"],
  ['ALTER ROLE x PASSWORD $$hunter2$$', 'ALTER ROLE x PASSWORD $$[masked]$$'],
  ['ALTER ROLE x PASSWORD $a$hunter2$a$', 'ALTER ROLE x PASSWORD $a$[masked]$a$'],
  ["CREATE USER 'x'@'%' IDENTIFIED BY 'hunter2'", "CREATE USER 'x'@'%' IDENTIFIED BY '[masked]'"],
  ["identified by 'hunter2' require ssl", "identified by '[masked]' require ssl"],
  ["IDENTIFIED WITH caching_sha2_password BY 'hunter2'", "IDENTIFIED WITH caching_sha2_password BY '[masked]'"],
  ["IDENTIFIED VIA mysql_native_password USING 'hunter2'", "IDENTIFIED VIA mysql_native_password USING '[masked]'"],
  ["IDENTIFIED BY PASSWORD '*94BDCEBE'", "IDENTIFIED BY PASSWORD '[masked]'"],
  ['ALTER USER x IDENTIFIED BY hunter2', 'ALTER USER x IDENTIFIED BY [masked]'],
  ["SET PASSWORD FOR 'x'@'%' = 'hunter2'", "SET PASSWORD FOR 'x'@'%' = '[masked]'"],
  ["SET PASSWORD FOR x = PASSWORD('hunter2')", "SET PASSWORD FOR x = PASSWORD('[masked]')"],
  // Commands.
  ['mysql --password hunter2 db', 'mysql --password [masked] db'],
  ['mysql --password=hunter2 db', 'mysql --password=[masked] db'],
  ['tool --db-password "hunter2 x"', 'tool --db-password "[masked]"'],
  ['tool --api-key hunter2hunter2', 'tool --api-key [masked]'],
  ['curl -u app:hunter2 https://x/', 'curl -u app:[masked] https://x/'],
  // Headers.
  ['Authorization: Basic YXBwOmh1bnRlcjI=', 'Authorization: Basic [masked]'],
  ['"authorization":"Basic YXBwOmh1bnRlcjI="', '"authorization":"Basic [masked]"'],
  ['\\"Authorization\\": \\"Bearer hunter2hunter2\\"', '\\"Authorization\\": \\"Bearer [masked]\\"'],
  ['Proxy-Authorization: hunter2hunter2', 'Proxy-Authorization: [masked]'],
  ['Authorization: Digest username="a", response="6629fae4", qop=auth', 'Authorization: Digest [masked]'],
  ['sent Basic YXBwOmh1bnRlcjI= to it', 'sent Basic [masked] to it'],
  ['bearer abcdefghijklmnop', 'bearer [masked]'],
  // Addresses.
  ['postgres://app:hunter2@db/x', 'postgres://app:[masked]@db/x'],
  ['mysql://u:a b@h/', 'mysql://u:[masked]@h/'],
  ["mysql://u:it's@h/", 'mysql://u:[masked]@h/'],
  ['postgres://u:p@ss/w#rd?@h:5432/db', 'postgres://u:[masked]@h:5432/db'],
  ['redis://:hunter2@cache:6379/0', 'redis://:[masked]@cache:6379/0'],
  ['amqps://u:12345@h', 'amqps://u:[masked]@h'],
  ['smtp://me@example.com:hunter2@mail', 'smtp://me@example.com:[masked]@mail'],
  ['mongodb+srv://u:hunter2@a,b/?x=y', 'mongodb+srv://u:[masked]@a,b/?x=y'],
  ['x://u:hunter2@h and y://v:hunter3@h', 'x://u:[masked]@h and y://v:[masked]@h'],
  ['jdbc:mysql://h/db?user=u&password=hunter2', 'jdbc:mysql://h/db?user=u&password=[masked]'],
  ['jdbc:oracle:thin:scott/tiger@//h/x', 'jdbc:oracle:thin:scott/[masked]@//h/x'],
  ['u:hun:ter2@tcp(h:3306)/db', 'u:[masked]@tcp(h:3306)/db'],
  ['https://h/?access_token=hunter2hunter2&x=1', 'https://h/?access_token=[masked]&x=1'],
  // Tokens.
  [`x_chy_${'a'.repeat(49)} y`, 'x_[masked: token] y'],
  [`idchy_${'a'.repeat(49)}`, 'id[masked: token]'],
  [`chc_${'0'.repeat(26)}_${'-'.repeat(43)}`, '[masked: claim handle]'],
  ['eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0x.c2lnbmF0dXJl', '[masked: token]'],
  [`ghp_${'a1'.repeat(18)}`, '[masked: token]'],
  // Keys.
  ['a -----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY----- b', 'a [masked: private key] b'],
  ['"-----BEGIN EC PRIVATE KEY-----\\nMIGH\\n-----END EC PRIVATE KEY-----\\n"', '"[masked: private key]\\n"'],
  ['-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl', '[masked: private key]'],
  ['k=-----BEGIN%20PRIVATE%20KEY-----%0AMIGH', 'k=[masked: private key]'],
  ['-----BEGIN PGP PRIVATE KEY BLOCK-----\nx', '[masked: private key]'],
  ['cut MIGHAgEA\nAbCd+/=\n-----END PRIVATE KEY----- b', 'cut [masked: private key] b'],
  [`{"kty":"EC","d":"${'a'.repeat(43)}"}`, '{"kty":"EC","d":"[masked]"}'],
];

for (const [text, masked] of cases) {
  test(`masked: ${text.slice(0, 60).replaceAll('\n', ' ')}`, () => {
    assert.equal(maskSecrets(text), masked);
    assert.equal(maskSecrets(masked), masked, 'once is enough');
  });
}

const plain: readonly string[] = [
  'password must have 12 characters',
  'The password must have at least 12 characters.',
  '/password: must have at least 12 characters.',
  '/password: is missing; expected string.',
  'password: expected a string',
  'password_policy=strict; password_encryption = scram-sha-256',
  '{"password_policy":"strict","password_length":12,"password_set":true}',
  'passwords: none are kept',
  'passwordless=true',
  'password=null, password: none',
  'password=${DB_PASSWORD} --password $PGPASSWORD',
  '--password-file /run/secrets/db',
  'Unexpected token: foo',
  'Unexpected token \'a\', "abc" is not valid JSON',
  'token tok_01m7zzzzzzzzzzzzzzzzzzzzzz was revoked',
  'token: tok_01m7zzzzzzzzzzzzzzzzzzzzzz',
  'auth.create_token makes a token from the credential that is shown',
  'secret: kept in the vault',
  'private_key=/etc/tls/web.key',
  'identified by its serial number',
  'Basic authentication is not supported',
  'Authorization: required',
  'Send it as "Authorization: Bearer chy_…".',
  'https://ca.example.com:8443/acme/directory?mail=a@example.com',
  'http://127.0.0.1:8080 and mail bob@example.com',
  'could not reach https://ca.example.com: ask ops@example.com',
  'postgres://app@db.example.com:5432/app',
  'http://[::1]:8080/a@b',
  'git@github.com:org/repo.git',
  'SELECT password FROM users',
  'role "web": password authentication failed for user "app"',
  'spiffe://example.com/service',
  'chy_issuing_01m7zzzzzzzzzzzz',
  'a key of type ec-p256; key_type: ec-p384',
  'docker run -u 1000:1000 x',
  '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----',
  '-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----',
];

for (const text of plain) {
  test(`not masked: ${text.slice(0, 60).replaceAll('\n', ' ')}`, () => assert.equal(maskSecrets(text), text));
}

test('private keys in DER are known by how they begin, whatever their kind and form', () => {
  const made = [
    generateKeyPairSync('rsa', { modulusLength: 1024 }),
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
    generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    generateKeyPairSync('ec', { namedCurve: 'P-384' }),
    generateKeyPairSync('ec', { namedCurve: 'P-521' }),
    generateKeyPairSync('ed25519'),
    generateKeyPairSync('x25519'),
  ];
  for (const { privateKey, publicKey } of made) {
    const forms = [
      'pkcs8',
      ...(privateKey.asymmetricKeyType === 'rsa' ? ['pkcs1'] : []),
      ...(privateKey.asymmetricKeyType === 'ec' ? ['sec1'] : []),
    ];
    for (const type of forms) {
      const der = privateKey.export({ type: type as 'pkcs8', format: 'der' });
      for (const text of [der.toString('base64'), der.toString('base64').replaceAll(/(.{64})/g, '$1\n')])
        assert.equal(
          maskSecrets(`key: ${text} end`),
          'key: [masked: private key] end',
          `${privateKey.asymmetricKeyType} ${type}`,
        );
    }
    const open = publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
    assert.equal(maskSecrets(open), open);
  }
});

test('certificates and requests are told as they are', () => {
  const made = [selfSigned(p256, 'a'), makeRequest()];
  const texts = made.flatMap((der) => [pem(der), der.toString('base64')]);
  for (const text of texts) assert.equal(maskSecrets(text), text);
});

const secret = stringMatching(/^[A-Za-z0-9]{4}[A-Za-z0-9!$%*+.?^_|~-]{8,40}[A-Za-z0-9]$/);
const around = stringMatching(/^[a-z ,]{0,20}$/);
const contexts: readonly ((secret: string) => string)[] = [
  (text) => `password='${text}'`,
  (text) => `password=${text}`,
  (text) => `password = ${text} `,
  (text) => JSON.stringify({ password: text }),
  (text) => JSON.stringify(JSON.stringify({ password: text })),
  (text) => JSON.stringify(JSON.stringify(JSON.stringify({ a: [{ password: text }] }))),
  (text) => `PASSWORD '${text}'`,
  (text) => `IDENTIFIED BY '${text}'`,
  (text) => `PGPASSWORD=${text} psql`,
  (text) => `--password ${text}`,
  (text) => `postgres://app:${text}@db.example.com/app`,
  (text) => `mysql://u:a ${text}@h/`,
  (text) => `Authorization: Basic ${Buffer.from(`app:${text}`).toString('base64')}`,
];

test('no secret survives in any of its places, whatever stands around it', () => {
  check(
    property(secret, around, around, constantFrom(...contexts), (text, before, after, place) => {
      const whole = `${before} ${place(text)} ${after}`;
      const masked = maskSecrets(whole);
      const hidden = place === contexts.at(-1) ? Buffer.from(`app:${text}`).toString('base64').slice(0, 12) : text;
      assert.ok(!masked.includes(hidden), masked);
      assert.ok(masked.startsWith(before) && masked.endsWith(after));
    }),
    { numRuns: 1000 },
  );
});

test('what has no name of a secret is not touched', () => {
  check(
    property(stringMatching(/^[b-fh-jln-oq-rv-z0-9 .,;=:'"\\-]{0,200}$/), (text) =>
      assert.equal(maskSecrets(text), text),
    ),
  );
  check(property(string(), (text) => assert.equal(typeof maskSecrets(text), 'string')));
});

test('a megabyte of anything is read to its end', () => {
  const size = 1_048_576;
  const pieces = [
    'password=',
    'password',
    'password:',
    "password='",
    'password "',
    'PASSWORD FOR ',
    'IDENTIFIED BY ',
    'IDENTIFIED WITH ',
    'token:',
    'token=token:',
    '//a:',
    '//',
    '://a:b',
    'a:a@tcp(',
    '@tcp(',
    '-----BEGIN PRIVATE KEY-----',
    '-----END PRIVATE KEY-----',
    '-----BEGIN ',
    'MIGHAgEAMBMG',
    'eyJ',
    'eyJaaaaaaaaaa.',
    'Authorization: ',
    'Authorization: Digest a=b, ',
    'bearer ',
    'chy_',
    'jdbc:oracle:a:',
    '-u a:',
    '\\',
    '\\"password\\":\\"',
    '"d":"',
    'a',
    '@',
    "'",
    '$$',
    'password $$',
    'basic AAAAAAAA',
  ];
  for (const piece of pieces) {
    const text = piece.repeat(Math.ceil(size / piece.length));
    assert.ok(
      maskSecrets(`password='${randomBytes(8).toString('hex')}' ${text}`).startsWith("password='[masked]'"),
      piece,
    );
  }
});
