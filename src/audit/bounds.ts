import type { AuditEvent } from '#core/audit-event.ts';
import type { AuditEventRow } from '#storage/core-tables.ts';

/** Bytes of the JSON text of an event's details. */
export const maxDetailsBytes = 4096;
/** UTF-16 units of a text column of a row that had to be bounded. */
export const maxTextLength = 512;

/**
 * The JSON text of an event's details: scalars only, at most `maxDetailsBytes`. What does not fit is left out and
 * `details_truncated: true` says so; what is not a scalar is named by its type, never spelled out, so that no nested
 * value can carry something secret into the log.
 */
export function boundDetails(details: AuditEvent['details']): string {
  for (const name in details) {
    if (!isScalar(details[name])) return boundDetails(onlyScalars(details));
  }
  const text = JSON.stringify(details);
  // a UTF-16 unit is at most 3 bytes of UTF-8, so short texts need no counting
  if (text.length * 3 <= maxDetailsBytes || Buffer.byteLength(text) <= maxDetailsBytes) return text;
  return truncated(details);
}

function isScalar(value: unknown): boolean {
  const type = typeof value;
  return type === 'string' || type === 'boolean' || value === null || Number.isFinite(value);
}

function onlyScalars(details: Readonly<Record<string, unknown>>): AuditEvent['details'] {
  return Object.fromEntries(
    Object.entries(details)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, scalar(value)]),
  );
}

function scalar(value: unknown): string | number | boolean | null {
  if (isScalar(value)) return value as string | number | boolean | null;
  return typeof value === 'number' || typeof value === 'bigint' ? String(value) : `(${typeof value}, not recorded)`;
}

function truncated(details: AuditEvent['details']): string {
  let room = maxDetailsBytes - Buffer.byteLength('{"details_truncated":true}');
  const kept = Object.entries(details).filter(([name, value]) => {
    const bytes = Buffer.byteLength(JSON.stringify({ [name]: value })) - 1; // its braces, less the comma that joins it
    if (bytes > room) return false;
    room -= bytes;
    return true;
  });
  return JSON.stringify(Object.fromEntries([...kept, ['details_truncated', true]]));
}

/**
 * Makes every text of a row storable in both databases and short: NUL (which PostgreSQL refuses) and lone surrogates
 * (which SQLite replaces, so that the hash would no longer fit) become U+FFFD. Changes the row in place.
 */
export function boundText(row: AuditEventRow): void {
  const texts = row as unknown as Record<string, unknown>;
  for (const [column, value] of Object.entries(texts)) {
    if (typeof value === 'string' && column !== 'details') texts[column] = storable(value);
  }
}

function storable(text: string): string {
  return text.slice(0, maxTextLength).toWellFormed().replaceAll('\0', '\ufffd');
}
