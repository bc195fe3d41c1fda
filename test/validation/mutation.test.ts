import assert from 'node:assert/strict';
import { test } from 'node:test';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { limits } from '#engines/pki/validation/budget.ts';
import {
  type ValidationRequest,
  type ValidationResult,
  validateCertificate,
} from '#engines/pki/validation/validate.ts';
import { sign, signatureAlgorithmOf } from '#engines/pki/x509/algorithm.ts';
import { assembleCertificate } from '#engines/pki/x509/certificate.ts';
import { encodeExtension } from '#engines/pki/x509/extension.ts';
import { assembleOcspResponse, encodeResponseData } from '#engines/pki/x509/ocsp-response.ts';
import { encodeCertId, hashIssuer } from '#engines/pki/x509/ocsp-cert-id.ts';
import { oids } from '#engines/pki/x509/oid.ts';
import { bombs, damages } from './damage.ts';
import { at, type Certified, crlOf, day, intermediate, leafOf, root } from './fixture.ts';

/**
 * Damage that knows the structure: every element emptied, with a length that is off by one, indefinite or not minimal,
 * with octets after its content, doubled, left out. Whatever comes of it is a verdict, within the bounds on work.
 */

interface World {
  readonly anchor: Certified;
  readonly authority: Certified;
  readonly leaf: Certified;
  readonly crls: readonly Buffer[];
  readonly ocspResponses: readonly Buffer[];
}

const policy = '1.3.6.1.4.1.99999.5.1';

/** A chain with every extension that the validator reads. */
async function makeWorld(): Promise<World> {
  const points = { fullName: [{ kind: 'uri' as const, value: 'http://crl.example/1' }] };
  const anchor = await root('Root', { pathLength: 3 });
  const authority = await intermediate(anchor, 'CA', {
    serialNumber: '0c',
    pathLength: 0,
    purposes: [oids.serverAuth],
    extensions: [
      encodeExtension('name_constraints', {
        permitted: [
          { kind: 'dns', value: 'example.com' },
          { kind: 'range', bytes: Uint8Array.of(10, 0, 0, 0), prefix: 8 },
        ],
        excluded: [{ kind: 'email', value: 'example.org' }],
      }),
      encodeExtension('certificate_policies', [{ oid: policy }, { oid: oids.anyPolicy }]),
      encodeExtension('policy_mappings', [{ issuerDomainPolicy: policy, subjectDomainPolicy: `${policy}.1` }]),
      encodeExtension('policy_constraints', { requireExplicitPolicy: 5 }),
      encodeExtension('inhibit_any_policy', 5),
    ],
  });
  const leaf = await leafOf(authority, {
    serialNumber: '0a',
    names: [
      { kind: 'dns', value: 'a.example.com' },
      { kind: 'ip', bytes: Uint8Array.of(10, 0, 0, 1) },
      { kind: 'uri', value: 'https://a.example.com/' },
    ],
    extensions: [
      encodeExtension('crl_distribution_points', [points]),
      encodeExtension('certificate_policies', [{ oid: `${policy}.1` }]),
    ],
  });
  const entries = [{ serialNumber: '0b', revokedAt: at - day, reason: 'superseded' as const }];
  return {
    anchor,
    authority,
    leaf,
    crls: [crlOf(anchor), crlOf(authority, { issuingDistributionPoint: points, entries })],
    ocspResponses: [responseOf(authority)],
  };
}

function responseOf(issuer: Certified): Buffer {
  const certId = encodeCertId('sha1', hashIssuer(issuer.name, issuer.key.spki), '0a');
  const data = encodeResponseData({
    responderId: { byName: issuer.name },
    producedAt: at,
    responses: [{ certId, status: { kind: 'good' }, thisUpdate: at - day, nextUpdate: at + day }],
  });
  return assembleOcspResponse(
    data,
    signatureAlgorithmOf(issuer.keyType),
    sign(issuer.key.privateKey, issuer.keyType, data),
  );
}

async function judge(world: World, more: Partial<ValidationRequest> = {}): Promise<ValidationResult> {
  const result = await validateCertificate({
    leaf: world.leaf.der,
    intermediates: [world.authority.der],
    anchors: [world.anchor.der],
    crls: world.crls,
    ocspResponses: world.ocspResponses,
    at,
    name: { kind: 'dns', value: 'a.example.com' },
    purpose: 'server_auth',
    profile: 'rfc5280',
    checkRevocation: 'hard',
    ...more,
  });
  assert.equal(result.valid, result.reasons.length === 0);
  const { signatureChecks, nodes, nameComparisons } = result.work;
  assert.ok(signatureChecks <= 20 && nodes <= 20 && nameComparisons <= 200, JSON.stringify(result.work));
  return result;
}

