import { z } from 'zod';
import { AppError } from './errors.ts';

/** Input fields of every list. Spread into the input schema of the operation. */
export const pageInput = {
  limit: z.coerce.number().int().min(1).max(1000).default(50).describe('How many to return at most, 1 to 1000'),
  cursor: z.string().max(512).optional().describe('The next_cursor of the previous page'),
};

/** Output field of every list that is not complete. */
export const nextCursor = z
  .string()
  .nullable()
  .describe('Give this as cursor to read on; null when this was the last page');

/** A cursor is the sort key of the last row, opaque to the caller. */
export function encodeCursor(key: string | number): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url');
}

/** Reads a cursor back. Throws `invalid_request` when it is not one of ours. */
export function decodeCursor<Kind extends 'string' | 'number'>(
  cursor: string,
  kind: Kind,
): Kind extends 'string' ? string : number {
  try {
    const key: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    if (typeof key === kind) return key as Kind extends 'string' ? string : number;
  } catch {
    // falls through to the one error below: a cursor is opaque, so why it is wrong helps nobody
  }
  throw new AppError('invalid_request', 'The cursor is not one that this list returned.', {
    hint: 'Leave cursor out to start at the first page.',
  });
}

/** Cuts the page out of `limit + 1` rows: the extra row only says that there is more. */
export function cutPage<Item>(
  rows: readonly Item[],
  limit: number,
  key: (item: Item) => string | number,
): { items: Item[]; next_cursor: string | null } {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  return { items, next_cursor: rows.length > limit && last !== undefined ? encodeCursor(key(last)) : null };
}
