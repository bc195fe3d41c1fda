import type { Command } from './command.ts';
import { listField } from './command.ts';
import { escapeLine, escapeLines, safeJson } from './escape.ts';
import { remark } from './explain.ts';
import { CliFailure, exitCodes } from './failure.ts';
import type { Reservation } from './files.ts';
import { fileBytes, fillFile, releaseFiles } from './files.ts';
import { fullChain, fullChainField } from './full-chain.ts';
import { isPaths, renderPaths } from './path-tree.ts';
import { isPem, renderRecord, withoutRepeats } from './record.ts';
import type { Screen } from './screen.ts';
import type { Item, Paper } from './table.ts';
import { startTable, tableRows, valueAt } from './table.ts';
import { tableColumns } from './view.ts';
import type { View } from './view.ts';

/** Writes what is to be written and shows the rest. `output` is undefined when the answer has no body. */
export async function present(
  screen: Screen,
  command: Command,
  output: Item | undefined,
  asked: View,
  reserved: readonly Reservation[],
): Promise<number> {
  const view = withoutHeadline(command, output, asked) ? { ...asked, field: undefined, beside: [] } : asked;
  if (output === undefined) {
    await releaseFiles(reserved);
    if (!view.json && view.field === undefined) await screen.out.write('done\n');
    return exitCodes.ok;
  }
  const stored = await storeFiles(screen, command, output, reserved);
  const shown = view.json || view.field !== undefined ? output : withoutRepeats(output);
  const rest = Object.fromEntries(Object.entries(shown).filter(([name]) => !stored.written.has(name)));
  await warnOfSecrets(screen, command, rest, view);
  // What could not be written is printed whatever was asked for: it may be the only copy of a key.
  if (stored.failure !== undefined) {
    await show(screen, command, rest, { ...view, field: undefined });
    throw stored.failure;
  }
  await show(screen, command, rest, view, stored.written);
  const beside = view.beside.flatMap((field) => {
    const value = output[field];
    return typeof value === 'string' ? [`${field} ${value}`] : [];
  });
  if (beside.length > 0) await remark(screen, 'note', `${beside.join(', ')}; --json shows all`);
  return verdictOf(command, output);
}

function withoutHeadline(command: Command, output: Item | undefined, { beside }: View): boolean {
  const unless = command.operation.cli?.headline?.unless;
  return beside.length > 0 && unless !== undefined && output?.[unless] !== undefined;
}

/** A check that was made and came out badly has an answer like any other, and ends as a refusal does. */
function verdictOf(command: Command, output: Item): number {
  const { verdict } = command.operation.cli ?? {};
  return verdict !== undefined && output[verdict] === false ? exitCodes.invalid : exitCodes.ok;
}

interface Stored {
  readonly written: ReadonlySet<string>;
  readonly failure: CliFailure | undefined;
}

async function storeFiles(
  screen: Screen,
  command: Command,
  output: Item,
  reserved: readonly Reservation[],
): Promise<Stored> {
  const written = new Set<string>();
  const fields = new Map(command.output().fields.map((field) => [field.name, field]));
  let failure: CliFailure | undefined;
  for (const reservation of reserved) {
    const { field, path, wanted } = reservation;
    const value = field === fullChainField ? fullChain(output) : output[field];
    if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) {
      await releaseFiles([reservation]);
      if (wanted)
        failure ??= new CliFailure(exitCodes.failed, `the answer has no ${field}, so ${path} was not written`);
      continue;
    }
    try {
      const file = await fillFile(reservation, fileBytes(fields.get(field), value), isSecret(command, field, value));
      await remark(screen, 'note', `wrote ${field} to ${file.path}${file.secret ? ' (mode 0600)' : ''}`);
      written.add(field);
    } catch (thrown) {
      const { code = 'unknown error' } = thrown as NodeJS.ErrnoException;
      failure ??= new CliFailure(
        exitCodes.failed,
        `${field} could not be written to ${path} (${code}); it is printed instead`,
      );
    }
  }
  return { written, failure };
}

function isSecret(command: Command, field: string, value: unknown): boolean {
  if (command.operation.sensitive?.includes(field) === true || field === 'pkcs12') return true;
  return JSON.stringify(value).includes('PRIVATE KEY-----');
}

