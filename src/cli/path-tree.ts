import { escapeLine } from './escape.ts';
import type { Style } from './screen.ts';
import type { Item } from './table.ts';

/** Certification paths as trees: the trust anchor on top, the leaf below, what is wrong under the certificate that has it. */

interface Entry {
  readonly role: string;
  readonly subject: string;
  readonly serial_number: string;
  readonly not_before: string;
  readonly not_after: string;
  readonly revocation: string;
}

interface Reason {
  readonly code: string;
  readonly certificate: { readonly index: number } | null;
  readonly found: string;
  readonly expected: string;
  readonly section: string;
  readonly fix: string;
}

interface Path {
  readonly path: readonly Entry[];
  readonly reasons: readonly Reason[];
}

export function isPaths(output: Item): boolean {
  return typeof output['valid'] === 'boolean' && Array.isArray(output['path']) && Array.isArray(output['reasons']);
}

/** The verdict, the path it is about, and the paths that were looked at beside it. */
export function renderPaths(output: Item, style: Style): string {
  const {
    path,
    reasons,
    rejected_paths: rejected = [],
  } = output as unknown as Path & {
    readonly rejected_paths?: readonly Path[];
  };
  const verdict = output['valid'] === true ? 'valid' : style.red('not valid');
  const head = `${style.bold(verdict)} ${style.dim(`by the profile ${escapeLine(String(output['profile']))}`)}`;
  const others = rejected.map(
    (each, index) => `\n${style.dim(`rejected path ${index + 1}`)}\n${renderPath(each, style)}`,
  );
  return [`${head}\n${renderPath({ path, reasons }, style)}`, ...others].join('');
}

function renderPath({ path, reasons }: Path, style: Style): string {
  const lines = reasons
    .filter(({ certificate }) => certificate === null)
    .flatMap((reason) => reasonLines(reason, '', style));
  for (const [depth, entry] of path.toReversed().entries()) {
    const indent = '   '.repeat(depth);
    const branch = depth === 0 ? '' : `${'   '.repeat(depth - 1)}└─ `;
    lines.push(branch + entryLine(entry, style));
    const index = path.length - 1 - depth;
    for (const reason of reasons)
      if (reason.certificate?.index === index) lines.push(...reasonLines(reason, indent, style));
  }
  return lines.map((line) => `${line}\n`).join('');
}

function entryLine(entry: Entry, style: Style): string {
  const name = escapeLine(entry.subject) || `serial number ${escapeLine(entry.serial_number)}`;
  const days = `${escapeLine(entry.not_before)} to ${escapeLine(entry.not_after)}`;
  const revocation = entry.revocation === 'not_checked' ? '' : `, revocation ${escapeLine(entry.revocation)}`;
  return `${style.bold(name)}  ${style.dim(`${escapeLine(entry.role).replaceAll('_', ' ')}, ${days}${revocation}`)}`;
}

function reasonLines({ code, found, expected, section, fix }: Reason, indent: string, style: Style): string[] {
  const mark = style.red('✗');
  return [
    `${indent}${mark} ${style.bold(escapeLine(code))}: ${escapeLine(found)}`,
    `${indent}  expected ${escapeLine(expected)} (${escapeLine(section)})`,
    `${indent}  ${style.cyan(escapeLine(fix))}`,
  ];
}
