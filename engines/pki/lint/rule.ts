import type { Finding } from './finding.ts';

/** One demand of a standard on a `View`: what was read of a certificate, a CRL or a response. */
export interface Rule<View> {
  readonly finding: Finding;
  /** True when the demand is not met; a text also says by what, and is added to the message. */
  readonly broken: (view: View) => boolean | string;
}

/** A rule that the standard states with MUST or MUST NOT. */
export function must<View>(code: string, section: string, message: string, broken: Rule<View>['broken']): Rule<View> {
  return { finding: Object.freeze({ code, severity: 'error', section, message } as const), broken };
}

/** A rule that the standard states with SHOULD or SHOULD NOT. */
export function should<View>(code: string, section: string, message: string, broken: Rule<View>['broken']): Rule<View> {
  return { finding: Object.freeze({ code, severity: 'warning', section, message } as const), broken };
}

/** Adds a finding for every rule that is broken. */
export function judge<View>(rules: readonly Rule<View>[], view: View, findings: Finding[]): void {
  for (const { finding, broken } of rules) {
    const answer = broken(view);
    if (answer === false) continue;
    findings.push(answer === true ? finding : { ...finding, message: `${finding.message}: ${answer}` });
  }
}

const longestQuote = 80;

/** Text from a certificate as it may stand in a message: quoted, cut, nothing in it that cannot be seen. */
export function quoted(text: string): string {
  const cut = text.length > longestQuote ? `${text.slice(0, longestQuote)}…` : text;
  return JSON.stringify(cut).replaceAll(/[^\x20-\x7e…]/gu, (character) => `\\u{${codePoint(character)}}`);
}

function codePoint(character: string): string {
  return (character.codePointAt(0) ?? 0).toString(16);
}

/** Up to here comparing each with each is cheaper than a set; extensions and purposes are mostly fewer. */
const fewItems = 16;

/** The first item that stands in the list twice; undefined when none does. */
export function repeated(items: readonly string[]): string | undefined {
  if (items.length <= fewItems) return items.find((item, index) => items.lastIndexOf(item) !== index);
  const seen = new Set<string>();
  for (const item of items) {
    if (seen.has(item)) return item;
    seen.add(item);
  }
  return undefined;
}
