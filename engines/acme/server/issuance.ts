import { createHash } from 'node:crypto';
import { type Change, insert, update } from '#core/change.ts';
import { AppError, type ErrorCode } from '#core/errors.ts';
import { newId } from '#core/ids.ts';
import type { IssuedCertificate } from '#core/issuer.ts';
import type { ServerDeps } from './deps.ts';
import { certIdOf } from './cert-id.ts';
import { orderOf } from './certificate-order.ts';
import { AcmeError, keptProblem, type ProblemType } from './problem.ts';
import { reconsider } from './reconsider.ts';
import type { CertificateRow, OrderRow } from './tables.ts';

/**
 * From an order that is `processing` to its certificate. The order names the certificate for the issuer, so that it is
 * issued once, however many nodes try and wherever a crash falls.
 */

/** The issuer remembers an order for a day; what was not finished well before that is given up. Milliseconds. */
const giveUpAfter = 20 * 3_600_000;
/** Milliseconds before the next try: longer and longer, as long again as it has gone on for. */
const leastPause = 10_000;
const mostPause = 3_600_000;
/** Milliseconds that rows are kept after the certificate has ended. */
const keptAfter = 86_400_000;

export interface Issuance {
  readonly status: 'valid' | 'invalid' | 'processing';
  readonly changes: readonly Change[];
  readonly audit: Readonly<Record<string, string | null>>;
}

/** `row` is as it was committed: processing, with its claim. */
export async function issueFor(deps: ServerDeps, row: OrderRow, now: number): Promise<Issuance> {
  if (row.finalized_at !== null && row.finalized_at + giveUpAfter <= now)
    return failed(row, 'The certificate could not be issued within a day.');
  try {
    const account = await reconsider(deps, row, now);
    const issued = await deps.issuer.issue(orderOf(row, account));
    return completed(deps, row, issued, now);
  } catch (error) {
    if (error instanceof AppError && isDecided(error.code)) return failed(row, error.message, typeOf(error));
    deps.log.warn({ err: error, order: row.id }, 'the certificate of an ACME order was not issued; it is tried again');
    // What was issued all the same is found at the next try.
    const set = { claim: null, next_attempt_at: now + pauseAfter(row, now) };
    return { status: 'processing', changes: [whileClaimed(row, set)], audit: { failure: codeOf(error) } };
  }
}

function pauseAfter({ finalized_at: since }: OrderRow, now: number): number {
  return Math.min(mostPause, Math.max(leastPause, now - (since ?? now)));
}

/** Whether an error decides about the order, or only about this try. */
function isDecided(code: ErrorCode): boolean {
  return code === 'refused' || code === 'invalid_request' || code === 'not_found' || code === 'denied';
}

/** What the issuer refuses, the names or the key are refused for. */
function typeOf(error: AppError): ProblemType {
  if (error instanceof AcmeError) return error.type;
  return error.code === 'denied' ? 'unauthorized' : 'rejectedIdentifier';
}

function codeOf(error: unknown): string {
  return error instanceof AppError ? error.code : 'internal';
}

function whileClaimed({ id, claim }: OrderRow, set: Readonly<Record<string, string | number | null>>): Change {
  return update('acme_server_orders', set, { id, status: 'processing', claim }, { expect: 1 });
}

function failed(row: OrderRow, detail: string, type: ProblemType = 'rejectedIdentifier'): Issuance {
  const set = {
    status: 'invalid',
    error: keptProblem(type, detail),
    claim: null,
    next_attempt_at: null,
  };
  return { status: 'invalid', changes: [whileClaimed(row, set)], audit: { failure: type } };
}

function completed({ issuer }: ServerDeps, row: OrderRow, issued: IssuedCertificate, now: number): Issuance {
  const der = derOf(issued.certificate);
  const facts = issuer.readCertificate(der);
  const certificate: CertificateRow = {
    id: newId('asx', now),
    namespace: row.namespace,
    role: row.role,
    account_id: row.account_id,
    order_id: row.id,
    serial_number: issued.serialNumber,
    fingerprint: createHash('sha256').update(der).digest('hex'),
    cert_id: certIdOf(facts),
    identifiers: row.identifiers,
    chain: JSON.stringify([issued.certificate, ...issued.chain]),
    not_before: facts.notBefore,
    not_after: facts.notAfter,
    purge_at: facts.notAfter + keptAfter,
  };
  const set = {
    status: 'valid',
    certificate_id: certificate.id,
    claim: null,
    next_attempt_at: null,
    purge_at: certificate.purge_at,
  };
  return {
    status: 'valid',
    changes: [whileClaimed(row, set), insert('acme_server_certificates', { ...certificate })],
    audit: { serial_number: issued.serialNumber },
  };
}

function derOf(pem: string): Buffer {
  return Buffer.from(pem.replaceAll(/-----[^-]+-----/g, ''), 'base64');
}
