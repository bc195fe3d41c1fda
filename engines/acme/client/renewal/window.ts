import { X509Certificate } from 'node:crypto';
import type { ClientDeps } from '#acme/client/deps.ts';
import type { AccountRow, CertificateRow } from '#acme/client/tables.ts';
import { withDeadline } from '#acme/client/deadline.ts';
import { clamp } from '#acme/client/wire/headers.ts';
import { readObject, renewalInfoSchema } from '#acme/client/wire/objects.ts';
import { AcmeProblem, isTemporary, plainText } from '#acme/client/wire/problem.ts';
import { certificateId } from '#acme/client/x509/certificate.ts';
import { parseAccount } from '#acme/client/account-schema.ts';
import { renewalByLife, renewalByWindow } from './schedule.ts';

/** The authority's word on when a certificate is to be renewed (RFC 9773). */

/** What a look came to, for the row of the certificate. */
export type WindowFields = Pick<
  CertificateRow,
  'renew_at' | 'renew_reason' | 'window_start' | 'window_end' | 'explanation_url' | 'window_check_at'
>;

/** Milliseconds for all that is asked. */
const longestLook = 30_000;
const minute = 60_000;
const day = 86_400_000;
/** RFC 9773 §4.3.3: after an answer that is none, and where the authority does not offer the service. */
const longPause = 6 * 60 * minute;

/** Asks. What is not answered leaves the time of renewal as it is, for the fallback is chosen already. */
export async function askWindow(
  deps: ClientDeps,
  account: AccountRow,
  row: CertificateRow,
): Promise<Partial<WindowFields>> {
  const now = deps.clock.now();
  const connection = deps.connections.to(account.directory, parseAccount(account).ca_certificate);
  try {
    const { renewalInfo } = await withDeadline(longestLook, () => connection.directory());
    const id = renewalInfo === undefined ? undefined : certificateId(new X509Certificate(row.chain));
    if (renewalInfo === undefined || id === undefined) return { window_check_at: now + day };
    const url = `${renewalInfo.replace(/\/$/, '')}/${id}`;
    const answer = await withDeadline(longestLook, (signal) => connection.get(url, signal));
    const { suggestedWindow, explanationURL } = readObject(renewalInfoSchema, answer.body, 'renewal information');
    const window = { start: Date.parse(suggestedWindow.start), end: Date.parse(suggestedWindow.end) };
    const asked = answer.retryAfter === undefined ? longPause : clamp(answer.retryAfter * 1000, minute, day);
    const next = { window_check_at: now + asked };
    // RFC 9773 §4.2: an end before the start is no answer.
    if (window.end <= window.start) return { window_check_at: now + longPause };
    return { ...next, ...chosen(row, window, explanationURL) };
  } catch (error) {
    const temporary = isTemporary(error) && !(error instanceof AcmeProblem && error.facts.status === 404);
    return { window_check_at: now + (temporary ? 10 * minute : longPause) };
  }
}

/** The time is chosen once for a window: another one only when the authority gives another window. */
function chosen(
  row: CertificateRow,
  window: { readonly start: number; readonly end: number },
  explanation: string | undefined,
): Partial<WindowFields> {
  const explanation_url = explanation === undefined ? null : plainText(explanation);
  if (row.window_start === window.start && row.window_end === window.end) return { explanation_url };
  const life = { notBefore: row.not_before, notAfter: row.not_after, obtainedAt: row.obtained_at };
  const at = renewalByWindow(window, life) ?? renewalByLife(life);
  const fields = { window_start: window.start, window_end: window.end, explanation_url };
  // A renewal that failed has its own time for the next try.
  return row.failures > 0 ? fields : { ...fields, renew_at: at, renew_reason: 'authority' };
}

/** RFC 9773 §5: what a renewal says that it replaces; only to authorities that know the field. */
export async function replacedBy(
  deps: ClientDeps,
  account: AccountRow,
  row: CertificateRow,
): Promise<string | undefined> {
  const connection = deps.connections.to(account.directory, parseAccount(account).ca_certificate);
  const directory = await withDeadline(longestLook, () => connection.directory()).catch(() => undefined);
  if (directory?.renewalInfo === undefined || row.failures > 0) return undefined;
  return certificateId(new X509Certificate(row.chain));
}
