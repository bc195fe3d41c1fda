import { displayWidth, escapeLine, escapeLines, padDisplay } from './escape.ts';
import type { Item, Paper } from './table.ts';
import { inline, startTable, tableRows } from './table.ts';

/**
 * One answer as aligned names and values. What has several lines (PEM) or is a list of records comes after them, each
 * under its name; PEM begins in the first column, so that it can be copied as it stands.
 */
export function renderRecord(record: Item, paper: Paper): string {
  const { lines, blocks } = layOut(record, paper, '', 0);
  const width = Math.max(0, ...lines.map(({ name }) => displayWidth(name)));
  const head = lines.map(({ name, values }) => {
    const [first = '', ...more] = values;
    const label = paper.style.bold(name) + ' '.repeat(width - displayWidth(name));
    return [`${label}  ${first}`, ...more.map((value) => `${' '.repeat(width)}  ${value}`)].join('\n');
  });
  const parts = [head.join('\n'), ...blocks.map(({ name, text }) => `${paper.style.bold(name)}\n${text}`)];
  return parts
    .filter((part) => part !== '')
    .map((part) => `${part}\n`)
    .join('\n');
}

/** Lists of records leave out the PEM that a field of the whole has: the current certificate of an authority, say. */
export function withoutRepeats(record: Item): Item {
  const shown = new Set(Object.values(record).filter((value) => typeof value === 'string' && isPem(value)));
  if (shown.size === 0) return record;
  const without = (item: Item) => Object.fromEntries(Object.entries(item).filter(([, value]) => !shown.has(value)));
  return Object.fromEntries(
    Object.entries(record).map(([name, value]) => [name, isRecords(value) ? value.map(without) : value]),
  );
}

interface Layout {
  readonly lines: { readonly name: string; readonly values: readonly string[] }[];
  readonly blocks: { readonly name: string; readonly text: string }[];
}

/** Objects within objects are shown as `outer.inner`; deeper than this they are JSON. */
const maxDepth = 3;

function layOut(record: Item, paper: Paper, prefix: string, depth: number): Layout {
  const layout: Layout = { lines: [], blocks: [] };
  for (const [key, value] of Object.entries(record)) {
    const name = prefix + escapeLine(key);
    if (isBlock(value)) layout.blocks.push({ name, text: blockOf(value) });
    else if (isRecords(value)) layout.blocks.push({ name, text: recordsBlock(value, paper, depth) });
    else if (isRecord(value) && depth < maxDepth && Object.keys(value).length > 0) {
      const inner = layOut(value, paper, `${name}.`, depth + 1);
      layout.lines.push(...inner.lines);
      layout.blocks.push(...inner.blocks);
    } else layout.lines.push({ name, values: valueLines(value, paper) });
  }
  return layout;
}

function isRecord(value: unknown): value is Item {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isRecords(value: unknown): value is readonly Item[] {
  return Array.isArray(value) && value.length > 0 && value.every(isRecord);
}

/** PEM and other text of several lines, or a list of such. A line feed inside a name does not make it one. */
function isBlock(value: unknown): value is string | readonly string[] {
  if (Array.isArray(value)) return value.length > 0 && value.every((item) => typeof item === 'string' && isPem(item));
  return typeof value === 'string' && isPem(value);
}

export function isPem(text: string): boolean {
  return text.startsWith('-----BEGIN ');
}

function blockOf(value: string | readonly string[]): string {
  const texts = typeof value === 'string' ? [value] : value;
  return texts.map((text) => escapeLines(text).trimEnd()).join('\n');
}

/** A short list is one line; a long one has a line for each item. */
function valueLines(value: unknown, paper: Paper): string[] {
  const text = inline(value, paper);
  if (!Array.isArray(value) || value.length < 2 || displayWidth(text) <= 60) return [text];
  return value.map((item) => inline(item, paper));
}

/** Flat records make a table; those that hold PEM or records of their own follow one another. */
function recordsBlock(records: readonly Item[], paper: Paper, depth: number): string {
  const flat = records.every((record) => Object.values(record).every((value) => !isBlock(value) && !isRecords(value)));
  if (flat || depth >= maxDepth) {
    const columns = [...new Set(records.flatMap((record) => Object.keys(record)))];
    return indent(tableRows(startTable(columns), records, narrower(paper)).trimEnd());
  }
  return records.map((record) => nested(record, paper, depth)).join('\n\n');
}

function nested(record: Item, paper: Paper, depth: number): string {
  const { lines, blocks } = layOut(record, paper, '', depth + 1);
  const width = Math.max(0, ...lines.map(({ name }) => displayWidth(name)));
  const head = lines.map(({ name, values }) => `  ${padDisplay(name, width)}  ${values.join(', ')}`);
  return [...head, ...blocks.map(({ name, text }) => `  ${name}\n${text}`)].join('\n');
}

function narrower(paper: Paper): Paper {
  return { ...paper, width: paper.width === undefined ? undefined : paper.width - 2 };
}

function indent(text: string): string {
  return text.replace(/^/gm, '  ');
}
