import { z } from 'zod';
import { toRfc3339 } from '#core/clock.ts';
import { duration, formatDuration } from '#core/duration.ts';
import { AppError } from '#core/errors.ts';
import type { Grant, Limits } from '#core/grant.ts';
import { name } from '#core/ids.ts';
import { defineOperation } from '#core/operation.ts';
import type { PrincipalRow } from '#storage/core-tables.ts';
import { explain } from './explain.ts';
import { createJudge, type Question, type Subject, type Verdict } from './judge.ts';
import type { PolicyDeps } from './policy-operations.ts';
import { shownRule, showRule } from './rules.ts';

const input = z.strictObject({
  principal: name
    .optional()
    .describe('Whose request; needs a policy that allows to ask. Without it: the caller’s, narrowings included'),
  operation: z
    .string()
    .max(100)
    .regex(/^[a-z]+\.[a-z]+(?:_[a-z0-9]+)*$/, 'not an operation id; write for example pki.issue_certificate')
    .describe('Operation id: pki.issue_certificate'),
  resource: z.string().min(1).max(512).describe('Resource: pki/roles/web'),
  ttl: duration.optional().describe('Life that would be asked for (90s, 24h, 30d, or seconds)'),
  purpose: z.string().max(200).optional().describe('Purpose that would be stated'),
  source_address: z
    .union([z.ipv4(), z.ipv6()])
    .optional()
    .describe('Address that the request would come from; without it, the address counts as unknown'),
  approved: z.boolean().default(false).describe('Whether somebody else would have approved it'),
});

const output = z.strictObject({
  decision: z.enum(['allowed', 'approval_required', 'denied']).describe('What would happen'),
  explanation: z.string().describe('Why, in one sentence'),
  hint: z.string().nullable().describe('What would help; null when it is allowed'),
  policy: z.string().nullable().describe('Policy of the rule that decides, or that comes nearest'),
  rule: z.number().int().nullable().describe('Number of that rule in its policy, from 1'),
  rule_text: shownRule.nullable().describe('That rule'),
  findings: z
    .array(
      z.strictObject({
        at: z.string().describe('Part of the rule that is in the way'),
        message: z.string().describe('What was found there'),
      }),
    )
    .describe('What is in the way, each part of it'),
  max_ttl: z.string().nullable().describe('Longest life of anything that would be issued; null: the role decides'),
  not_after: z.string().nullable().describe('RFC 3339 time that nothing issued may outlive; null: the role decides'),
});

export const testPolicy = defineOperation({
  id: 'policy.test_policy',
  title: 'Test the policies',
  summary:
    'Says whether a request would be allowed, why, and which request would pass, without doing it. Everybody may ask for themselves; asking for another principal needs a policy.',
  input,
  output,
  http: { method: 'POST', path: '/policies/test' },
  resource: ({ principal }) => (principal === undefined ? 'policies/test' : `principals/${principal}`),
  effect: 'read',
  access: ({ principal }) => (principal === undefined ? 'self' : 'policy'),
  async run(grant, asked, deps: PolicyDeps) {
    const question = toQuestion(await subjectOf(grant, asked.principal, deps), grant.now, asked, deps);
    const verdict = await createJudge(deps.policies, {}).judge(question);
    return { output: show(verdict, question) };
  },
});

/** A named principal is judged as with a key of its own, enabled or not. */
async function subjectOf(grant: Grant, principal: string | undefined, { store }: PolicyDeps): Promise<Subject> {
  if (principal === undefined) return grant.principal;
  const row = await store.first<PrincipalRow>('SELECT * FROM principals WHERE namespace = ? AND name = ?', [
    grant.namespace,
    principal,
  ]);
  if (row === undefined) {
    throw new AppError('not_found', `There is no principal ${principal} in this namespace.`, {
      hint: 'auth.list_principals lists them.',
    });
  }
  const { name: named, namespace, kind } = row;
  return { name: named, namespace, kind, policies: JSON.parse(row.policies) as string[], narrowings: [] };
}

function toQuestion(subject: Subject, now: number, asked: z.output<typeof input>, deps: PolicyDeps): Question {
  const operation = deps.operations().find(({ id }) => id === asked.operation);
  return {
    subject,
    // Where the input decides (my tokens or those of others), the policies are what is asked about.
    access: operation?.access === 'self' ? 'self' : 'policy',
    installation: operation?.installation ?? false,
    owned: false,
    request: {
      operation: asked.operation,
      resource: asked.resource,
      ttl: asked.ttl,
      purpose: asked.purpose,
      sourceAddress: asked.source_address ?? null,
      approved: asked.approved,
      now,
    },
  };
}

function show(verdict: Verdict, { subject, request }: Question): z.output<typeof output> {
  if (verdict.outcome === 'allowed') {
    const { rule } = verdict;
    return {
      decision: 'allowed',
      explanation:
        rule === undefined
          ? 'Every principal may do this about itself.'
          : `Rule ${rule.number} of policy ${rule.policy} allows it.`,
      hint: null,
      ...showRuleOf(rule),
      findings: [],
      ...showLimits(verdict.limits),
    };
  }
  const { message, hint, rule, findings } = explain(verdict, subject, request);
  return {
    decision: verdict.outcome,
    explanation: message,
    hint,
    ...showRuleOf(rule),
    findings: [...findings],
    ...showLimits({}),
  };
}

function showRuleOf(rule: { policy: string; number: number; source: Parameters<typeof showRule>[0] } | undefined) {
  if (rule === undefined) return { policy: null, rule: null, rule_text: null };
  return { policy: rule.policy, rule: rule.number, rule_text: showRule(rule.source) };
}

function showLimits({ maxTtl, notAfter }: Limits) {
  return {
    max_ttl: maxTtl === undefined ? null : formatDuration(maxTtl),
    not_after: notAfter === undefined ? null : toRfc3339(notAfter),
  };
}
