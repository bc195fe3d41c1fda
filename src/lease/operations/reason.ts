import { z } from 'zod';

/** Why somebody overrides what the lease manager does by itself; for the audit. */
export const reason = z
  .string()
  .trim()
  .min(1)
  .max(200)
  .regex(/^\P{Cc}*$/u, 'no control characters');
