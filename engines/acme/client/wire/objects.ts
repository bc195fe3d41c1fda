import { z } from 'zod';
import { MalformedAnswer } from './problem.ts';

/** What an authority answers, as far as it is used here (RFC 8555 §7.1). Anything else in it is ignored. */

/** RFC 8555 §6.1: HTTPS only. */
const url = z
  .string()
  .max(2048)
  .refine((text) => URL.canParse(text) && new URL(text).protocol === 'https:', 'no https URL');

export const directorySchema = z.object({
  newNonce: url,
  newAccount: url,
  newOrder: url,
  revokeCert: url.optional(),
  keyChange: url.optional(),
  renewalInfo: url.optional(),
  meta: z
    .object({
      termsOfService: z.string().max(2048).optional(),
      externalAccountRequired: z.boolean().optional(),
      profiles: z.record(z.string(), z.unknown()).optional(),
    })
    .optional(),
});
export type Directory = z.output<typeof directorySchema>;

const identifier = z.object({ type: z.string(), value: z.string().max(255) });

export const accountSchema = z.object({ status: z.string(), contact: z.array(z.string()).optional() });

export const orderSchema = z.object({
  status: z.enum(['pending', 'ready', 'processing', 'valid', 'invalid']),
  expires: z.string().optional(),
  identifiers: z.array(identifier).max(1000),
  authorizations: z.array(url).max(1000),
  finalize: url,
  certificate: url.optional(),
  error: z.unknown().optional(),
});
export type OrderObject = z.output<typeof orderSchema>;

export const challengeSchema = z.object({
  type: z.string().max(100),
  url: z.string().max(2048).optional(),
  /** At least 128 bits in base64url (RFC 8555 §8.1, §11.3); it becomes part of paths and records. */
  token: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,512}$/)
    .optional()
    .catch(undefined),
  status: z.string().optional(),
  error: z.unknown().optional(),
});

export const authorizationSchema = z.object({
  status: z.enum(['pending', 'valid', 'invalid', 'deactivated', 'expired', 'revoked']),
  identifier,
  wildcard: z.boolean().optional(),
  challenges: z.array(challengeSchema).max(50),
});
export type AuthorizationObject = z.output<typeof authorizationSchema>;

/** RFC 9773 §4.2. */
export const renewalInfoSchema = z.object({
  suggestedWindow: z.object({ start: z.iso.datetime({ offset: true }), end: z.iso.datetime({ offset: true }) }),
  explanationURL: z.string().max(2048).optional(),
});

/** Throws `MalformedAnswer`. */
export function readObject<Schema extends z.ZodType>(schema: Schema, body: Buffer, what: string): z.output<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    throw new MalformedAnswer(`The authority’s ${what} is not JSON.`);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new MalformedAnswer(
    `The authority’s ${what} is not one of RFC 8555: ${issue?.path.join('.') ?? ''} is not valid.`,
  );
}
