import { isIP } from 'node:net';
import { z } from 'zod';
import { toRfc3339 } from '#core/clock.ts';
import { duration, formatDuration } from '#core/duration.ts';
import type { GlobKind } from './glob.ts';
import { globFault } from './glob.ts';

/** What a policy says, as it is asked for, kept, and shown. What each condition means stands in conditions.ts. */

function globs(kind: GlobKind) {
  return z
    .array(
      z
        .string()
        .max(256)
        .superRefine((glob, context) => {
          const fault = globFault(kind, glob);
          if (fault !== undefined) context.addIssue({ code: 'custom', message: `the glob ${fault}` });
        }),
    )
    .min(1)
    .max(64);
}

export const operationGlobs = globs('operation').describe(
  'Globs over operation ids, 1 to 64: pki.issue_certificate, pki.issue_*, pki.*, or ** for every operation',
);
export const resourceGlobs = globs('resource').describe(
  'Globs over resources, 1 to 64: * within a segment, ** for one or more segments: pki/roles/web-*, pki/**, or ** for all',
);
export const deniedGlobs = globs('resource').describe(
  'Globs over resources, 1 to 64, that are left out, whatever else allows them; nor are they reached by way of others: a role of a denied connection is of no use',
);

const cidr = z
  .string()
  .max(49)
  .refine(isCidr, 'not an address range; write for example 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32');

/** An IPv4-mapped range would be a second spelling of an IPv4 range, so it is refused. */
function isCidr(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0 || address.includes('%') || /^::ffff:/i.test(address)) return false;
  return prefix === undefined || (/^(?:0|[1-9]\d{0,2})$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128));
}

const conditions = z.strictObject({
  max_ttl: duration
    .optional()
    .describe('Longest life that may be asked for (90s, 24h, 30d, or seconds); caps what is issued when none is asked'),
  purpose_required: z.literal(true).optional().describe('The request must state its purpose'),
  approval: z.literal(true).optional().describe('Somebody else must approve the request first'),
  source_cidrs: z
    .array(cidr)
    .min(1)
    .max(64)
    .optional()
    .describe('Address ranges that the request must come from, 1 to 64: 10.0.0.0/8, 2001:db8::/32'),
  not_after: z.iso
    .datetime({ offset: true })
    .transform((text) => Date.parse(text))
    .optional()
    .describe('RFC 3339 time at which the rule ends; nothing issued by it may be valid longer'),
});

export const ruleSchema = z.strictObject({
  effect: z.enum(['allow', 'deny']).describe('deny wins over every allow'),
  operations: operationGlobs,
  resources: resourceGlobs,
  conditions: conditions
    .optional()
    .describe('An allow holds where all its conditions are met; a deny with conditions where all of them are broken'),
});

export const rulesSchema = z.array(ruleSchema).min(1).max(100).describe('The rules, 1 to 100');

/** One rule as it is kept: `max_ttl` in seconds, `not_after` in milliseconds. */
export type Rule = z.output<typeof ruleSchema>;
export type RuleConditions = z.output<typeof conditions>;

/** The shape of a rule in an answer; the same that a request may give. */
export const shownRule = z.strictObject({
  effect: z.enum(['allow', 'deny']).describe('deny wins over every allow'),
  operations: z.array(z.string()).describe('Globs over operation ids'),
  resources: z.array(z.string()).describe('Globs over resources'),
  conditions: z
    .strictObject({
      max_ttl: z.string().optional().describe('Longest life, as text with units'),
      purpose_required: z.literal(true).optional().describe('A purpose must be stated'),
      approval: z.literal(true).optional().describe('Somebody else must approve first'),
      source_cidrs: z.array(z.string()).optional().describe('Address ranges'),
      not_after: z.string().optional().describe('RFC 3339 time at which the rule ends'),
    })
    .optional()
    .describe('What narrows the rule'),
});

export type ShownConditions = NonNullable<z.output<typeof shownRule>['conditions']>;

export function showRule(rule: Rule): z.output<typeof shownRule> {
  const { conditions: kept, ...rest } = rule;
  if (kept === undefined) return rest;
  const { max_ttl: ttl, not_after: notAfter, ...others } = kept;
  return {
    ...rest,
    conditions: {
      ...others,
      ...(ttl === undefined ? {} : { max_ttl: formatDuration(ttl) }),
      ...(notAfter === undefined ? {} : { not_after: toRfc3339(notAfter) }),
    },
  };
}
