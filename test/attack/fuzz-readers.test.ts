import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { cn, generalName, pem, raw } from './csr.ts';
import { encode, int, leaf, type Node, nul, octets, oid, parse, seq, wrap } from './der-tree.ts';
import type { Target } from './attack.ts';
import { bounded, damagedOften, damagedOnce, openFuzzer, someDamage } from './fuzz.ts';

/** What others signed, and what anybody may ask: certificates and CRLs to validate, OCSP requests. */

/** A new certificate, and its chain without the root; all DER. */
async function issue({ server }: Target): Promise<{ leaf: Buffer; issuer: Buffer }> {
  const request = { role: 'web', dns_names: ['a.example.com'] };
  const { certificate, chain } = await server.ok('POST', 'pki/certificates', request);
  return { leaf: new X509Certificate(certificate).raw, issuer: new X509Certificate(chain[0]).raw };
}

test('no damaged certificate is valid, and none breaks the validation', async (context) => {
  const { knock, tried, target } = await openFuzzer(context);
  const { leaf: whole } = await issue(target);
  assert.equal((await knock('certificate', whole)).body.valid, true);
  const tree = parse(whole);
  const tryOne = async (der: Buffer): Promise<void> => {
    const { status, body } = await knock('certificate', der);
    if (!der.equals(whole)) assert.ok(status === 400 || body.valid === false, der.toString('hex'));
  };
  for (const der of damagedOnce(tree)) await tryOne(der);
  await fc.assert(
    fc.asyncProperty(someDamage, async (all) => tryOne(damagedOften(tree, all))),
    bounded,
  );
  context.diagnostic(`${tried()} certificates`);
});

test('nor does a damaged CRL', async (context) => {
  const { knock, tried, target } = await openFuzzer(context);
  const { leaf: whole, issuer } = await issue(target);
  const reply = await fetch(`${target.server.url}/pki/issuing/crl/1-0.crl`);
  const tree = parse(Buffer.from(await reply.arrayBuffer()));
  // The issuer as the anchor of a stranger: what is known of the certificate is what the CRL says.
  const known = { certificate: pem(whole, 'CERTIFICATE'), trust_anchors: [pem(issuer, 'CERTIFICATE')] };
  const tryOne = async (der: Buffer): Promise<void> => {
    const input = { ...known, crls: [pem(der, 'X509 CRL')], check_revocation: 'hard' };
    await knock('validate', Buffer.from(JSON.stringify(input)));
  };
  for (const der of damagedOnce(tree)) await tryOne(der);
  await fc.assert(
    fc.asyncProperty(someDamage, async (all) => tryOne(damagedOften(tree, all))),
    bounded,
  );
  context.diagnostic(`${tried()} CRLs`);
});

function within(node: Node, index: number): Node {
  const inner = (node.content as readonly Node[])[index];
  if (inner === undefined) throw new RangeError(`no element ${index}`);
  return inner;
}

/** A request for one certificate (RFC 6960 §4.1.1), with a nonce and the name of a requester. */
async function ocspTree(target: Target): Promise<Node> {
  const issued = await issue(target);
  const issuer = new X509Certificate(issued.issuer);
  const sha1 = (bytes: Uint8Array) => leaf(0x04, createHash('sha1').update(bytes).digest());
  const spki = parse(issuer.publicKey.export({ format: 'der', type: 'spki' }));
  const subject = within(within(parse(issuer.raw), 0), 5);
  const key = (within(spki, 1).content as Buffer).subarray(1);
  const serial = int(BigInt(`0x${new X509Certificate(issued.leaf).serialNumber}`));
  const certId = seq(seq(oid('1.3.14.3.2.26'), nul()), sha1(encode(subject)), sha1(key), serial);
  const nonce = seq(oid('1.3.6.1.5.5.7.48.1.2'), octets(octets(Buffer.alloc(32, 7))));
  return seq(seq(wrap(0xa1, generalName.directory(cn('x'))), seq(seq(certId)), wrap(0xa2, seq(nonce))));
}

test('damaged OCSP requests have an answer or an error of RFC 6960', async (context) => {
  const { knock, tried, target } = await openFuzzer(context);
  const request = await ocspTree(target);
  assert.equal((await knock('ocsp', encode(request))).body, 'an answer');
  for (const der of damagedOnce(request)) await knock('ocsp', der);
  const input = fc.oneof(
    someDamage.map((all) => damagedOften(request, all)),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    fc
      .nat(400)
      .map((count) =>
        encode(seq(seq({ tag: 0x30, content: Array.from({ length: count }, () => raw(Buffer.of(0x30, 0))) }))),
      ),
  );
  await fc.assert(
    fc.asyncProperty(input, async (der) => void (await knock('ocsp', der))),
    bounded,
  );
  context.diagnostic(`${tried()} requests`);
});
