import type { OfferedOperation } from './backend.ts';
import { areaOf, toolNameOf } from './catalogue.ts';
import { always, everyday } from './everyday.ts';
import { describeTool, runReadTool, runTool, searchTool } from './meta-tools.ts';
import { toTool, type Tool } from './tool.ts';

/** Which tools a client sees. A list never changes while it is used: it depends on the address and on the token alone. */

export interface SurfaceChoice {
  /** `default`, `all`, or areas (`pki`). */
  readonly toolsets: readonly string[];
  readonly readOnly: boolean;
}

export interface Surface {
  /** In the order of the list. */
  readonly tools: readonly Tool[];
  /** Name → what stands behind it; undefined behind the tools that are no operation. */
  readonly entries: ReadonlyMap<string, OfferedOperation | undefined>;
}

/** Makes surfaces and remembers their parts, so that only the first request for one makes schemas. */
export function createSurfaces(all: readonly OfferedOperation[], reveal: boolean) {
  const tools = new Map<string, Tool>();
  const toolFor = (operation: OfferedOperation): Tool => {
    const known = tools.get(operation.id) ?? toTool(operation, reveal);
    tools.set(operation.id, known);
    return known;
  };
  const whole = new Map<string, Surface>();
  const make = (choice: SurfaceChoice, operations: readonly OfferedOperation[]): Surface => {
    const listed = chosen(choice, operations);
    const meta = [searchTool, describeTool, runReadTool, ...(choice.readOnly ? [] : [runTool])];
    const [first, ...rest] = listed.map(toolFor);
    return {
      tools: [...(first ? [first] : []), ...meta, ...rest],
      entries: new Map<string, OfferedOperation | undefined>([
        ...meta.map(({ name }) => [name, undefined] as const),
        ...listed.map((operation) => [toolNameOf(operation), operation] as const),
      ]),
    };
  };
  return {
    areas: [...new Set(all.map(areaOf))],
    /** `operations`: those that the caller could ever be allowed. */
    of: (choice: SurfaceChoice, operations: readonly OfferedOperation[]): Surface => {
      if (operations !== all) return make(choice, operations);
      const key = `${choice.toolsets.join()} ${choice.readOnly}`;
      const known = whole.get(key) ?? make(choice, operations);
      whole.set(key, known);
      return known;
    },
  };
}

export type Surfaces = ReturnType<typeof createSurfaces>;

function chosen({ toolsets, readOnly }: SurfaceChoice, operations: readonly OfferedOperation[]): OfferedOperation[] {
  const byId = new Map(operations.map((operation) => [operation.id, operation]));
  const ids = new Set([always]);
  for (const toolset of toolsets) {
    const members =
      toolset === 'default'
        ? everyday
        : operations.filter((operation) => toolset === 'all' || areaOf(operation) === toolset).map(({ id }) => id);
    for (const id of members) ids.add(id);
  }
  return [...ids].flatMap((id) => {
    const operation = byId.get(id);
    return operation === undefined || (readOnly && operation.effect !== 'read') ? [] : [operation];
  });
}
