import type { Command } from './command.ts';
import { isPaged, listField } from './command.ts';
import { usageFailure } from './failure.ts';
import { readShape } from './schema.ts';
import { didYouMean } from '#core/suggest.ts';

/** How the answer is to be shown, from --json, --field and --all. */
export interface View {
  readonly json: boolean;
  /** Dotted name; of a list, possibly one of its items'. */
  readonly field: string | undefined;
  /** Output fields that are told on stderr, beside the one that is printed. */
  readonly beside: readonly string[];
  readonly all: boolean;
  /** Ask again and again, and show each answer in the place of the one before. */
  readonly watch: boolean;
}

export function readView(command: Command, options: ReadonlyMap<string, readonly string[]>): View {
  const files = options.has('out') || options.has('output-dir');
  const given = { json: options.has('json'), field: options.get('field')?.[0] };
  const headline = given.json || files || given.field !== undefined ? undefined : command.operation.cli?.headline;
  const view: View = {
    json: given.json,
    field: given.field ?? headline?.field,
    beside: headline?.beside ?? [],
    all: options.has('all'),
    watch: options.has('watch'),
  };
  if (view.json && view.field !== undefined) throw usageFailure('--json and --field exclude each other');
  if (view.all && !isPaged(command))
    throw usageFailure(`--all follows the pages of a list, and ${command.area} ${command.verb} answers with one thing`);
  if (view.watch && command.operation.effect !== 'read')
    throw usageFailure(`--watch asks again and again, and ${command.area} ${command.verb} changes something`);
  if (view.watch && (view.json || view.all || files || view.field !== undefined))
    throw usageFailure('--watch shows a table on a terminal; it goes with no other option of output');
  if (view.all && files) throw usageFailure('--all cannot be combined with --out and --output-dir');
  if (options.has('force') && !files) throw usageFailure('--force goes with --out or --output-dir');
  if (view.field !== undefined) checkField(command, view.field);
  return view;
}

function checkField(command: Command, path: string): void {
  const known = [...command.output().fields.map(({ name }) => name), ...itemFields(command)];
  const [head = ''] = path.split('.');
  if (known.includes(head) || command.output().open) return;
  throw usageFailure(`the answer of ${command.verb} has no field "${head.slice(0, 60)}"`, {
    hint: didYouMean(head, known) ?? `it has ${known.join(', ')}`,
  });
}

export function itemFields(command: Command): string[] {
  const items = listField(command)?.schema.items;
  return items === undefined ? [] : readShape(items).fields.map(({ name }) => name);
}

/** Columns of the table: those of the binding, else the first six fields that are one short value. */
export function tableColumns(command: Command): string[] {
  const chosen = command.operation.cli?.columns;
  if (chosen !== undefined) return [...chosen];
  const items = listField(command)?.schema.items;
  if (items === undefined) return [];
  return readShape(items)
    .fields.filter(
      ({ type, description }) => type.kind !== 'json' && type.kind !== 'list' && !/\bPEM\b/.test(description),
    )
    .slice(0, 6)
    .map(({ name }) => name);
}
