import { type Change, update } from '#core/change.ts';
import { parseProgress } from '#acme/client/order/definition.ts';
import type { CertificateRow, OrderRow } from '#acme/client/tables.ts';

/** When a certificate is renewed: by its life where the authority does not say (research of the field: 1/3 of it is left). */

const day = 86_400_000;
const hour = 3_600_000;
const minute = 60_000;
const shortLife = 10 * day;

export interface Life {
  readonly notBefore: number;
  readonly notAfter: number;
  /** When it was delivered, by our clock: what went by before that was no life of it. */
  readonly obtainedAt: number;
}

/** A certificate that is new is not renewed, whatever the clocks and the authority say. */
const leastAge = hour;

/** With a third of the life left, or half of one below 10 days; earlier by up to a hundredth of it, so that many do not meet. */
export function renewalByLife(certificate: Life, random: number = Math.random()): number {
  const life = lifeOf(certificate);
  const left = life < shortLife ? life / 2 : life / 3;
  return Math.max(Math.floor(certificate.notAfter - left - random * (life / 100)), soonest(certificate));
}

function lifeOf({ notBefore, notAfter, obtainedAt }: Life): number {
  return Math.max(0, notAfter - Math.max(notBefore, obtainedAt));
}

function soonest(certificate: Life): number {
  return certificate.obtainedAt + Math.ceil(Math.max(minute, Math.min(leastAge, lifeOf(certificate) / 10)));
}

export interface Window {
  readonly start: number;
  readonly end: number;
}

/**
 * RFC 9773 §4.2: a time chosen evenly within the window, once, but never in the last twentieth of the life, nor when the
 * certificate is quite new. Undefined for a window that is none.
 */
export function renewalByWindow(
  { start, end }: Window,
  certificate: Life,
  random: number = Math.random(),
): number | undefined {
  if (end <= start) return undefined;
  const latest = certificate.notAfter - lifeOf(certificate) / 20;
  return Math.floor(Math.max(Math.min(start + random * (end - start), latest), soonest(certificate)));
}

/** How long to wait after the n-th failed order (1, 2 …), but never past a twentieth of what is left of the life. */
const pauses = [1, 2, 5, 10, 20, 30].map((minutes) => minutes * minute);
const longestPause = 6 * hour;

export function pauseAfterFailure(failures: number): number {
  const pause = pauses[failures - 1] ?? Math.min(hour * 2 ** (failures - pauses.length - 1), longestPause);
  return Math.round(pause * (0.8 + 0.4 * Math.random()));
}

/** Then it has spent most of what authorities allow in an hour. */
function orderedAgain(order: OrderRow): boolean {
  return (parseProgress(order).failed?.orders ?? 0) > 1;
}

/** What a failed or cancelled renewal leaves of its certificate: everything as it was, and another try to come. */
export function afterFailure(
  certificate: CertificateRow,
  order: OrderRow,
  state: 'failed' | 'cancelled',
  reason: string,
  now: number,
): Change {
  const failures = certificate.failures + 1;
  // What is near its end is tried more often than the table says, and never less than once a minute.
  const pause = Math.max(
    minute,
    Math.min(
      Math.max(pauseAfterFailure(failures), orderedAgain(order) ? hour : 0),
      Math.floor(Math.max(0, certificate.not_after - now) / 20) || longestPause,
    ),
  );
  const counted =
    state === 'failed'
      ? { failures, failing_since: certificate.failing_since ?? now, last_error: reason, renew_at: now + pause }
      : { renew_at: now + longestPause };
  return update(
    'acme_certificates',
    {
      ...counted,
      renew_reason: state === 'failed' ? 'retry' : 'postponed',
      order_id: null,
      claim: null,
      next_action_at: now,
      updated_at: now,
    },
    { id: certificate.id, order_id: order.id },
    { add: { version: 1 } },
  );
}
