import type { CliOperation, Command } from './command.ts';
import { toCommands } from './command.ts';
import { exampleLine } from './example.ts';
import { exitCodeMeanings } from './failure.ts';
import { flagName, globalFlags, placeholder } from './flags.ts';
import { environmentVariables, fieldNotes, fieldText, flagEntry, usageLine, valueRules } from './help.ts';
import { areasOf } from './lookup.ts';
import type { Field } from './schema.ts';

/** The whole CLI as Markdown, for docs/generated/cli.md. The same operations always give the same bytes. */
export function renderCliReference(operations: readonly CliOperation[]): string {
  const commands = toCommands(operations);
  return [
    '# The command line\n',
    'Made from the list of operations by `npm run generate`; do not edit.\n',
    '```\nchancery AREA COMMAND [ARGUMENT…] [--FIELD VALUE…] [OPTION…]\n```\n',
    'Results go to stdout, everything else to stderr. `chancery completion bash|zsh|fish` prints a completion script.\n',
    '## Options of every command\n',
    table(
      ['Option', 'Meaning'],
      globalFlags.map(flagEntry).map(([name, text]) => [code(name), text]),
    ),
    '## Values\n',
    table(
      ['Kind', 'How to give it'],
      valueRules.map(([name, text]) => [name.startsWith('@') ? code(name) : name, text]),
    ),
    '## Environment\n',
    table(
      ['Variable', 'Meaning'],
      environmentVariables.map(([name, text]) => [code(name), text]),
    ),
    '## Exit codes\n',
    table(['Code', 'Meaning'], Object.entries(exitCodeMeanings)),
    ...areasOf(commands).map((area) => areaSection(commands, area)),
  ].join('\n');
}

function areaSection(commands: readonly Command[], area: string): string {
  const inArea = commands.filter((command) => command.area === area);
  return [`## chancery ${area}\n`, ...inArea.map(commandSection)].join('\n');
}

function commandSection(command: Command): string {
  const { operation, area, verb } = command;
  const input = command.input().fields;
  const output = command.output().fields;
  const sensitive = new Set(operation.sensitive);
  return [
    `### chancery ${area} ${verb}\n`,
    `${prose(operation.summary)}\n`,
    `\`\`\`\n${usageLine(command)}\n\`\`\`\n`,
    ...(input.length === 0 ? [] : [table(['Field', 'Value', '', 'Meaning'], input.map(inputRow))]),
    ...(output.length === 0
      ? []
      : [
          table(
            ['Answer', 'Meaning'],
            output.map((field) => [
              code(field.name),
              `${sensitive.has(field.name) ? '**Secret.** ' : ''}${prose(fieldText(field))}`,
            ]),
          ),
        ]),
    `Example: ${code(exampleLine(command))}  \nREST: ${code(`${operation.http.method} /v1${operation.http.path}`)}, ${operation.effect}\n`,
  ].join('\n');
}

function inputRow(field: Field): string[] {
  const value = field.type.kind === 'boolean' ? '' : code(placeholder(field));
  return [code(`--${flagName(field)}`), value, prose(fieldNotes(field).join('; ')), prose(fieldText(field))];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |\n`;
  return `${line(head)}|${head.map(() => '---').join('|')}|\n${rows.map(line).join('')}`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replace(/\s+/g, ' ');
}

/** Words of a description, where Markdown would read HTML. */
function prose(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

function code(text: string): string {
  return `\`${text}\``;
}
