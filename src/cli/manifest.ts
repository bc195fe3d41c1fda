import type { CliOperation, SchemaSource } from './command.ts';
import { schemaOf } from './command.ts';

/*
 * The operations as data: what the CLI needs of them, without the code that runs them. A program that reads a manifest
 * starts without loading Zod and the engines, which is most of its time.
 */

/** JSON of the operations; the same operations always give the same bytes. */
export function toManifest(operations: readonly CliOperation[]): string {
  const entries = operations.map(({ input, output, ...operation }) => ({
    id: operation.id,
    title: operation.title,
    summary: operation.summary,
    http: operation.http,
    cli: operation.cli,
    effect: operation.effect,
    idempotent: operation.idempotent,
    openWorld: operation.openWorld,
    sensitive: operation.sensitive,
    input: schemaOf(input, 'input'),
    output: schemaOf(output, 'output'),
  }));
  return `${JSON.stringify(entries, null, 1)}\n`;
}

/** Operations from a manifest of this package; its content is trusted, being part of the program. */
export function fromManifest(manifest: string): CliOperation[] {
  const entries = JSON.parse(manifest) as (Omit<CliOperation, 'input' | 'output'> & {
    input: object;
    output: object;
  })[];
  return entries.map((entry) => ({ ...entry, input: sourceOf(entry.input), output: sourceOf(entry.output) }));
}

function sourceOf(schema: object): SchemaSource {
  return { toJSONSchema: () => schema };
}
