import { test } from 'node:test';
import * as fc from 'fast-check';
import { attribute, cn, generalName, makeRequest, oids, pem, san, sealRequest } from './csr.ts';
import { leaf, type Node, octets, oid, parse, seq } from './der-tree.ts';
import { bounded, damagedOften, damagedOnce, openFuzzer, someDamage } from './fuzz.ts';

/** Certificate requests: damaged trees, octets of any kind, text that is almost PEM. */

/** Names of all kinds in subject and subjectAltName, so that damage has something to meet everywhere. */
const rich: Buffer = makeRequest({
  subject: [cn('a.example.com'), attribute(oids.emailAddress, leaf(0x16, 'a@example.com'))],
  attributes: [
    san(
      generalName.dns('b.example.com'),
      generalName.ip(10, 0, 0, 1),
      generalName.uri('spiffe://example.com/a'),
      generalName.other('1.3.6.1.4.1.311.20.2.3', 'a'),
      generalName.directory(cn('d')),
      generalName.registeredId('1.2.3'),
    ),
  ],
});
const tree = parse(rich);
const info = (tree.content as readonly Node[])[0] as Node;
/** The same damage within the value of the first extension, which is DER in an OCTET STRING that no path leads into. */
const names = seq(generalName.dns('b.example.com'), generalName.ip(10, 0, 0, 1), generalName.directory(cn('d')));
function withNames(value: Buffer): Buffer {
  const extension = seq(oid(oids.subjectAltName), octets(new Uint8Array(value)));
  return makeRequest({ attributes: [seq(oid(oids.extensionRequest), { tag: 0x31, content: [seq(seq(extension))] })] });
}

test('a CSR with any one element damaged in any way is refused or read, and the signature decides about neither', async (context) => {
  const { knock, tried } = await openFuzzer(context);
  for (const der of damagedOnce(tree)) await knock('csr', der);
  for (const der of damagedOnce(info)) await knock('csr', sealRequest(der));
  for (const der of damagedOnce(names)) await knock('csr', withNames(der));
  context.diagnostic(`${tried()} requests`);
});

test('nor does damage upon damage, or octets of any kind, break the reader of CSRs', async (context) => {
  const { knock, tried } = await openFuzzer(context);
  const octet = fc.tuple(fc.nat(rich.length - 1), fc.nat(255));
  const flipped = fc.array(octet, { minLength: 1, maxLength: 6 }).map((changes) => {
    const der = Buffer.from(rich);
    for (const [at, value] of changes) der[at] = value;
    return der;
  });
  const input = fc.oneof(
    someDamage.map((all) => damagedOften(tree, all)),
    someDamage.map((all) => sealRequest(damagedOften(info, all))),
    someDamage.map((all) => withNames(damagedOften(names, all))),
    flipped,
    fc.uint8Array({ minLength: 48, maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
  );
  await fc.assert(
    fc.asyncProperty(input, async (der) => void (await knock('csr', der))),
    bounded,
  );
  context.diagnostic(`${tried()} requests`);
});

test('nor does text that is almost PEM', async (context) => {
  const { knock } = await openFuzzer(context);
  const lines = pem(rich).split('\n');
  const odd = [
    '',
    ' ',
    '\t',
    '\r',
    '-',
    '-----',
    '=',
    '====',
    '\0',
    '\u2028',
    'Proc-Type: 4,ENCRYPTED',
    '-----BEGIN X-----',
    '-----END X-----',
  ];
  const edit = fc.tuple(
    fc.nat(lines.length - 1),
    fc.oneof(fc.constantFrom(...odd), fc.string({ unit: 'binary', maxLength: 80 })),
    fc.boolean(),
  );
  const text = fc.array(edit, { minLength: 1, maxLength: 4 }).map((edits) => {
    const copy = [...lines];
    for (const [at, line, replace] of edits) copy.splice(at, replace ? 1 : 0, line);
    return Buffer.from(copy.join('\n').toWellFormed().padEnd(64, '\n'));
  });
  await fc.assert(
    fc.asyncProperty(text, async (input) => void (await knock('pem', input))),
    bounded,
  );
});
