import { createHash, createPublicKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { type Change, insert, remove, update } from '#core/change.ts';
import { readElement, readElements, tags, writeElement } from '#acme/asn1/der.ts';
import { ask, type OpenAccount } from '#acme/client/account.ts';
import { moveSealed } from '#acme/client/keys.ts';
import { renewalByLife } from '#acme/client/renewal/schedule.ts';
import type { CertificateRow } from '#acme/client/tables.ts';
import { AcmeProblem, isTemporary, MalformedAnswer } from '#acme/client/wire/problem.ts';
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
  const { deps, row, definition } = context;
  try {
    const { delivered, isOffered } = await chooseChain(context);
    assertFits(delivered, keyOfRequest(Buffer.from(row.csr)), definition.identifiers, deps.clock.now());
    return { kind: 'issued', changes: await place(context, delivered), ...(isOffered ? {} : { note: notOffered }) };
  } catch (error) {
    if (error instanceof UnusableCertificate) return { kind: 'fail', reason: error.message };
    throw error;
  }
}

const notOffered = 'The preferred chain is none of those offered, so the default one was taken.';

/** RFC 8555 §7.4.2: the default chain, unless another of those offered is preferred. */
async function chooseChain({
  account,
  steps,
  definition,
}: StepContext): Promise<{ readonly delivered: Delivered; readonly isOffered: boolean }> {
  if (steps.certificate === undefined) throw new MalformedAnswer('The order names no certificate.');
  const answer = await ask(account, steps.certificate);
  const first = readChain(answer.body);
  const { preferred_chain: preferred } = definition;
  const fits = (chain: Delivered) =>
    preferred === undefined || isPreferred(chain, preferred, account.definition.ca_certificate);
  if (fits(first)) return { delivered: first, isOffered: true };
  const others = new Set(answer.links('alternate'));
  others.delete(steps.certificate);
  for (const url of others) {
    const delivered = await readAlternate(account, url);
    if (delivered !== undefined && fits(delivered)) return { delivered, isOffered: true };
  }
  return { delivered: first, isOffered: false };
}

/** One that is none, or is refused, is no reason to do without the default one. */
async function readAlternate(account: OpenAccount, url: string): Promise<Delivered | undefined> {
  try {
    return readChain((await ask(account, url)).body);
  } catch (error) {
    if (error instanceof UnusableCertificate || (error instanceof AcmeProblem && !isTemporary(error))) return undefined;
    throw error;
  }
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
