import * as fc from 'fast-check';
import type { Change } from '#core/change.ts';

/** What a store should hold after units, told by a Map: name → amount. */
export type Model = Map<string, number>;

/** One change in the terms of the model. */
type Step =
  | { readonly kind: 'insert'; readonly name: string; readonly amount: number }
  | { readonly kind: 'add'; readonly name: string; readonly amount: number; readonly expect: boolean }
  | { readonly kind: 'delete'; readonly name: string; readonly expect: boolean }
  | { readonly kind: 'addAll'; readonly amount: number };

export interface ModelUnit {
  readonly steps: readonly Step[];
  changes(namespace: string): Change[];
}

const name = fc.constantFrom('a', 'b', 'c', 'd');
const amount = fc.integer({ min: 1, max: 9 });

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('insert' as const), name, amount }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('add' as const), name, amount, expect: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), name, expect: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('addAll' as const), amount }) },
);

export const unitArbitrary: fc.Arbitrary<ModelUnit> = fc
  .array(step, { minLength: 1, maxLength: 4 })
  .map((steps) => ({ steps, changes: (namespace) => steps.map((each) => toChange(each, namespace)) }));

function toChange(each: Step, namespace: string): Change {
  switch (each.kind) {
    case 'insert': {
      const row = { id: `${namespace}/${each.name}`, namespace, name: each.name, amount: each.amount, data: null };
      return { kind: 'insert', table: 'things', row };
    }
    case 'add': {
      const where = { namespace, name: each.name };
      const guard = each.expect ? { expect: 1 } : {};
      return { kind: 'update', table: 'things', set: {}, add: { amount: each.amount }, where, ...guard };
    }
    case 'delete':
      return {
        kind: 'delete',
        table: 'things',
        where: { namespace, name: each.name },
        ...(each.expect && { expect: 1 }),
      };
    default:
      return { kind: 'update', table: 'things', set: {}, add: { amount: each.amount }, where: { namespace } };
  }
}

/** Applies a unit to the model, or leaves it as it was; returns which. */
export function expectedOutcome(model: Model, unit: ModelUnit): boolean {
  const before = new Map(model);
  for (const each of unit.steps) {
    if (apply(model, each)) continue;
    model.clear();
    for (const [key, value] of before) model.set(key, value);
    return false;
  }
  return true;
}

function apply(model: Model, each: Step): boolean {
  switch (each.kind) {
    case 'insert':
      if (model.has(each.name)) return false;
      model.set(each.name, each.amount);
      return true;
    case 'add': {
      const present = model.get(each.name);
      if (present !== undefined) model.set(each.name, present + each.amount);
      return present !== undefined || !each.expect;
    }
    case 'delete':
      return model.delete(each.name) || !each.expect;
    default:
      for (const [key, value] of model) model.set(key, value + each.amount);
      return true;
  }
}