async function warnOfSecrets(screen: Screen, command: Command, rest: Item, view: View): Promise<void> {
  if (!screen.out.isTerminal || view.field !== undefined) return;
  for (const field of command.operation.sensitive ?? []) {
    if (typeof rest[field] !== 'string') continue;
    await remark(
      screen,
      'warning',
      `${field} is shown this once and kept nowhere; --out ${field}=FILE writes it to a file`,
    );
  }
}

async function show(
  screen: Screen,
  command: Command,
  rest: Item,
  view: View,
  written: ReadonlySet<string> = new Set(),
): Promise<void> {
  if (view.field !== undefined) {
    if (!written.has(view.field)) await screen.out.write(fieldText(screen, command, rest, view.field));
    return;
  }
  if (view.json) {
    await screen.out.write(`${safeJson(rest)}\n`);
    return;
  }
  if (command.operation.cli?.certificate !== undefined && isPaths(rest)) {
    await screen.out.write(renderPaths(rest, screen.out.style));
    return;
  }
  const list = listField(command);
  if (list === undefined) {
    await screen.out.write(renderRecord(rest, paperOf(screen)));
    return;
  }
  const pages = startPages(screen, command);
  await pages.add(rest);
  await pages.end(rest);
}

function paperOf(screen: Screen): Paper {
  return { style: screen.out.style, width: screen.out.width, now: screen.clock.now() };
}

/** Shows a list as its pages come. */
export interface Pages {
  readonly add: (page: Item) => Promise<void>;
  /** After the last page. */
  readonly end: (page: Item) => Promise<void>;
}

/** A table that grows. */
export function startPages(screen: Screen, command: Command): Pages {
  const table = startTable(tableColumns(command));
  const name = listField(command)?.name ?? '';
  return {
    add: async (page) => {
      const items = itemsOf(page, name);
      if (items.length > 0) await screen.out.write(tableRows(table, items, paperOf(screen)));
    },
    end: async (page) => {
      const cursor = page['next_cursor'];
      if (!table.headed) await screen.out.write(`no ${name.replaceAll('_', ' ')}\n`);
      if (typeof cursor === 'string')
        await remark(screen, 'note', `there are more: --all shows them, or go on with --cursor ${cursor}`);
    },
  };
}

/** One JSON document, written piece by piece, so that a million items need no memory. */
export function startJsonPages(screen: Screen, command: Command): Pages {
  const name = listField(command)?.name ?? '';
  let count = 0;
  return {
    add: async (page) => {
      const head = count === 0 ? `{\n  ${JSON.stringify(name)}: [` : '';
      const items = itemsOf(page, name).map((item) => `${count++ === 0 ? '' : ','}\n${indent(safeJson(item))}`);
      await screen.out.write(head + items.join(''));
    },
    end: () => screen.out.write(`${count === 0 ? '' : '\n  '}],\n  "next_cursor": null\n}\n`),
  };
}

/** The named field of every item, one per line. */
export function startFieldPages(screen: Screen, command: Command, field: string): Pages {
  return {
    add: (page) => screen.out.write(fieldText(screen, command, page, field)),
    end: () => Promise.resolve(),
  };
}

function itemsOf(page: Item, name: string): readonly Item[] {
  const items = page[name];
  return Array.isArray(items) ? (items as Item[]) : [];
}

function indent(text: string): string {
  return text.replace(/^/gm, '    ');
}

/** One field raw. On a terminal it is made harmless; in a pipe it is what the server said. */
function fieldText(screen: Screen, command: Command, output: Item, path: string): string {
  const list = listField(command);
  if (list !== undefined && !Object.hasOwn(output, path.split('.')[0] ?? '')) {
    // One line per item holds only if no value brings line feeds of its own.
    return itemsOf(output, list.name)
      .map((item) => `${escapeLine(rawText(valueAt(item, path)))}\n`)
      .join('');
  }
  const value = valueAt(output, path);
  if (value === undefined) throw new CliFailure(exitCodes.failed, `the answer has no ${path}`);
  const raw = rawText(value);
  const text = screen.out.isTerminal ? escapeLines(raw) : raw;
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}

function rawText(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'string') return value;
  if (Array.isArray(value) && value.every((item) => typeof item === 'string'))
    return value.map((item) => (isPem(item) ? item.trimEnd() : escapeLine(item))).join('\n');
  return JSON.stringify(value);
}
