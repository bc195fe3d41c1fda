import type { Conditions } from './conditions.ts';
import { compileConditions } from './conditions.ts';
import type { Glob, GlobKind } from './glob.ts';
import { compileGlob } from './glob.ts';
import type { Rule } from './rules.ts';

/** A policy made ready once, so that a decision does no parsing and looks only at rules of its operation. */

export interface CompiledRule {
  /** The policy that holds it. */
  readonly policy: string;
  /** Its place in the policy, from 1. */
  readonly number: number;
  readonly source: Rule;
  readonly matchesOperation: Glob;
  readonly matchesResource: Glob;
  readonly conditions: Conditions | undefined;
}

/** The rules of one policy that speak of one operation. */
export interface OperationRules {
  readonly denies: readonly CompiledRule[];
  readonly allows: readonly CompiledRule[];
}

export interface CompiledPolicy {
  readonly name: string;
  readonly rules: readonly CompiledRule[];
  /** Whether anything in it forbids; who holds such a policy cannot hand out its other policies without it. */
  readonly denies: boolean;
  readonly usesApproval: boolean;
  readonly rulesFor: (operation: string) => OperationRules;
}

/** Operation ids are a fixed list; the bound is for `policies/test`, which takes any. */
const maxRemembered = 1000;

/** Throws TypeError when a rule is damaged. */
export function compilePolicy(name: string, rules: readonly Rule[]): CompiledPolicy {
  const compiled = rules.map((rule, index) => compileRule(name, index + 1, rule));
  const remembered = new Map<string, OperationRules>();
  return {
    name,
    rules: compiled,
    denies: compiled.some((rule) => rule.source.effect === 'deny'),
    usesApproval: compiled.some((rule) => rule.conditions?.approval),
    rulesFor(operation) {
      const known = remembered.get(operation);
      if (known !== undefined) return known;
      const matching = compiled.filter((rule) => rule.matchesOperation(operation));
      const found = {
        denies: matching.filter((rule) => rule.source.effect === 'deny'),
        allows: matching.filter((rule) => rule.source.effect === 'allow'),
      };
      if (remembered.size >= maxRemembered) remembered.clear();
      remembered.set(operation, found);
      return found;
    },
  };
}

function compileRule(policy: string, number: number, source: Rule): CompiledRule {
  if (source.effect !== 'allow' && source.effect !== 'deny') throw new TypeError(`rule ${number} has no effect`);
  return {
    policy,
    number,
    source,
    matchesOperation: compileGlobs('operation', source.operations),
    matchesResource: compileGlobs('resource', source.resources),
    conditions: source.conditions === undefined ? undefined : compileConditions(source.conditions),
  };
}

/** Matches what one of the globs matches. */
export function compileGlobs(kind: GlobKind, globs: readonly string[]): Glob {
  const compiled = globs.map((glob) => compileGlob(kind, glob));
  const [only] = compiled;
  if (compiled.length === 1 && only !== undefined) return only;
  return (text) => {
    for (const matches of compiled) if (matches(text)) return true;
    return false;
  };
}
