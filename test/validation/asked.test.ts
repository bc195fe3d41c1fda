import assert from 'node:assert/strict';
import { test } from 'node:test';
import { askOverHttp } from '#engines/pki/validation/ask.ts';
import { encodeExtension } from '#engines/pki/x509/extension.ts';
import { oids } from '#engines/pki/x509/oid.ts';
import { OutboundError, type OutboundRequest } from '#outbound/guarded-fetch.ts';
import { type Client, foundPki, startChancery } from '#test/chancery.ts';
import { codes, crlOf, day, at, leafOf, root, validate } from './fixture.ts';

const url = (path: string) => `http://pki.example/${path}`;
const ocspAt = (path: string) =>
  encodeExtension('authority_info_access', [{ method: oids.accessOcsp, location: { kind: 'uri', value: url(path) } }]);
const crlAt = (...paths: string[]) =>
  encodeExtension('crl_distribution_points', [
    { fullName: paths.map((path) => ({ kind: 'uri' as const, value: url(path) })) },
  ]);

/** An Internet of a few pages; everything else cannot be reached. */
function internet(pages: Readonly<Record<string, Buffer>>) {
  const asked: string[] = [];
  const fetch = async ({ url: asking }: OutboundRequest) => {
    asked.push(asking);
    const body = pages[asking];
    if (body === undefined) throw new OutboundError('unresolved', 'pki.example cannot be resolved');
    return { status: 200, headers: {}, body };
  };
  return { asked, ask: { askForEvidence: askOverHttp(fetch), checkRevocation: 'hard' as const } };
}

test('a CRL is fetched from where the certificate says, and decides', async () => {
  const anchor = await root();
  const leaf = await leafOf(anchor, { serialNumber: '0a', extensions: [crlAt('gone.crl', 'a.crl')] });
  const entries = [{ serialNumber: '0a', revokedAt: at - day }];
  const fine = internet({ [url('a.crl')]: crlOf(anchor) });
  assert.deepEqual(codes(await validate({ leaf, anchors: [anchor] }, fine.ask)), []);
  assert.deepEqual(fine.asked, [url('gone.crl'), url('a.crl')]);
  const bad = internet({ [url('a.crl')]: crlOf(anchor, { entries }) });
  assert.deepEqual(codes(await validate({ leaf, anchors: [anchor] }, bad.ask)), ['revoked@0']);
});

test('a delta CRL that the fetched CRL points to is fetched as well', async () => {
  const anchor = await root();
  const leaf = await leafOf(anchor, { serialNumber: '0a', extensions: [crlAt('a.crl')] });
  const entries = [{ serialNumber: '0a', revokedAt: at - day }];
  const { ask, asked } = internet({
    [url('a.crl')]: crlOf(anchor, { crlNumber: 5, freshestCrl: [url('d.crl')] }),
    [url('d.crl')]: crlOf(anchor, { crlNumber: 6, deltaBase: 5, entries }),
  });
  assert.deepEqual(codes(await validate({ leaf, anchors: [anchor] }, ask)), ['revoked@0']);
  assert.deepEqual(asked, [url('a.crl'), url('d.crl')]);
});

test('nobody is asked for a path that breaks a rule, nor for what is known', async () => {
  const anchor = await root();
  const extensions = [ocspAt('ocsp'), crlAt('a.crl')];
  const { ask, asked } = internet({});
  const expired = await leafOf(anchor, { extensions, notAfter: at - 1000 });
  assert.equal((await validate({ leaf: expired, anchors: [anchor] }, ask)).valid, false);
  const leaf = await leafOf(anchor, { extensions });
  assert.equal((await validate({ leaf, anchors: [await root('Other')] }, ask)).valid, false);
  assert.equal((await validate({ leaf, anchors: [anchor] }, { ...ask, checkRevocation: 'none' })).valid, true);
  assert.equal((await validate({ leaf, anchors: [anchor] }, { ...ask, crls: [crlOf(anchor)] })).valid, true);
  assert.deepEqual(asked, []);
});

test('a certificate with hundreds of addresses has only a few of them asked', async () => {
  const anchor = await root();
  const points = Array.from({ length: 300 }, (_, index) => ({
    fullName: [{ kind: 'uri' as const, value: url(`${index}.crl`) }],
  }));
  const leaf = await leafOf(anchor, { extensions: [encodeExtension('crl_distribution_points', points)] });
  const { ask, asked } = internet({});
  const result = await validate({ leaf, anchors: [anchor] }, ask);
  assert.deepEqual(codes(result), ['revocation_unknown@0']);
  assert.equal(asked.length, 6);
});

test('why an address gave nothing stands in the verdict', async () => {
  const anchor = await root();
  const leaf = await leafOf(anchor, { extensions: [ocspAt('ocsp')] });
  const { ask } = internet({});
  assert.match((await validate({ leaf, anchors: [anchor] }, ask)).reasons[0]?.found ?? '', /cannot be resolved/);
});

async function issueOutside(outside: Client) {
  const issued = await outside.ok('POST', 'pki/certificates', { role: 'web', dns_names: ['a.example.com'] });
  return {
    serial: issued.serial_number as string,
    question: {
      certificate: [issued.certificate, ...issued.chain].join(''),
      trust_anchors: [issued.chain[1]],
      check_revocation: 'hard',
      fetch_revocation: true,
    },
  };
}

test('the OCSP responder of another installation is asked, if its address may be reached', async (context) => {
  const outside = await startChancery(context);
  await foundPki(outside);
  const { serial, question } = await issueOutside(outside);
  const closed = await startChancery(context);
  const refused = await closed.ok('POST', 'pki/certificates/validate', question);
  assert.equal(refused.valid, false);
  assert.match(refused.reasons[0].found, /no address of the public Internet/);
  const open = await startChancery(context, { env: { CHANCERY_OUTBOUND_ALLOW: '127.0.0.0/8' } });
  const good = await open.ok('POST', 'pki/certificates/validate', question);
  assert.deepEqual([good.reasons, good.path[0].revocation, good.path[1].revocation], [[], 'good', 'good']);
  await outside.ok('POST', `pki/certificates/${serial}/revoke`, { reason: 'key_compromise' });
  const revoked = await open.ok('POST', 'pki/certificates/validate', question);
  assert.deepEqual([revoked.valid, revoked.reasons[0].code], [false, 'revoked']);
});
