import { escapeLine, safeJson } from './escape.ts';
import { CliFailure, exitCodes } from './failure.ts';
import type { Problem } from './problem.ts';
import type { Screen } from './screen.ts';

/*
 * The words of every failure, in one place. An error is one sentence, lower-case at the CLI's own, after `error:`; then
 * the single findings, indented; then `hint:`, the next step, and `try:`, a command line that would pass. All of it goes
 * to stderr, so stdout holds results only.
 */

const codes: Readonly<Record<number, string>> = { [exitCodes.usage]: 'usage', [exitCodes.unavailable]: 'unavailable' };

/** Shows a failure of either kind and gives the exit code. */
export async function showFailure(screen: Screen, thrown: unknown, json: boolean, verbose: boolean): Promise<number> {
  if (thrown instanceof CliFailure) {
    const { exit, message, hint, details } = thrown;
    const code = codes[exit] ?? 'failed';
    const findings = details.length > 0 ? { details } : {};
    const document = { code, detail: message, ...(hint === undefined ? {} : { hint }), ...findings };
    return showProblem(screen, { code, detail: message, hint, details, facts: [], exit, document }, json);
  }
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const shown = verbose ? (error.stack ?? error.message) : error.message;
  await screen.err.write(`${screen.err.style.red('error:')} a fault of the CLI itself: ${escapeLine(shown)}\n`);
  return exitCodes.failed;
}

export async function showProblem(screen: Screen, problem: Problem, json: boolean): Promise<number> {
  if (json) {
    await screen.err.write(`${safeJson(problem.document)}\n`);
    return problem.exit;
  }
  const { style } = screen.err;
  const lines = [`${style.red('error:')} ${brief(problem.detail)}`];
  for (const detail of problem.details) lines.push(`  ${brief(detail)}`);
  for (const [name, value] of problem.facts) lines.push(`  ${style.dim(`${brief(name)}:`)} ${brief(value)}`);
  if (problem.hint !== undefined) lines.push(`${style.cyan('hint:')} ${brief(problem.hint)}`);
  if (problem.nearest !== undefined) lines.push(`${style.cyan('try:')} ${brief(problem.nearest)}`);
  if (problem.retryAfter !== undefined) lines.push(`${style.cyan('retry:')} in ${problem.retryAfter} s`);
  if (problem.requestId !== undefined) lines.push(style.dim(`request id: ${brief(problem.requestId)}`));
  await screen.err.write(`${lines.join('\n')}\n`);
  return problem.exit;
}

/** A remark that is no error: `warning`, `note`. */
export async function remark(screen: Screen, kind: 'warning' | 'note', text: string): Promise<void> {
  const { style } = screen.err;
  await screen.err.write(`${kind === 'warning' ? style.yellow('warning:') : style.dim('note:')} ${brief(text)}\n`);
}

/** One line that is safe to show, and no longer than anybody reads. */
function brief(text: string): string {
  const line = escapeLine(text);
  return line.length > 2000 ? `${line.slice(0, 2000)}…` : line;
}
