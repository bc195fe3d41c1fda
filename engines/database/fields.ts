import { z } from 'zod';
import { formatDuration } from '#core/duration.ts';
import type { EngineName } from './target.ts';

/** Parts of the schemas of connections and roles. */

/**
 * The name of something at a database server: of a role, a database, a user. Any text that the servers take; it reaches
 * SQL through the quoting of targets/ only. The servers bound its length themselves (63 bytes, 32 or 80 characters).
 */
export const identifier = z
  .string()
  .min(1)
  .max(128)
  .refine(
    (text) => !/[\p{C}\p{Zl}\p{Zp}]/u.test(text) && text.isWellFormed() && text.trim() === text,
    'no control or invisible characters, no space at the ends',
  );

/** PostgreSQL cuts longer names off and says nothing (NAMEDATALEN), and then they name something else. */
const longestPostgresqlName = 63;

/** What is wrong with names for a kind of server, each with the field that it stands in. */
export function overlongNames(
  engine: EngineName,
  names: Readonly<Record<string, string | readonly string[] | undefined>>,
): { field: string; message: string }[] {
  if (engine !== 'postgresql') return [];
  return Object.entries(names)
    .filter(([, texts]) => [texts ?? []].flat().some((text) => Buffer.byteLength(text) > longestPostgresqlName))
    .map(([field]) => ({ field, message: `PostgreSQL takes names of at most ${longestPostgresqlName} bytes` }));
}

/** Arguments of `refine` for a duration between two numbers of seconds. */
export function within(least: number, most: number): [(seconds: number) => boolean, string] {
  return [(seconds) => seconds >= least && seconds <= most, `from ${formatDuration(least)} to ${formatDuration(most)}`];
}

/** With the description on the outside, where the generators look for it. */
export function maybe<Schema extends z.ZodType>(schema: Schema): z.ZodOptional<Schema> {
  return schema.optional().describe(schema.description ?? '');
}

/** In a request that changes something: null takes the field away. */
export function removable<Schema extends z.ZodType>(schema: Schema): z.ZodOptional<z.ZodNullable<Schema>> {
  return schema
    .nullable()
    .optional()
    .describe(`${schema.description ?? ''}; null removes it`);
}

export function withDefault<Schema extends z.ZodType>(schema: Schema, value: z.input<Schema>): z.ZodPrefault<Schema> {
  return schema.prefault(value as never).describe(schema.description ?? '');
}
