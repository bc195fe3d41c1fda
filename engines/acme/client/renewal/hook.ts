import { createHmac } from 'node:crypto';
import { toRfc3339 } from '#core/clock.ts';
import type { ClientDeps } from '#acme/client/deps.ts';
import { parseDefinition } from '#acme/client/order/definition.ts';
import type { CertificateRow } from '#acme/client/tables.ts';
import { explain } from '#acme/client/wire/problem.ts';

/** Tells a URL that there is a new certificate. What it holds is public; the key is fetched with a token, as ever. */

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
      hook_attempts: over ? 0 : attempts,
      hook_at: over ? null : now + pause,
    },
    failure,
  };
}

async function post(deps: ClientDeps, row: CertificateRow, now: number): Promise<string | undefined> {
  const { hook_url: url, identifiers } = parseDefinition(row);
  if (url === undefined || row.hook_key === null) return undefined;
  const place = { table: 'acme_certificates', row: row.id, column: 'hook_key' } as const;
  const key = await deps.sealer.open(place, row.hook_key);
  const body = JSON.stringify({
    event: row.renewals === 0 ? 'certificate.issued' : 'certificate.renewed',
    certificate_id: row.id,
    namespace: row.namespace,
    identifiers: identifiers.map(({ value }) => value),
    serial_number: row.serial_number,
    not_after: toRfc3339(row.not_after),
  });
  const time = Math.floor(now / 1000);
  const signature = createHmac('sha256', key).update(`${time}.${body}`).digest('hex');
  key.fill(0);
  try {
    const { status } = await deps.outbound({
      url,
      method: 'POST',
      headers: { 'content-type': 'application/json', 'chancery-signature': `t=${time},v1=${signature}` },
      body: Buffer.from(body),
    });
    return status >= 200 && status < 300 ? undefined : `The hook answered with status ${status}.`;
  } catch (error) {
    return explain(error) ?? 'The hook could not be told.';
  }
}
