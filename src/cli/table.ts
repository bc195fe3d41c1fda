import { cutDisplay, displayWidth, escapeLine, padDisplay } from './escape.ts';
import { relativeTime } from './relative-time.ts';
import type { Style } from './screen.ts';

/** What rendering needs to know of where it goes. */
export interface Paper {
  readonly style: Style;
  /** Columns; undefined: nothing is cut. */
  readonly width: number | undefined;
  /** Milliseconds. */
  readonly now: number;
}

export type Item = Readonly<Record<string, unknown>>;

/** One line for any value: times with their distance, lists with commas, objects as JSON, nothing as `-`. */
export function inline(value: unknown, paper: Paper): string {
  if (value === null || value === undefined || value === '') return '-';
  if (typeof value === 'string') {
    const distance = relativeTime(value, paper.now);
    return distance === undefined ? escapeLine(value) : `${value} (${distance})`;
  }
  if (typeof value !== 'object') return JSON.stringify(value);
  if (!Array.isArray(value)) return escapeLine(JSON.stringify(value));
  return value.length === 0 ? '-' : value.map((item) => inline(item, paper)).join(', ');
}

/** Widths are kept from page to page, so that the pages of `--all` line up. */
export interface Table {
  readonly columns: readonly string[];
  readonly widths: number[];
  headed: boolean;
}

export function startTable(columns: readonly string[]): Table {
  return { columns, widths: columns.map((column) => displayWidth(column)), headed: false };
}

/** The rows as lines; the first call begins with the names of the columns. */
export function tableRows(table: Table, items: readonly Item[], paper: Paper): string {
  const rows = items.map((item) => table.columns.map((column) => inline(valueAt(item, column), paper)));
  for (const row of rows) {
    for (const [index, cell] of row.entries())
      table.widths[index] = Math.max(table.widths[index] ?? 0, displayWidth(cell));
  }
  const widths = fit(table.widths, paper.width);
  const lines = rows.map((row) => line(row, widths));
  if (!table.headed) lines.unshift(paper.style.bold(line(table.columns, widths)));
  table.headed = true;
  return lines.map((text) => `${text}\n`).join('');
}

const gap = '  ';
/** A column is not made narrower than this. */
const minColumn = 8;

/** Takes from the widest column until the line fits the terminal. */
function fit(natural: readonly number[], width: number | undefined): number[] {
  const widths = [...natural];
  if (width === undefined) return widths;
  let over = widths.reduce((sum, column) => sum + column + gap.length, -gap.length) - width;
  while (over > 0) {
    const widest = Math.max(...widths);
    if (widest <= minColumn) break;
    const next = Math.max(minColumn, ...widths.filter((column) => column < widest));
    const index = widths.indexOf(widest);
    const taken = Math.min(over, Math.max(1, widest - next));
    widths[index] = widest - taken;
    over -= taken;
  }
  return widths;
}

function line(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, index) => padDisplay(cutDisplay(cell, widths[index] ?? 0), widths[index] ?? 0))
    .join(gap)
    .trimEnd();
}

/** The value under a dotted name: `issuer.serial_number`. */
export function valueAt(item: unknown, path: string): unknown {
  let value = item;
  for (const part of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Item)[part];
  }
  return value;
}
