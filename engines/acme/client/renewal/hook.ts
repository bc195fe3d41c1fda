import { createHmac } from 'node:crypto';
import { toRfc3339 } from '#core/clock.ts';
import type { ClientDeps } from '#acme/client/deps.ts';
import { parseDefinition } from '#acme/client/order/definition.ts';
import type { CertificateRow } from '#acme/client/tables.ts';
import { explain } from '#acme/client/wire/problem.ts';

/**
 * Tells a URL that there is a new certificate, by a POST signed as Standard Webhooks has it. What it holds is public; the
 * certificate and its key are fetched with a token, as ever.
 */

const minute = 60_000;
const mostTries = 20;

export type HookFields = Pick<CertificateRow, 'hook_serial' | 'hook_attempts' | 'hook_at'>;

export interface Delivery {
  readonly set: HookFields;
  /** Undefined: it was taken. */
  readonly failure: string | undefined;
}

/** One try. The receiver may hear of one serial number more than once, and answers with any 2xx. */
export async function tellHook(deps: ClientDeps, row: CertificateRow): Promise<Delivery> {
  const now = deps.clock.now();
  const failure = await post(deps, row, now);
  if (failure === undefined) return { set: { hook_serial: null, hook_attempts: 0, hook_at: null }, failure };
  const attempts = row.hook_attempts + 1;
  const over = attempts >= mostTries;
  const pause = Math.min(minute * 2 ** Math.min(attempts - 1, 10), 360 * minute);
  return {
    set: {
      hook_serial: over ? null : row.hook_serial,
      hook_attempts: attempts,
      hook_at: over ? null : now + pause,
    },
    failure,
  };
}

async function post(deps: ClientDeps, row: CertificateRow, now: number): Promise<string | undefined> {
  const { hook_url: url, identifiers } = parseDefinition(row);
  if (url === undefined || row.hook_key === null) return undefined;
  const body = JSON.stringify({
    event: row.renewals === 0 ? 'certificate.issued' : 'certificate.renewed',
    certificate_id: row.id,
    namespace: row.namespace,
    identifiers: identifiers.map(({ value }) => value),
    serial_number: row.serial_number,
    not_after: toRfc3339(row.not_after),
  });
  // The same for every try, so that a receiver knows what it has heard.
  const id = `${row.id}.${row.serial_number}`;
  const time = String(Math.floor(now / 1000));
  try {
    const { status } = await deps.outbound({
      url,
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': time,
        'webhook-signature': `v1,${await sign(deps, row, row.hook_key, `${id}.${time}.${body}`)}`,
      },
      body: Buffer.from(body),
    });
    return status >= 200 && status < 300 ? undefined : `The hook answered with status ${status}.`;
  } catch (error) {
    return explain(error) ?? 'The hook could not be told.';
  }
}

async function sign(deps: ClientDeps, { id }: CertificateRow, sealed: Uint8Array, content: string): Promise<string> {
  const place = { table: 'acme_certificates', row: id, column: 'hook_key' } as const;
  const key = await deps.sealer.open(place, sealed);
  try {
    return createHmac('sha256', key).update(content).digest('base64');
  } finally {
    key.fill(0);
  }
}
