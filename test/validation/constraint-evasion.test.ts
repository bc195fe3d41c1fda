import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tag } from '#engines/pki/asn1/tag.ts';
import { element, oid, utf8String } from '#engines/pki/asn1/writer.ts';
import { encodeExtension } from '#engines/pki/x509/extension.ts';
import type { GeneralNameInput } from '#engines/pki/x509/general-name.ts';
import { decodeName, encodeName } from '#engines/pki/x509/name.ts';
import { oids } from '#engines/pki/x509/oid.ts';
import { certify, codes, intermediate, leafOf, root, subject, validate } from './fixture.ts';

/** Spellings by which a name could slip past a constraint that means it. */

const excluding = (base: object) => encodeExtension('name_constraints', { excluded: [base] as never });
const permitting = (base: object) => encodeExtension('name_constraints', { permitted: [base] as never });
const of = (kind: 'dns' | 'email' | 'uri') => (value: string) => ({ kind, value });
const [dns, email, uri] = [of('dns'), of('email'), of('uri')];
const mailbox = (value: string): GeneralNameInput => ({
  kind: 'other',
  typeId: oids.smtpUtf8Mailbox,
  der: utf8String(value),
});

async function under(constraints: Buffer, names: readonly GeneralNameInput[]): Promise<string[]> {
  const anchor = await root('Root', { extensions: [constraints] });
  return codes(await validate({ leaf: await leafOf(anchor, { names }), anchors: [anchor] }));
}

test('no spelling of a host name slips past the constraint that excludes it', async () => {
  const hosts = ['WWW.Evil.Example', 'www.evil.example.', '.evil.example', 'www..evil.example', 'evil.example\0.x', ''];
  for (const host of [...hosts, 'evil.example ', '*', 'e*.example', 'www.*.example', '10.0.0.1', '*.example'])
    assert.notDeepEqual(await under(excluding(dns('evil.example')), [dns(host)]), [], host);
  assert.deepEqual(await under(excluding(dns('xn--bcher-kva.example')), [dns('a.XN--BCHER-KVA.example')]), [
    'name_excluded@0',
  ]);
});

test('a mailbox is the same with its local part in quotes, and none with two @', async () => {
  const bob = excluding(email('bob@evil.example'));
  for (const spelling of ['"bob"@evil.example', '"b\\ob"@EVIL.example', '"bob@good.example"@evil.example'])
    assert.deepEqual(
      await under(spelling.includes('good') ? excluding(email('evil.example')) : bob, [email(spelling)]),
      ['name_excluded@0'],
      spelling,
    );
  assert.deepEqual(
    await under(permitting(email('"bob smith"@evil.example')), [email('"bob\\ smith"@evil.example')]),
    [],
  );
  for (const none of [
    'x@evil.example@good.example',
    'evil.example',
    '@evil.example',
    'x@evil.example.',
    'x@[10.0.0.1]',
  ])
    assert.deepEqual(
      await under(excluding(email('evil.example')), [email(none)]),
      ['name_constraint_unsupported@0'],
      none,
    );
});

test('a mailbox in UTF-8 is bound by constraints on mailboxes (RFC 9598 §6)', async () => {
  const outside = await under(permitting(email('example.com')), [mailbox('björn@evil.example')]);
  assert.deepEqual(outside, ['name_not_permitted@0']);
  assert.deepEqual(await under(permitting(email('example.com')), [mailbox('björn@EXAMPLE.com')]), []);
  const [unicode, ascii] = [mailbox('björn@bücher.example'), mailbox('björn@xn--bcher-kva.example')];
  for (const name of [unicode, ascii])
    assert.deepEqual(await under(excluding(email('xn--bcher-kva.example')), [name]), ['name_excluded@0']);
  const noText = {
    kind: 'other',
    typeId: oids.smtpUtf8Mailbox,
    der: element(tag.octetString, [Buffer.of(1)]),
  } as const;
  assert.deepEqual(await under(permitting(email('example.com')), [noText]), ['name_constraint_unsupported@0']);
  const onItself = { kind: 'other', typeId: oids.smtpUtf8Mailbox, der: utf8String('x') };
  assert.deepEqual(await under(permitting(onItself), [unicode]), ['name_constraint_unsupported@0']);
});

test('a URI whose host cannot be told for certain is refused where hosts of URIs are constrained', async () => {
  const addresses = ['http://10.0.0.1/', 'http://[::1]/', 'spiffe://10.0.0.1/x'];
  const tricks = ['http://good@evil.example/', 'http://evil.example#@good/', 'http://%65vil.example/', 'urn:x'];
  for (const text of [...addresses, ...tricks, 'http://evil.example./', '//evil.example/', 'http:///evil.example'])
    assert.deepEqual(await under(excluding(uri('evil.example')), [uri(text)]), ['name_constraint_unsupported@0'], text);
  for (const text of ['HTTP://EVIL.example:8443/', 'spiffe://evil.example/x', 'http://evil.example?x=@good'])
    assert.deepEqual(await under(excluding(uri('evil.example')), [uri(text)]), ['name_excluded@0'], text);
});

test('a directory name is the same in other string types, letter cases, widths and with what is not seen', async () => {
  const organization = (value: string) => encodeName([{ type: 'organization', value }]);
  const anchor = await root('Root', {
    extensions: [excluding({ kind: 'directory', name: { der: organization('Evil Corp') } })],
  });
  const wide = 'Ev\u00adil\u00a0 Ｃorp';
  for (const value of [' evil   CORP ', wide, 'Ev\u200bil Corp']) {
    const leaf = certify({ ...(await subject('x')), name: organization(value) }, anchor, { ca: false });
    assert.deepEqual(codes(await validate({ leaf, anchors: [anchor] })), ['name_excluded@0'], value);
  }
  const text = element(tag.bmpString, [Buffer.from('Evil Corp', 'utf16le').swap16()]);
  const attribute = element(tag.set, [element(tag.sequence, [oid('2.5.4.10'), text])]);
  const name = element(tag.sequence, [attribute]);
  assert.equal(decodeName(name).rdns.length, 1);
  const leaf = certify({ ...(await subject('x')), name }, anchor, { ca: false });
  assert.deepEqual(codes(await validate({ leaf, anchors: [anchor] })), ['name_excluded@0']);
});

test('what no name can be compared with refuses, and what is no constraint refuses', async () => {
  const anchor = await root();
  for (const value of ['evil.example.', '*.evil.example', ' ', 'http://evil.example']) {
    const ca = await intermediate(anchor, 'CA', { extensions: [excluding(dns(value))] });
    const result = await validate({ leaf: await leafOf(ca), between: [ca], anchors: [anchor] });
    assert.deepEqual(codes(result), ['name_constraint_malformed@1'], value);
  }
});
