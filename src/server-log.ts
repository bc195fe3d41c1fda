import { type DestinationStream, type Logger, pino } from 'pino';

/** The log of the server: JSON for programs, a line of text for whoever sits at the terminal. */

type Out = Pick<NodeJS.WriteStream, 'isTTY' | 'write'>;

export function createServerLog(level: string, out: Out): Logger {
  const options = { level, base: null, serializers: { err: errorFields } };
  return out.isTTY ? pino(options, forTerminal(out)) : pino(options);
}

/**
 * Of an error what explains it, with its causes in the stack. Drivers hang whole connections on their errors, with
 * the statements they prepared: nothing that is not named here gets into the log.
 */
function errorFields(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { type, stack } = pino.stdSerializers.err(error);
  const { code } = error as { readonly code?: unknown };
  return { type, message: error.message, ...(code === undefined ? {} : { code }), stack };
}

/** Says something that is no matter of levels: at a terminal as it stands, elsewhere as a line of the log. */
export function announce(out: Out, sentence: string, now: number): void {
  out.write(out.isTTY ? `${sentence}\n` : `${JSON.stringify({ level: 30, time: now, msg: sentence })}\n`);
}

function forTerminal(out: Out): DestinationStream {
  return { write: (line) => void out.write(`${renderLogLine(line)}\n`) };
}

/** Not shown at a terminal: of every line the same, or long. */
const left = new Set(['level', 'time', 'msg']);
const longestFact = 200;

/** `10:00:00 warn job failed; job: pki.publish_crls`. Facts of several lines are left out: the JSON log has them. */
export function renderLogLine(line: string): string {
  const { level, time, msg, ...facts } = JSON.parse(line) as Record<string, unknown>;
  const at = new Date(Number(time)).toISOString().slice(11, 19);
  const told = Object.entries(facts)
    .filter(([name]) => !left.has(name))
    .map(([name, value]) => [name, textOf(value)] as const)
    .filter(([, text]) => !text.includes('\n') && text.length <= longestFact)
    .map(([name, text]) => `; ${name}: ${text}`);
  return printable(`${at} ${pino.levels.labels[Number(level)] ?? 'info'} ${String(msg)}${told.join('')}`);
}

/** Of an error its message: the stack is in the JSON log. */
function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  const { message } = (value ?? {}) as { readonly message?: unknown };
  return typeof message === 'string' ? message : JSON.stringify(value);
}

/** What came from outside must not move the cursor or recolour the terminal. */
function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`);
}
