import { createHash, createPublicKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { type Change, insert, remove, update } from '#core/change.ts';
import { readElement, readElements, tags, writeElement } from '#acme/asn1/der.ts';
import { ask } from '#acme/client/account.ts';
import { moveSealed } from '#acme/client/keys.ts';
import { renewalByLife } from '#acme/client/renewal/schedule.ts';
import type { CertificateRow } from '#acme/client/tables.ts';
import { MalformedAnswer } from '#acme/client/wire/problem.ts';
import { at } from '#acme/client/x509/der-parts.ts';
import {
  assertFits,
  type Delivered,
  factsOf,
  isPreferred,
  leafOf,
  readChain,
  UnusableCertificate,
} from '#acme/client/x509/certificate.ts';
import type { StepContext } from './context.ts';
import type { StepOutcome } from './outcome.ts';

/** The last step: the certificate is fetched, held against the order, and put in the place of the one before. */
export async function deliver(context: StepContext): Promise<StepOutcome> {
  const { row, definition } = context;
  try {
    const delivered = await chooseChain(context);
    assertFits(delivered, keyOfRequest(Buffer.from(row.csr)), definition.identifiers);
    return { kind: 'issued', changes: await place(context, delivered) };
  } catch (error) {
    if (error instanceof UnusableCertificate) return { kind: 'fail', reason: error.message };
    throw error;
  }
}

/** RFC 8555 §7.4.2: the default chain, unless another of those offered is preferred. */
async function chooseChain({ account, steps, definition }: StepContext): Promise<Delivered> {
  if (steps.certificate === undefined) throw new MalformedAnswer('The order names no certificate.');
  const answer = await ask(account, steps.certificate);
  const first = readChain(answer.body);
  const { preferred_chain: preferred } = definition;
  if (preferred === undefined || isPreferred(first, preferred)) return first;
  for (const url of answer.links('alternate')) {
    const other = readChain((await ask(account, url)).body);
    if (isPreferred(other, preferred)) return other;
  }
  return first;
}

/** Of a request that was made or read here. */
export function keyOfRequest(der: Buffer): KeyObject {
  const [info] = readElements(readElement(der, tags.sequence));
  const spki = at(readElements(info?.content ?? Buffer.alloc(0)), 2);
  return createPublicKey({ key: writeElement(spki.tag, spki.content), format: 'der', type: 'spki' });
}

async function place({ deps, row, definition }: StepContext, delivered: Delivered): Promise<Change[]> {
  const now = deps.clock.now();
  const { sealer } = deps;
  const here = { table: 'acme_client_orders', row: row.id } as const;
  const there = { table: 'acme_certificates', row: row.certificate_id } as const;
  const move = (column: 'private_key' | 'hook_key', sealed: Uint8Array | null) =>
    moveSealed(sealer, { ...here, column }, { ...there, column }, sealed);
  const present = {
    state: 'valid',
    revoked_at: null,
    revocation_reason: null,
    ...contentOf(leafOf(delivered), delivered.pem, now),
    csr: row.csr,
    private_key: await move('private_key', row.private_key),
    key_collected_at: null,
    hook_serial: definition.hook_url === undefined ? null : leafOf(delivered).serialNumber.toLowerCase(),
    hook_attempts: 0,
    hook_at: definition.hook_url === undefined ? null : now,
    order_id: null,
    failures: 0,
    failing_since: null,
    last_error: null,
    stopped: null,
    next_action_at: now,
    claim: null,
    updated_at: now,
  } as const;
  if (row.renewal === 1)
    return [
      update(
        'acme_certificates',
        present,
        { id: row.certificate_id, order_id: row.id },
        { add: { version: 1, renewals: 1 }, expect: 1 },
      ),
    ];
  const certificate: CertificateRow = {
    id: row.certificate_id,
    namespace: row.namespace,
    account_id: row.account_id,
    account: row.account,
    principal: row.principal,
    principal_id: row.principal_id,
    source_address: row.source_address,
    purpose: row.purpose,
    definition: row.definition,
    hook_key: await move('hook_key', row.hook_key),
    renew: definition.renew ? 1 : 0,
    renewals: 0,
    version: 1,
    created_at: now,
    ...present,
  };
  const { id: certificate_id, namespace } = certificate;
  return [
    insert('acme_certificates', { ...certificate }),
    // A name that stood there before stays one row.
    remove('acme_certificate_names', { certificate_id }),
    ...definition.identifiers.map(({ value }) =>
      insert('acme_certificate_names', { namespace, name: value, certificate_id }),
    ),
  ];
}

/** What a new leaf says, with everything forgotten that the authority said of the one before (RFC 9773 §4.2). */
function contentOf(leaf: X509Certificate, chain: string, now: number) {
  const facts = factsOf(leaf);
  const { serialNumber, notBefore, notAfter } = facts;
  return {
    chain,
    key_sha256: createHash('sha256')
      .update(leaf.publicKey.export({ type: 'spki', format: 'der' }))
      .digest('hex'),
    serial_number: serialNumber,
    not_before: notBefore,
    not_after: notAfter,
    obtained_at: now,
    renew_at: renewalByLife({ ...facts, obtainedAt: now }),
    renew_reason: 'lifetime',
    window_start: null,
    window_end: null,
    explanation_url: null,
    window_check_at: notBefore,
  };
}
