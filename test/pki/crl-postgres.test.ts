import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { decodeCertificate } from '#engines/pki/x509/certificate.ts';
import { decodeCrl } from '#engines/pki/x509/crl.ts';
import { encodeCertId, hashIssuer } from '#engines/pki/x509/ocsp-cert-id.ts';
import { encodeOcspRequest } from '#engines/pki/x509/ocsp-request.ts';
import { decodeOcspResponse } from '#engines/pki/x509/ocsp-response.ts';
import { decodeOnePem } from '#engines/pki/x509/pem.ts';
import { foundPki, type InProcess, startChancery } from '#test/chancery.ts';
import { type PostgresServer, startPostgres } from '#test/postgres.ts';

let postgres: PostgresServer;
before(async () => {
  postgres = await startPostgres();
});
after(() => postgres.stop());

async function crlOf(node: InProcess) {
  const reply = await fetch(`${node.url}/pki/issuing/crl/1-0.crl`);
  assert.equal(reply.status, 200);
  return decodeCrl(Buffer.from(await reply.arrayBuffer()));
}

async function twoNodes(context: TestContext) {
  const storage = await postgres.createDatabase();
  const first = await startChancery(context, { env: { CHANCERY_STORAGE: storage } });
  const env = { CHANCERY_STORAGE: storage, CHANCERY_ROOT_KEY_FILE: join(first.folder, 'root.key') };
  const second = await startChancery(context, { env, folder: first.folder });
  return { first, second };
}

test('two nodes that want an OCSP signer at the same moment make one, which the later one adopts', async (context) => {
  const { first, second } = await twoNodes(context);
  // It takes a while of random length to make a key for RSA, so that one node is done while the other is at it.
  await first.ok('POST', 'pki/authorities', { name: 'root', kind: 'root', common_name: 'Root', key_type: 'rsa-2048' });
  for (const round of [1, 2, 3, 4]) {
    const name = `issuing-${round}`;
    const fields = { kind: 'intermediate', parent: 'root', common_name: `Issuing ${round}`, key_type: 'rsa-2048' };
    await first.ok('POST', 'pki/authorities', { name, ...fields });
    const renew = async (node: InProcess) =>
      (await node.ok('POST', `pki/authorities/${name}/ocsp-signer/renew`, {})).signers[0];
    const [one, other] = await Promise.all([renew(first), renew(second)]);
    assert.equal(one.serial_number, other.serial_number);
    assert.equal([one, other].filter(({ renewed }) => renewed).length, 1);
    const { certificates } = await first.ok('GET', `pki/certificates?kind=ocsp_signer&authority=${name}`);
    assert.equal(certificates.length, 1);
  }
});

test('two nodes on one PostgreSQL publish one sequence of CRLs, share the OCSP signer, and both show every revocation', async (context) => {
  const { first, second } = await twoNodes(context);
  await foundPki(first);
  const issue = () => first.ok('POST', 'pki/certificates', { role: 'web', dns_names: ['a.example.com'] });
  const issued = await issue();

  const issuer = decodeCertificate(decodeOnePem(issued.chain[0], 'CERTIFICATE', 65_536));
  const certId = encodeCertId('sha1', hashIssuer(issuer.subject.der, issuer.spki), issued.serial_number);
  const ask = async (node: InProcess) => {
    const reply = await fetch(`${node.url}/pki/issuing/ocsp`, {
      method: 'POST',
      headers: { 'content-type': 'application/ocsp-request' },
      body: new Uint8Array(encodeOcspRequest([certId], randomBytes(16))),
    });
    const response = decodeOcspResponse(Buffer.from(await reply.arrayBuffer()));
    assert.ok(response.status === 'successful', response.status);
    return response.basic;
  };
  const answers = await Promise.all([ask(first), ask(second), ask(first), ask(second)]);
  const signers = answers.map(({ certificates }) => decodeCertificate(certificates[0] ?? Buffer.alloc(0)).serialNumber);
  assert.equal(new Set(signers).size, 1);

  const byNumber = new Map<bigint, string>();
  let last = 0n;
  for (let count = 1; count <= 4; count++) {
    const node = count % 2 === 0 ? second : first;
    const { serial_number } = count === 1 ? issued : await issue();
    await node.ok('POST', `pki/certificates/${serial_number}/revoke`, { reason: 'superseded' });
    const [one, other] = await Promise.all([crlOf(first), crlOf(second)]);
    // The node that revoked shows it at once, the other one within a second.
    assert.equal((node === first ? one : other).index().size, count);
    for (const crl of [one, other]) {
      const number = crl.crlNumber ?? 0n;
      const bytes = crl.der.toString('base64');
      assert.equal(byNumber.get(number) ?? bytes, bytes, 'one number stands for one CRL');
      byNumber.set(number, bytes);
    }
    const newest = (node === first ? one : other).crlNumber ?? 0n;
    assert.ok(newest > last);
    last = newest;
  }
  assert.equal((await ask(second)).responses[0]?.status.kind, 'revoked');
});