test('the undamaged chain is valid, by CRL and by OCSP alone', async () => {
  const world = await makeWorld();
  assert.deepEqual((await judge(world)).reasons, []);
  assert.deepEqual((await judge(world, { crls: world.crls.slice(0, 1) })).reasons, []);
  assert.deepEqual((await judge(world, { ocspResponses: [] })).reasons, []);
});

test('a certificate that is damaged in its structure makes no path, and the verdict says so', async () => {
  const world = await makeWorld();
  let count = 0;
  for (const { der, what } of damages(world.leaf.der)) {
    count += 1;
    assert.equal((await judge(world, { leaf: der })).valid, false, `leaf, ${what}`);
  }
  for (const { der, what } of damages(world.authority.der)) {
    count += 1;
    assert.equal((await judge(world, { intermediates: [der] })).valid, false, `intermediate, ${what}`);
  }
  assert.ok(count > 1500, String(count));
});

test('damage that the issuer signed reaches every rule, and none of them throws', async () => {
  const { anchor, authority, ...world } = await makeWorld();
  const algorithm = signatureAlgorithmOf('ec-p256');
  const resign = (tbs: Buffer, by: Certified) =>
    assembleCertificate(tbs, algorithm, sign(by.key.privateKey, 'ec-p256', tbs));
  const tbsOf = ({ der }: Certified) => der.subarray(4, 8 + der.readUInt16BE(6));
  const accepted = new Set<string>();
  for (const { der, what } of damages(tbsOf(world.leaf))) {
    const leaf = resign(der, authority);
    await judge({ anchor, authority, ...world }, { leaf });
    const { valid } = await judge({ anchor, authority, ...world }, { leaf, profile: 'web_pki' });
    if (valid) accepted.add(what.replace(/ at \d+$/, ''));
  }
  for (const { der } of damages(tbsOf(authority)))
    await judge({ anchor, authority, ...world }, { intermediates: [resign(der, anchor)] });
  for (const { der } of damages(tbsOf(anchor)))
    await judge({ anchor, authority, ...world }, { anchors: [resign(der, anchor)] });
  // Other texts, numbers and names, or fewer of them, may be as sound as before. Lengths and forms may not.
  const harmless =
    /^(left out|doubled|emptied|an octet after the content|a NULL after|the last octet|the tag of another class|wrapped)/;
  assert.deepEqual(
    [...accepted].filter((what) => !harmless.test(what)),
    [],
  );
});

test('no damage to a CRL or an OCSP response makes the validator throw or say good', async () => {
  const world = await makeWorld();
  const [upper = Buffer.alloc(0), lower = Buffer.alloc(0)] = world.crls;
  for (const { der, what } of damages(lower))
    assert.equal((await judge(world, { crls: [upper, der], ocspResponses: [] })).valid, false, `CRL, ${what}`);
  for (const { der, what } of damages(world.ocspResponses[0] ?? Buffer.alloc(0)))
    assert.equal((await judge(world, { crls: [upper], ocspResponses: [der] })).valid, false, `OCSP, ${what}`);
});

test('bombs of depth, length and number end in a verdict, wherever they lie', async () => {
  const world = await makeWorld();
  for (const { der, what } of bombs()) {
    assert.equal((await judge(world, { leaf: der })).valid, false, what);
    const beside = await judge(world, { intermediates: [der, world.authority.der], crls: [...world.crls, der] });
    assert.equal(beside.valid, true, what);
    assert.equal((await judge(world, { crls: [der], ocspResponses: [der] })).valid, false, what);
  }
});

test('bombs need no memory to speak of: a thread of 48 MB takes all of them', async () => {
  const worker = new Worker(new URL('./bomb-worker.ts', import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: 48, maxYoungGenerationSizeMb: 8 },
  });
  const [answer] = (await once(worker, 'message')) as [{ verdicts: number; valid: number }];
  await worker.terminate();
  assert.equal(answer.verdicts, bombs().length);
  assert.equal(answer.valid, 0);
});

test('chains, meshes and lists made to keep a validator busy meet the bounds on work', async () => {
  const { heavyRequests } = await import('./heavy.ts');
  for (const { what, request } of await heavyRequests()) {
    const { valid, work } = await validateCertificate(request);
    assert.equal(valid, false, what);
    for (const resource of ['signatureChecks', 'nodes', 'nameComparisons'] as const)
      assert.ok(work[resource] <= 2 * limits[resource], `${what}: ${resource} ${work[resource]}`);
  }
});
