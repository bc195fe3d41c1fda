import { type CompiledPolicy, compilePolicy } from './compile.ts';
import type { Rule } from './rules.ts';

/**
 * Policies that every namespace has and nobody can change. They hold inside the namespace of the principal, as every
 * policy does; what touches the installation also wants the namespace `root` (judge.ts).
 */
export interface BuiltInPolicy {
  readonly description: string;
  readonly rules: readonly Rule[];
}

/** The policy whose last holder cannot be taken away. */
export const administrator = 'administrator';

export const builtInPolicies: Readonly<Record<string, BuiltInPolicy>> = {
  [administrator]: {
    description: 'Everything in its namespace. Built in.',
    rules: [{ effect: 'allow', operations: ['**'], resources: ['**'] }],
  },
  auditor: {
    description: 'Sees everything in its namespace, verifies the audit log, and changes nothing. Built in.',
    rules: [
      { effect: 'allow', operations: ['*.get_*', '*.list_*', 'audit.*', 'policy.test_policy'], resources: ['**'] },
    ],
  },
};

export function isBuiltIn(name: string): boolean {
  return Object.hasOwn(builtInPolicies, name);
}

export const compiledBuiltIns: ReadonlyMap<string, CompiledPolicy> = new Map(
  Object.entries(builtInPolicies).map(([name, { rules }]) => [name, compilePolicy(name, rules)]),
);
