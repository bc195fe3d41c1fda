import { styleText } from 'node:util';

/** What the demo says: a heading for each part, and one line for each step when it is done. */

/** Something came out otherwise than it must. The message is one sentence for whoever watches. */
export class WrongOutcome extends Error {
  override readonly name = 'WrongOutcome';
}

export function expect(holds: boolean, sentence: string): asserts holds {
  if (!holds) throw new WrongOutcome(sentence);
}

export interface Screen {
  heading(text: string): void;
  /** Says what is being done while it is, and what was done after it. The result is the sentence of `run`. */
  step(doing: string, run: () => Promise<string>): Promise<void>;
  say(text: string): void;
  /** Nothing is said from now on, whatever is still under way. */
  silence(): void;
}

export function createScreen(out: NodeJS.WriteStream): Screen {
  const isTerminal = out.isTTY;
  const paint = (format: Parameters<typeof styleText>[0], text: string) =>
    isTerminal ? styleText(format, text, { stream: out }) : text;
  let isSilent = false;
  const write = (text: string) => {
    if (!isSilent) out.write(text);
  };
  return {
    silence: () => {
      isSilent = true;
    },
    heading: (text) => write(`\n${paint('bold', text)}\n`),
    say: (text) => write(`${text}\n`),
    async step(doing, run) {
      const started = performance.now();
      if (isTerminal) write(paint('dim', `  …           ${doing}`));
      const erase = isTerminal ? '\r\x1b[2K' : '';
      try {
        const done = await run();
        const time = paint('dim', milliseconds(performance.now() - started));
        write(`${erase}  ${paint('green', '✓')} ${time}  ${wrap(done)}\n`);
      } catch (error) {
        write(`${erase}  ${paint('red', '✗')} ${milliseconds(performance.now() - started)}  ${doing}\n`);
        throw error;
      }
    },
  };
}

function milliseconds(duration: number): string {
  return `${Math.round(duration)} ms`.padStart(8);
}

/** Further lines stand below the first. */
function wrap(text: string): string {
  return text.replaceAll('\n', `\n${' '.repeat(14)}`);
}
