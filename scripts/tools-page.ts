import { allOperations } from '#chancery/operations.ts';
import type { OfferedOperation } from '#mcp/backend.ts';
import { areaOf, offerOperations } from '#mcp/catalogue.ts';
import { createSurfaces } from '#mcp/surface.ts';
import type { Tool, ToolAnnotations } from '#mcp/tool.ts';

/** docs/generated/tools.md: every tool, from the operations. */
export function renderTools(): string {
  const operations = offerOperations(allOperations);
  const surfaces = createSurfaces(operations, false);
  const everyday = surfaces.of({ toolsets: ['default'], readOnly: false }, operations).tools;
  const byName = new Map(
    surfaces.of({ toolsets: ['all'], readOnly: false }, operations).tools.map((tool) => [tool.name, tool]),
  );
  const areas = surfaces.areas.map((area) => areaSection(area, operations, byName));
  return `${[head, defaultSection(everyday), ...areas].join('\n\n')}\n`;
}

const head = `# MCP tools

Made from the operations by \`npm run generate\`. How to connect a client, and what guards there are: [mcp.md](../mcp.md).

Every tool is an operation of the REST API and of the command line, with the same input and the same output; secret fields
are not in results, \`delivery\` says where they went. Hints: **R** reads only, **D** may replace or destroy, **I** a repeat
changes nothing more, **O** reaches systems outside of Chancery. Required inputs are in bold.`;

function defaultSection(tools: readonly Tool[]): string {
  const rows = tools.map((tool) => `| \`${tool.name}\` | ${hints(tool.annotations)} | ${cell(tool.title)} |`);
  return ['## The default list', '', '| Tool | Hints | What it does |', '|---|---|---|', ...rows].join('\n');
}

function areaSection(area: string, operations: readonly OfferedOperation[], byName: ReadonlyMap<string, Tool>): string {
  const tools = operations
    .filter((operation) => areaOf(operation) === area)
    .map((operation) => toolSection(operation, byName.get(operation.id.replace('.', '_'))));
  return [`## \`/mcp/x/${area}\``, ...tools].join('\n\n');
}

function toolSection({ id, sensitive }: OfferedOperation, tool: Tool | undefined): string {
  if (tool === undefined) throw new Error(`${id} is no tool`);
  const { properties, required = [] } = tool.inputSchema;
  const inputs = Object.keys(properties).map((name) => (required.includes(name) ? `**\`${name}\`**` : `\`${name}\``));
  const lines = [
    `### \`${tool.name}\``,
    '',
    `${tool.title} (${hints(tool.annotations)}). ${tool.description}`,
    '',
    `Input: ${inputs.length === 0 ? 'none' : inputs.join(', ')}.`,
    `Result: ${Object.keys(tool.outputSchema.properties)
      .map((name) => `\`${name}\``)
      .join(', ')}.`,
  ];
  return [
    ...lines,
    ...(sensitive.length === 0 ? [] : [`Secret: ${sensitive.map((name) => `\`${name}\``).join(', ')}.`]),
  ].join('\n');
}

function hints({ readOnlyHint, destructiveHint, idempotentHint, openWorldHint }: ToolAnnotations): string {
  const letters = [readOnlyHint && 'R', destructiveHint && 'D', idempotentHint && 'I', openWorldHint && 'O'];
  return letters.filter((letter) => letter !== false).join(' ') || 'adds';
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
