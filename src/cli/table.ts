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

/**
 * The rows as lines; the first call begins with the names of the columns. Where they are wider than the paper, of times
 * only the distance is shown, and other columns are cut before it.
 */
export function tableRows(table: Table, items: readonly Item[], paper: Paper): string {
  const values = items.map((item) => table.columns.map((column) => valueAt(item, column)));
  const full = values.map((row) => row.map((value) => inline(value, paper)));
  const narrow = paper.width !== undefined && lineWidth(widest(table.widths, full)) > paper.width;
  const rows = narrow ? values.map((row) => row.map((value) => brief(value, paper))) : full;
  table.widths.splice(0, table.widths.length, ...widest(table.widths, rows));
  const isTime = (_: unknown, index: number) => narrow && values.every((row) => isTimeOrNothing(row[index], paper));
  const widths = fit(table.widths, paper.width, table.columns.map(isTime));
  const lines = rows.map((row) => line(row, widths));
  if (!table.headed) lines.unshift(paper.style.bold(line(table.columns, widths)));
  table.headed = true;
  return lines.map((text) => `${text}\n`).join('');
}

/** `inline`, and of a time what is left of it, or how long ago it was. */
function brief(value: unknown, paper: Paper): string {
  return (typeof value === 'string' && relativeTime(value, paper.now)) || inline(value, paper);
}

function isTimeOrNothing(value: unknown, { now }: Paper): boolean {
  return value === null || (typeof value === 'string' && relativeTime(value, now) !== undefined);
}

function widest(widths: readonly number[], rows: readonly (readonly string[])[]): number[] {
  return widths.map((width, index) => Math.max(width, ...rows.map((row) => displayWidth(row[index] ?? ''))));
}

const gap = '  ';
/** A column is not made narrower than this. */
const minColumn = 8;

function lineWidth(widths: readonly number[]): number {
  return widths.reduce((sum, column) => sum + column + gap.length, -gap.length);
}

/** Takes from the widest column until the line fits the terminal; from those that are `kept` only when nothing else is left. */
function fit(natural: readonly number[], width: number | undefined, kept: readonly boolean[]): number[] {
  const widths = [...natural];
  if (width === undefined) return widths;
  const cut = (from: (index: number) => boolean): void => {
    let over = lineWidth(widths) - width;
    while (over > 0) {
      const candidates = widths.filter((_, index) => from(index));
      const most = Math.max(...candidates);
      if (!(most > minColumn)) return;
      const next = Math.max(minColumn, ...candidates.filter((column) => column < most));
      const index = widths.findIndex((column, at) => column === most && from(at));
      const taken = Math.min(over, Math.max(1, most - next));
      widths[index] = most - taken;
      over -= taken;
    }
  };
  cut((index) => kept[index] !== true);
  cut(() => true);
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
