import { allOperations } from '#chancery/operations.ts';
import type { OfferedOperation } from '#mcp/backend.ts';
import { areaOf, offerOperations } from '#mcp/catalogue.ts';
import { metaTools } from '#mcp/meta-tools.ts';
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
  return `${[head, defaultSection(everyday), metaSection, ...areas].join('\n\n')}\n`;
}

const head = `# MCP tools

Made from the operations by \`npm run generate\`. How to connect a client, and what guards there are: [mcp.md](../mcp.md).

Every tool is an operation of the REST API and of the command line, with the same input and the same output; secret fields
are not in results, \`delivery\` says where they went. The name of a tool is the id of its operation with \`_\` for the point:
\`pki_list_roles\` is \`pki.list_roles\`. What is not on the list of a client runs by \`run_operation\` and \`run_read_operation\`.

Hints: **R** reads only, **D** may replace or destroy, **I** a repeat changes nothing more, **O** reaches systems outside of
Chancery; "adds" has none of them: it makes something new and changes nothing that is there. Required inputs are in bold. What each
field means and takes: \`describe_operation\`, or \`/openapi.json\` and \`/docs\` of a server.`;

const metaSection = ['## Tools that are no operations', ...metaTools.map(describeTool)].join('\n\n');

function defaultSection(tools: readonly Tool[]): string {
  const rows = tools.map(
    (tool) => `| \`${tool.name}\` | ${hints(tool.annotations)} | ${cell(tool.title)} | ${inputsOf(tool)} |`,
  );
  return ['## The default list', '', '| Tool | Hints | What it does | Input |', '|---|---|---|---|', ...rows].join(
    '\n',
  );
}

function areaSection(area: string, operations: readonly OfferedOperation[], byName: ReadonlyMap<string, Tool>): string {
  const tools = operations
    .filter((operation) => areaOf(operation) === area)
    .map((operation) => toolSection(operation, byName.get(operation.id.replace('.', '_'))));
  return [`## \`/mcp/x/${area}\``, ...tools].join('\n\n');
}

function toolSection({ id, sensitive }: OfferedOperation, tool: Tool | undefined): string {
  if (tool === undefined) throw new Error(`${id} is no tool`);
  const secret = sensitive.length === 0 ? [] : [`Secret: ${sensitive.map((name) => `\`${name}\``).join(', ')}.`];
  return [describeTool(tool), ...secret].join('\n');
}

function describeTool(tool: Tool): string {
  return [
    `### \`${tool.name}\``,
    '',
    `${tool.title} (${hints(tool.annotations)}). ${tool.description}`,
    '',
    `Input: ${inputsOf(tool)}.`,
    `Result: ${resultOf(tool)}.`,
  ].join('\n');
}

function inputsOf({ inputSchema: { properties, required = [] } }: Tool): string {
  const inputs = Object.keys(properties).map((name) => (required.includes(name) ? `**\`${name}\`**` : `\`${name}\``));
  return inputs.length === 0 ? 'none' : inputs.join(', ');
}

function resultOf({ outputSchema }: Tool): string {
  return Object.keys(outputSchema.properties)
    .map((name) => `\`${name}\``)
    .join(', ');
}

function hints({ readOnlyHint, destructiveHint, idempotentHint, openWorldHint }: ToolAnnotations): string {
  const letters = [readOnlyHint && 'R', destructiveHint && 'D', idempotentHint && 'I', openWorldHint && 'O'];
  return letters.filter((letter) => letter !== false).join(' ') || 'adds';
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
