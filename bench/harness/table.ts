/** Tables as plain text, to be read in a terminal and pasted into docs/performance.md. */

export type Cell = string | number | undefined;

export function printTable(title: string, columns: readonly string[], rows: readonly (readonly Cell[])[]): void {
  const texts = rows.map((row) => columns.map((_, index) => formatCell(row[index])));
  const widths = columns.map((column, index) =>
    Math.max(column.length, ...texts.map((row) => (row[index] ?? '').length)),
  );
  const isNumber = columns.map((_, index) => rows.some((row) => typeof row[index] === 'number'));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => (isNumber[index] ? cell.padStart(widths[index] ?? 0) : cell.padEnd(widths[index] ?? 0)))
      .join('  ')
      .trimEnd();
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  process.stdout.write(`\n${title}\n\n${[line(columns), rule, ...texts.map(line)].join('\n')}\n`);
}

function formatCell(cell: Cell): string {
  if (cell === undefined) return '';
  if (typeof cell === 'string') return cell;
  if (Number.isInteger(cell) || Math.abs(cell) >= 100) return Math.round(cell).toLocaleString('en');
  return cell.toFixed(Math.abs(cell) >= 10 ? 1 : 2);
}

/** Part of a limit, for a column: `0.74`. Undefined when there is nothing to compare with. */
export function ratio(value: number, limit: number | undefined): number | undefined {
  return limit === undefined || limit === 0 ? undefined : value / limit;
}
